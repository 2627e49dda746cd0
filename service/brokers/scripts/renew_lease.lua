#!lua flags=allow-oom
-- Prolongs a lease that nobody swept, and counts the pulse of the data up.
-- KEYS: leases, system
-- ARGV: lease, how long in ms
-- Reply: how many nodes hold one (0 if it is gone), generation, pulse
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {0, 0, 0} end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + ARGV[2]), ARGV[1])
return {redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now_ms), '+inf'),
  tonumber(redis.call('HGET', KEYS[2], 'generation') or 0), redis.call('HINCRBY', KEYS[2], 'pulse', 1)}
