#!lua flags=allow-oom
-- Forgets what a node of an ended lease noted of signing keys. All at once: a tenant has at most a few keys for each node.
-- KEYS: connections by lease and key
-- ARGV: lease
-- Reply: how many were forgotten
local forgotten, beginning = 0, ARGV[1] .. '/'
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, #beginning) == beginning then forgotten = forgotten + redis.call('HDEL', KEYS[1], field) end
end
return forgotten
