#!lua
-- Counts a room as occupied under a lease.
-- KEYS: occupied rooms, leases by room, rooms of the lease
-- ARGV: room, most rooms ('': no limit)
-- Reply: how many rooms are occupied now; 0 if the tenant is at its limit
if redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 then return redis.call('ZCARD', KEYS[1]) end
if ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0
  and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[3], ARGV[1])
if redis.call('HINCRBY', KEYS[2], ARGV[1], 1) == 1 then redis.call('ZADD', KEYS[1], 0, ARGV[1]) end
return redis.call('ZCARD', KEYS[1])
