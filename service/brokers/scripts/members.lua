-- Put before every script that says "needs members". A room's members are in two hashes: the members that are there
-- (connection -> member), and the absent ones, whose socket was lost and whose grace lasts ("c" connection -> member,
-- "u" user -> its connections there). ids: the connections of both, by name; there only while pages are read. watchers: lease of a node with watchers
-- -> 1, and "#" -> sequence, the number of the last change that was told.
-- member: "lease joined_at_ms bytes_of_info user\n", info, state.
-- needs announce

local MOST_TOLD = 1000 -- members; above it clients hear of the counts alone (PROTOCOL.md, "occupancy")
local TOLD_BYTES = 65536 -- of members in one announcement, and one member more
local USERS_ABSENT = 2300 -- bytes: 100 connections of one user; more are absent too, but nobody takes their places
local LISTED_SECONDS = 300 -- from the last page on ids are kept
local WATCHED_SECONDS = 3600 -- each node looks at what it watches every few seconds

local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function make_member(lease, joined_at_ms, user, info, state)
  return lease .. ' ' .. joined_at_ms .. ' ' .. #info .. ' ' .. user .. '\n' .. info .. state
end

-- lease, joined_at_ms, user, info, state
local function parse_member(member)
  local lease, joined_at_ms, info_bytes, user, start = string.match(member, '^(%S+) (%d+) (%d+) ([^\n]*)\n()')
  local info_end = start + info_bytes - 1
  return lease, joined_at_ms, user, string.sub(member, start, info_end), string.sub(member, info_end + 1)
end

local function watch(watchers, lease)
  if redis.call('EXISTS', watchers) == 0 then
    -- The clock, so that no sequence is taken for the continuation of an earlier one.
    local now = redis.call('TIME')
    redis.call('HSET', watchers, '#', string.format('%.0f', now[1] * 1000000 + now[2]))
  end
  redis.call('HSET', watchers, lease, 1)
  redis.call('EXPIRE', watchers, WATCHED_SECONDS)
end

local function unwatch(watchers, lease)
  if redis.call('HDEL', watchers, lease) == 1 and redis.call('HLEN', watchers) == 1 then
    redis.call('DEL', watchers)
  end
end

-- One change as `tell` wants it. kind: j joined, c changed (was: the connection whose place it took, or ''), l left.
local function change(kind, connection, was, member)
  return '["' .. kind .. '","' .. connection .. '","' .. was .. '",' .. #member .. ']'
end

-- Tells the nodes that watch, if any does, of changes and of how many there are now.
local function tell(channel, watchers, members, users, changes, bodies)
  if redis.call('EXISTS', watchers) == 0 then return end
  local sequence, connections = redis.call('HINCRBY', watchers, '#', 1), redis.call('HLEN', members)
  if connections > MOST_TOLD then changes, bodies = {}, {} end
  announce(channel, '1 p [' .. string.format('%.0f', sequence) .. ',' .. connections .. ','
    .. redis.call('HLEN', users) .. ',[' .. table.concat(changes, ',') .. ']]\n' .. table.concat(bodies))
end

-- Takes one out of those that are there.
local function remove_member(members, users, connection, user)
  redis.call('HDEL', members, connection)
  if redis.call('HINCRBY', users, user, -1) <= 0 then redis.call('HDEL', users, user) end
end

local function add_absent(absent, ends, connection, user, member, end_ms)
  redis.call('HSET', absent, 'c' .. connection, member)
  redis.call('ZADD', ends, end_ms, connection)
  local others = redis.call('HGET', absent, 'u' .. user)
  if not others then
    redis.call('HSET', absent, 'u' .. user, connection)
  elseif #others < USERS_ABSENT then
    redis.call('HSET', absent, 'u' .. user, others .. ' ' .. connection)
  end
end

local function remove_absent(absent, ends, connection, user)
  redis.call('HDEL', absent, 'c' .. connection)
  redis.call('ZREM', ends, connection)
  local others = {}
  for other in string.gmatch(redis.call('HGET', absent, 'u' .. user) or '', '%S+') do
    if other ~= connection then others[#others + 1] = other end
  end
  if #others == 0 then
    redis.call('HDEL', absent, 'u' .. user)
  else
    redis.call('HSET', absent, 'u' .. user, table.concat(others, ' '))
  end
end

local function add_ids(ids, fields, prefix)
  local names = {}
  for place, field in ipairs(fields) do
    if string.sub(field, 1, #prefix) == prefix then
      names[#names + 1] = 0
      names[#names + 1] = string.sub(field, #prefix + 1)
    end
    if #names >= 1000 or (place == #fields and #names > 0) then
      redis.call('ZADD', ids, unpack(names))
      names = {}
    end
  end
end

-- Members by connection behind `after` ('' from the start), at most so many, and at most so many bytes of them after
-- the first: whether there are more, then connection, member, …
local function page(members, ids, absent, after, limit, bytes)
  local CHUNK = 200 -- a page may end early at its bytes
  local found = {0}
  if redis.call('EXISTS', ids) == 0 then -- 1 ms for 2,000 members
    add_ids(ids, redis.call('HKEYS', members), '')
    add_ids(ids, redis.call('HKEYS', absent), 'c')
  end
  redis.call('EXPIRE', ids, LISTED_SECONDS)
  while true do
    local names = redis.call('ZRANGEBYLEX', ids, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, CHUNK)
    if #names == 0 then return found end
    local there = redis.call('HMGET', members, unpack(names))
    for place, name in ipairs(names) do
      local member = there[place] or redis.call('HGET', absent, 'c' .. name)
      if member then
        bytes = bytes - #member
        if #found > 2 * limit or (bytes < 0 and #found > 1) then
          found[1] = 1
          return found
        end
        found[#found + 1], found[#found + 2] = name, member
      end
    end
    if #names < CHUNK then return found end
    after = names[#names]
  end
end
