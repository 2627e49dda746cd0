#!lua
-- Makes a connection a member of a room, or keeps it one, now under this lease. needs head
-- KEYS: meta, stream, channel, members, users
-- ARGV: generation, connection, lease, user, most members ('': no limit)
-- Reply: epoch, offset, connections, users; 0 if the room is full
local member = redis.call('HGET', KEYS[4], ARGV[2])
if not member and ARGV[5] ~= '' and redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[5]) then return 0 end
local epoch, offset = head(KEYS[1], KEYS[2], KEYS[3], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
if not member then redis.call('HINCRBY', KEYS[5], ARGV[4], 1) end
return {epoch, offset, redis.call('HLEN', KEYS[4]), redis.call('HLEN', KEYS[5])}
