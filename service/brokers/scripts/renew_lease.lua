#!lua flags=allow-oom
-- Prolongs a lease that nobody swept.
-- KEYS: leases
-- ARGV: lease, how long in ms
-- Reply: 1; 0 if it is gone
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2]), ARGV[1])
return 1
