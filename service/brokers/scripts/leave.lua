#!lua flags=allow-oom
-- Ends a membership, if it is of this node (under whichever lease: one taken anew removes what an old one left).
-- KEYS: members, users
-- ARGV: connection, node
-- Reply: 1 if there was one
local member = redis.call('HGET', KEYS[1], ARGV[1])
if not member then return 0 end
local node, user = string.match(member, '^(%S+)%.%d+ (.*)$')
if node ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('HINCRBY', KEYS[2], user, -1) <= 0 then redis.call('HDEL', KEYS[2], user) end
return 1
