#!lua flags=allow-oom
-- Notes how many connections of a node are under each signing key.
-- KEYS: connections by lease and key
-- ARGV: lease, kid, connections (0: none any more), kid, …
-- Reply: 1
for index = 2, #ARGV, 2 do
  local field = ARGV[1] .. '/' .. ARGV[index]
  if ARGV[index + 1] == '0' then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, ARGV[index + 1])
  end
end
return 1
