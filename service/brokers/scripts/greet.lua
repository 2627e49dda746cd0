#!lua flags=allow-oom
-- What this Redis is to us: whose, of which format, and whether its data is the continuation of what was known.
-- KEYS: system (a hash: database_id, format, run, replication, boot, generation, pulse)
-- ARGV: database id, format, run id, boot id, keeps (1: restarts are known to lose nothing), same_boot (1: if the
--       machine was not restarted), replication id, was_promoted (1: it was a replica), then the highest generation
--       that is known to have been there, and the highest pulse in it; then the run ids of other primaries of the same
--       Cluster, from which the data may have been moved while they lived
-- Reply: database id, format, generation, pulse
local system = KEYS[1]
redis.call('HSETNX', system, 'database_id', ARGV[1])
redis.call('HSETNX', system, 'format', ARGV[2])
local known = redis.call('HMGET', system, 'database_id', 'format', 'run', 'boot', 'generation', 'replication', 'pulse')
if known[1] ~= ARGV[1] or tonumber(known[2]) > tonumber(ARGV[2]) then return {known[1], known[2], 0, 0} end
local kept = known[3] == ARGV[3] or (ARGV[5] == '1' and (ARGV[6] == '0' or known[4] == ARGV[4]))
-- The same process, but promoted since: it was another one's replica in between. Without a promotion the id changes
-- too, when a primary has had no replica for an hour.
if known[6] and known[6] ~= ARGV[7] and ARGV[8] == '1' then kept = false end
for index = 11, #ARGV do kept = kept or known[3] == ARGV[index] end
local generation, pulse = tonumber(known[5] or 0), tonumber(known[7] or 0)
local seen_generation, seen_pulse = tonumber(ARGV[9]), tonumber(ARGV[10])
-- Data from before what was seen was put back, or cut.
if generation < seen_generation or (generation == seen_generation and pulse < seen_pulse) then kept = false end
if generation == 0 or not kept then
  -- The clock, so that a Redis that was emptied does not begin with a number that some node still uses.
  generation = math.max(generation + 1, seen_generation + 1, tonumber(redis.call('TIME')[1]))
end
redis.call('HSET', system, 'run', ARGV[3], 'boot', ARGV[4], 'replication', ARGV[7], 'generation',
  string.format('%.0f', generation))
return {known[1], known[2], generation, pulse}
