#!lua flags=allow-oom
-- Takes back what claim_room.lua counted; of no claim: nothing.
-- KEYS: occupied rooms, leases by room, rooms of the lease
-- ARGV: room
-- Reply: 1 if it was claimed
if redis.call('SREM', KEYS[3], ARGV[1]) == 0 then return 0 end
if redis.call('HINCRBY', KEYS[2], ARGV[1], -1) <= 0 then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
