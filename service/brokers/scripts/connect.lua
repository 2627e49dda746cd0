#!lua
-- Enters a connection into its tenant's registry, or keeps it there, now under this lease.
-- KEYS: entries, ids, users, connections by user, connections of the lease
-- ARGV: connection, entry ("lease node connected_at_ms address user"), user, most connections ('': no limit),
--       most connections of a user ('': no limit)
-- Reply: 0; 1 if the tenant is at its limit, 2 if the user is
local is_new = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if is_new then
  if ARGV[4] ~= '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 1 end
  if ARGV[5] ~= '' and tonumber(redis.call('HGET', KEYS[3], ARGV[3]) or 0) >= tonumber(ARGV[5]) then return 2 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[5], ARGV[1])
if is_new then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
  redis.call('ZADD', KEYS[4], 0, ARGV[3] .. '/' .. ARGV[1])
  redis.call('HINCRBY', KEYS[3], ARGV[3], 1)
end
return 0
