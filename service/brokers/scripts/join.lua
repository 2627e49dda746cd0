#!lua
-- Makes a connection a member of a room, or keeps it one, now under this lease and with this info and state. A member
-- of the same user that is absent gives its place.
-- needs head
-- needs members
-- KEYS: meta, stream, channel, members, users, ids, watchers, absent, their ends
-- ARGV: generation, connection, lease, user, most members ('': no limit), info, state, how many members to reply with
--       (0: it does not watch), bytes of them
-- Reply: epoch, offset, connections, users, and if it watches sequence, then as `page`; 0 if the room is full
local members, users, ids, watchers, absent, ends = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local connection, lease, user, info, state, wanted = ARGV[2], ARGV[3], ARGV[4], ARGV[6], ARGV[7], tonumber(ARGV[8])
local before = redis.call('HGET', members, connection)
if not before and ARGV[5] ~= '' and redis.call('HLEN', members) >= tonumber(ARGV[5]) then return 0 end
local epoch, offset = head(KEYS[1], KEYS[2], KEYS[3], ARGV[1])
if wanted > 0 then watch(watchers, lease) end
-- Most rooms have none of these: one call instead of three.
local has_more = redis.call('EXISTS', ids, watchers, absent) > 0
local kind, was, joined_at_ms = 'j', '', nil
if before then
  local _, since, _, old_info, old_state = parse_member(before)
  joined_at_ms = since
  kind = (old_info ~= info or old_state ~= state) and 'c' or nil
else
  local place = has_more and redis.call('HGET', absent, 'u' .. user)
  if place then
    kind, was = 'c', string.match(place, '^%S+')
    local _, since = parse_member(redis.call('HGET', absent, 'c' .. was))
    joined_at_ms = since
    remove_absent(absent, ends, was, user)
    redis.call('ZREM', ids, was)
  end
  redis.call('HINCRBY', users, user, 1)
  if has_more and redis.call('EXISTS', ids) == 1 then redis.call('ZADD', ids, 0, connection) end
end
local member = make_member(lease, joined_at_ms or string.format('%.0f', now_ms()), user, info, state)
redis.call('HSET', members, connection, member)
if kind and has_more then tell(KEYS[3], watchers, members, users, {change(kind, connection, was, member)}, {member}) end
local reply = {epoch, offset, redis.call('HLEN', members), redis.call('HLEN', users)}
if wanted > 0 then
  reply[5] = redis.call('HGET', watchers, '#')
  for _, part in ipairs(page(members, ids, absent, '', wanted, tonumber(ARGV[9]))) do
    reply[#reply + 1] = part
  end
end
return reply
