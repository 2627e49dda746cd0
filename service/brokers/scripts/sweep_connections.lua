#!lua flags=allow-oom
-- Frees connections of an ended lease, a slice at a time; those that a new lease took over stay. needs connections
-- KEYS: entries, ids, users, connections by user, joined rooms, connections of the lease
-- ARGV: lease, how many
-- Reply: how many are left
for _, connection in ipairs(redis.call('SPOP', KEYS[6], ARGV[2])) do
  local entry = redis.call('HGET', KEYS[1], connection)
  if entry then
    local lease, _, user = parse_entry(entry)
    if lease == ARGV[1] then remove_connection(KEYS, connection, user) end
  end
end
return redis.call('SCARD', KEYS[6])
