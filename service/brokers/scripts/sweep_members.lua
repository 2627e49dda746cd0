#!lua flags=allow-oom
-- Removes members of an ended lease from a room, a slice at a time.
-- needs members
-- KEYS: channel, members, users, ids, watchers
-- ARGV: lease, cursor, how many to look at
-- Reply: the next cursor ('0': done)
local members, users = KEYS[2], KEYS[3]
unwatch(KEYS[5], ARGV[1])
local found = redis.call('HSCAN', members, ARGV[2], 'COUNT', ARGV[3])
local changes, bodies, bytes = {}, {}, 0
for index = 1, #found[2], 2 do
  local connection, member = found[2][index], found[2][index + 1]
  local lease, _, user = parse_member(member)
  if lease == ARGV[1] then
    remove_member(members, users, connection, user)
    redis.call('ZREM', KEYS[4], connection)
    changes[#changes + 1], bodies[#bodies + 1], bytes = change('l', connection, '', member), member, bytes + #member
    if bytes > TOLD_BYTES then
      tell(KEYS[1], KEYS[5], members, users, changes, bodies)
      changes, bodies, bytes = {}, {}, 0
    end
  end
end
if #changes > 0 then tell(KEYS[1], KEYS[5], members, users, changes, bodies) end
return found[1]
