#!lua flags=allow-oom
-- Ends the membership of absent ones: of those whose grace is over, a slice at a time, or of one user's.
-- needs members
-- KEYS: channel, members, users, ids, watchers, absent, their ends, rooms of the partition by the next such end
-- ARGV: "tenant/room", how many, user ('': all whose grace is over)
-- Reply: in how many ms the next one's grace is over (0: now); -1 if nobody is absent
local absent, ends, now = KEYS[6], KEYS[7], now_ms()
local over
if ARGV[3] == '' then
  over = redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])
else
  over = {}
  for connection in string.gmatch(redis.call('HGET', absent, 'u' .. ARGV[3]) or '', '%S+') do
    over[#over + 1] = connection
  end
end
local changes, bodies, bytes = {}, {}, 0
for _, connection in ipairs(over) do
  local member = redis.call('HGET', absent, 'c' .. connection)
  local _, _, user = parse_member(member)
  remove_absent(absent, ends, connection, user)
  redis.call('ZREM', KEYS[4], connection)
  changes[#changes + 1], bodies[#bodies + 1], bytes = change('l', connection, '', member), member, bytes + #member
  if bytes > TOLD_BYTES then
    tell(KEYS[1], KEYS[5], KEYS[2], KEYS[3], changes, bodies)
    changes, bodies, bytes = {}, {}, 0
  end
end
if #changes > 0 then tell(KEYS[1], KEYS[5], KEYS[2], KEYS[3], changes, bodies) end
local earliest = redis.call('ZRANGE', ends, 0, 0, 'WITHSCORES')
if #earliest == 0 then
  redis.call('ZREM', KEYS[8], ARGV[1])
  return -1
end
redis.call('ZADD', KEYS[8], earliest[2], ARGV[1])
return math.max(0, earliest[2] - now)
