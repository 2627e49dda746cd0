#!lua flags=allow-oom
-- Notes that a lease holds something of a tenant, so that a sweep finds it.
-- KEYS: tenants of the lease
-- ARGV: tenant's internal id
-- Reply: 1 if it is new
return redis.call('SADD', KEYS[1], ARGV[1])
