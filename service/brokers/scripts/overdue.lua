#!lua flags=allow-oom
-- Rooms of a partition with absent ones whose grace was over some time ago: whoever saw to them is not there any more.
-- needs members
-- KEYS: rooms of the partition by the next end of a grace
-- ARGV: how long ago in ms, how many
-- Reply: "tenant/room", …
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms() - ARGV[1]), 'LIMIT', 0, ARGV[2])
