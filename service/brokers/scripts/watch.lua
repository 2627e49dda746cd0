#!lua
-- Has the nodes with this lease told of changes from now on, if they are not; and says where the room stands.
-- needs members
-- KEYS: members, users, watchers
-- ARGV: lease
-- Reply: sequence, connections, users
watch(KEYS[3], ARGV[1])
return {redis.call('HGET', KEYS[3], '#'), redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[2])}
