#!lua flags=allow-oom
-- Publishes to the node that holds a connection. needs connections
-- KEYS: entries
-- ARGV: connection, prefix of the nodes' channels, payload
-- Reply: 1 if there is such a connection
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local _, node = parse_entry(entry)
redis.call('PUBLISH', ARGV[2] .. node, ARGV[3])
return 1
