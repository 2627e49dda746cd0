#!lua flags=allow-oom
-- Takes a new lease for a node. Its number is the time in microseconds: a Redis that was emptied never gives one again.
-- KEYS: leases
-- ARGV: node, how long in ms
-- Reply: the lease, "node.number"; how many nodes hold one
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local lease = ARGV[1] .. string.format('.%.0f', now[1] * 1000000 + now[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + ARGV[2]), lease)
return {lease, redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now_ms), '+inf')}
