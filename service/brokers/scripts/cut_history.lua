#!lua flags=allow-oom
-- Cuts a room's history for the tenant's budget: whole, or its older half.
-- KEYS: meta, stream
-- ARGV: whole (1 or 0)
-- Reply: how many messages were cut
local length = redis.call('XLEN', KEYS[2])
local head = redis.call('HGET', KEYS[1], 'o')
if length == 0 or not head then return 0 end
local keep = ARGV[1] == '1' and 0 or math.floor(length / 2)
if keep == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'x', 0)
else
  redis.call('XTRIM', KEYS[2], 'MAXLEN', keep)
end
redis.call('HSET', KEYS[1], 'c', string.format('%.0f', tonumber(head) - keep))
return length - keep
