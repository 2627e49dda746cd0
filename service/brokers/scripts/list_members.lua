#!lua flags=allow-oom
-- One page of a room's members.
-- needs members
-- KEYS: members, users, ids, absent
-- ARGV: connection behind which to begin ('': at the first), how many, bytes of them
-- Reply: connections, users, then as `page`
local reply = {redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[2])}
for _, part in ipairs(page(KEYS[1], KEYS[3], KEYS[4], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))) do
  reply[#reply + 1] = part
end
return reply
