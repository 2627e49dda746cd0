#!lua flags=allow-oom
-- Gives one ended lease to one sweeper, for a time: a sweeper that dies is replaced. From then on it can't be renewed.
-- KEYS: leases, sweeps
-- ARGV: how long in ms, a lease to end now ('': one that ended by itself)
-- Reply: the lease; nil if there is none
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local limit = string.format('%.0f', now_ms)
local lease = ARGV[2]
if lease == '' then
  lease = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', limit, 'LIMIT', 0, 1)[1]
    or redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', limit, 'LIMIT', 0, 1)[1]
end
if not lease then return false end
redis.call('ZREM', KEYS[1], lease)
redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms + ARGV[1]), lease)
return lease
