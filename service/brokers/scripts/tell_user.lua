#!lua flags=allow-oom
-- Publishes once to each node that holds connections of a user. needs connections
-- KEYS: entries, connections by user
-- ARGV: user, prefix of the nodes' channels, payload
-- Reply: how many nodes
local told, nodes = {}, 0
local found = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. ARGV[1] .. '/', '(' .. ARGV[1] .. '0') -- 0 comes after /
for _, member in ipairs(found) do
  local entry = redis.call('HGET', KEYS[1], string.sub(member, #ARGV[1] + 2))
  if entry then
    local _, node = parse_entry(entry)
    if not told[node] then
      told[node] = true
      nodes = nodes + 1
      redis.call('PUBLISH', ARGV[2] .. node, ARGV[3])
    end
  end
end
return nodes
