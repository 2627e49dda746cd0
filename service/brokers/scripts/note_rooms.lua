#!lua flags=allow-oom
-- Notes which rooms connections are in; those that are gone are left out.
-- KEYS: entries, joined rooms
-- ARGV: connection, its rooms with a space between, connection, …
-- Reply: how many were there
local noted = 0
for index = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[index]) == 1 then
    noted = noted + 1
    if ARGV[index + 1] == '' then
      redis.call('HDEL', KEYS[2], ARGV[index])
    else
      redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
    end
  end
end
return noted
