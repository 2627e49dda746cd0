#!lua flags=allow-oom
-- A tenant's account of its history: how many bytes of Redis each room's stream takes.
-- KEYS: bytes by room, rooms by last publish
-- ARGV: budget in bytes, touch (1: the rooms were published to now), room, bytes (0: no stream any more), room, …
-- Reply: bytes in all, how many rooms, then the rooms to look at, longest unpublished first: enough to come below the budget
local total_field = '/' -- no room is called so
local total = tonumber(redis.call('HGET', KEYS[1], total_field) or 0)
local now = redis.call('TIME')
for index = 3, #ARGV, 2 do
  local room, bytes = ARGV[index], tonumber(ARGV[index + 1])
  total = total + bytes - tonumber(redis.call('HGET', KEYS[1], room) or 0)
  if bytes == 0 then
    redis.call('HDEL', KEYS[1], room)
    redis.call('ZREM', KEYS[2], room)
  else
    redis.call('HSET', KEYS[1], room, bytes)
    if ARGV[2] == '1' then redis.call('ZADD', KEYS[2], now[1] * 1000000 + now[2], room) end
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1]) -- also of a tenant that was deleted meanwhile
  return {0, 0}
end
redis.call('HSET', KEYS[1], total_field, string.format('%.0f', total))
redis.call('EXPIRE', KEYS[1], 2592000)
redis.call('EXPIRE', KEYS[2], 2592000)
local reply, over, from = {total, redis.call('ZCARD', KEYS[2])}, total - tonumber(ARGV[1]), 0
while over > 0 and from < 1000 do
  local rooms = redis.call('ZRANGE', KEYS[2], from, from + 99)
  if #rooms == 0 then break end
  for _, room in ipairs(rooms) do
    if over <= 0 then break end
    reply[#reply + 1] = room
    over = over - tonumber(redis.call('HGET', KEYS[1], room) or 0)
  end
  from = from + 100
end
return reply
