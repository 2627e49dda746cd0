#!lua flags=allow-oom
-- Brings the pulse of a partition's data up to that of the leases, which renew_lease.lua counts; on a Cluster alone.
-- KEYS: system
-- ARGV: pulse
-- Reply: generation, pulse
local pulse = math.max(tonumber(redis.call('HGET', KEYS[1], 'pulse') or 0), tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'pulse', string.format('%.0f', pulse))
return {tonumber(redis.call('HGET', KEYS[1], 'generation') or 0), pulse}
