#!lua flags=allow-oom
-- What this Redis is to us: whose, of which format, and whether its data is the continuation of what was known.
-- KEYS: system (a hash: database_id, format, run, boot, generation)
-- ARGV: database id, format, run id, boot id, keeps (1: restarts are known to lose nothing), same_boot (1: if the
--       machine was not restarted)
-- Reply: database id, format, generation
local system = KEYS[1]
redis.call('HSETNX', system, 'database_id', ARGV[1])
redis.call('HSETNX', system, 'format', ARGV[2])
local known = redis.call('HMGET', system, 'database_id', 'format', 'run', 'boot', 'generation')
if known[1] ~= ARGV[1] or tonumber(known[2]) > tonumber(ARGV[2]) then return {known[1], known[2], 0} end
local kept = known[3] == ARGV[3] or (ARGV[5] == '1' and (ARGV[6] == '0' or known[4] == ARGV[4]))
local generation = tonumber(known[5] or 0)
if generation == 0 or not kept then
  -- The clock, so that a Redis that was emptied does not begin with a number that some node still uses.
  generation = math.max(generation + 1, tonumber(redis.call('TIME')[1]))
end
redis.call('HSET', system, 'run', ARGV[3], 'boot', ARGV[4], 'generation', string.format('%.0f', generation))
return {known[1], known[2], generation}
