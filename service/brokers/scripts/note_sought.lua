#!lua flags=allow-oom
-- Notes tenants of which a node asks more than an even share of a rate; for all nodes to divide those.
-- KEYS: sought tenants, by when they are no more
-- ARGV: how long from now in ms, most tenants in all, tenant, …
-- Reply: all that are noted
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
for index = 3, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[index]) or redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), ARGV[index])
  end
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
