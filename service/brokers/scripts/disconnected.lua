#!lua flags=allow-oom
-- Frees a connection, if it is of this node (under whichever lease). needs connections
-- KEYS: entries, ids, users, connections by user, joined rooms, connections of the lease
-- ARGV: connection, node
-- Reply: 1 if it was there
redis.call('SREM', KEYS[6], ARGV[1])
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
local _, node, user = parse_entry(entry)
if node ~= ARGV[2] then return 0 end
remove_connection(KEYS, ARGV[1], user)
return 1
