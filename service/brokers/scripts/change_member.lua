#!lua
-- Changes the info or the state of a member of this lease.
-- needs members
-- KEYS: channel, members, users, watchers
-- ARGV: connection, lease, what (info or state), its new value
-- Reply: 1; 0 if there is no such member
local member = redis.call('HGET', KEYS[2], ARGV[1])
if not member then return 0 end
local lease, joined_at_ms, user, info, state = parse_member(member)
if lease ~= ARGV[2] then return 0 end
if ARGV[3] == 'info' then info = ARGV[4] else state = ARGV[4] end
local changed = make_member(lease, joined_at_ms, user, info, state)
if changed ~= member then
  redis.call('HSET', KEYS[2], ARGV[1], changed)
  tell(KEYS[1], KEYS[4], KEYS[2], KEYS[3], {change('c', ARGV[1], '', changed)}, {changed})
end
return 1
