#!lua flags=allow-oom
-- Counts the pulse of a partition's data up, on a Cluster, where renew_lease.lua does it for the leases' server alone.
-- KEYS: system
-- Reply: generation, pulse
return {tonumber(redis.call('HGET', KEYS[1], 'generation') or 0), redis.call('HINCRBY', KEYS[1], 'pulse', 1)}
