#!lua flags=allow-oom
-- A room's head and occupancy. needs head
-- KEYS: meta, stream, channel, members, users
-- ARGV: generation
-- Reply: epoch, offset, connections, users; nil if the room was never seen
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local epoch, offset = head(KEYS[1], KEYS[2], KEYS[3], ARGV[1])
return {epoch, offset, redis.call('HLEN', KEYS[4]), redis.call('HLEN', KEYS[5])}
