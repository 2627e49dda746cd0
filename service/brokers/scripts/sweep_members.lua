#!lua flags=allow-oom
-- Removes members of an ended lease from a room, a slice at a time.
-- KEYS: members, users
-- ARGV: lease, cursor, how many to look at
-- Reply: the next cursor ('0': done)
local found = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
for index = 1, #found[2], 2 do
  local lease, user = string.match(found[2][index + 1], '^(%S+) (.*)$')
  if lease == ARGV[1] then
    redis.call('HDEL', KEYS[1], found[2][index])
    if redis.call('HINCRBY', KEYS[2], user, -1) <= 0 then redis.call('HDEL', KEYS[2], user) end
  end
end
return found[1]
