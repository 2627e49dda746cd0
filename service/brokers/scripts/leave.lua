#!lua flags=allow-oom
-- Ends a membership, if it is of this node (under whichever lease: one taken anew removes what an old one left); with
-- a grace the member stays so long, absent.
-- needs members
-- KEYS: channel, members, users, ids, watchers, absent, their ends, rooms of the partition by the next such end
-- ARGV: connection, node, grace in ms, "tenant/room"
-- Reply: 1 if there was one
local members, users, watchers = KEYS[2], KEYS[3], KEYS[5]
local connection, grace_ms = ARGV[1], tonumber(ARGV[3])
local member = redis.call('HGET', members, connection)
if not member then return 0 end
local lease, _, user = parse_member(member)
if string.match(lease, '^(.+)%.%d+$') ~= ARGV[2] then return 0 end
remove_member(members, users, connection, user)
if grace_ms > 0 then
  local end_ms = string.format('%.0f', now_ms() + grace_ms)
  add_absent(KEYS[6], KEYS[7], connection, user, member, end_ms)
  redis.call('ZADD', KEYS[8], 'LT', end_ms, ARGV[4])
  tell(KEYS[1], watchers, members, users, {}, {})
else
  if redis.call('EXISTS', KEYS[4], watchers) == 0 then return 1 end
  redis.call('ZREM', KEYS[4], connection)
  tell(KEYS[1], watchers, members, users, {change('l', connection, '', member)}, {member})
end
return 1
