-- Put before every script that says "needs connections".

-- Takes a connection out of its tenant's registry. keys: entries, ids, users, connections by user, joined rooms
local function remove_connection(keys, connection, user)
  redis.call('HDEL', keys[1], connection)
  redis.call('ZREM', keys[2], connection)
  redis.call('ZREM', keys[4], user .. '/' .. connection)
  redis.call('HDEL', keys[5], connection)
  if redis.call('HINCRBY', keys[3], user, -1) <= 0 then redis.call('HDEL', keys[3], user) end
end

-- lease, node, user of an entry
local function parse_entry(entry)
  local lease, node, user = string.match(entry, '^(%S+) (%S+) %d+ %S* (.*)$')
  return lease, node, user
end
