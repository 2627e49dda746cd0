#!lua flags=allow-oom
-- Divides a tenant's rates among the nodes. A node gets only what no other has, so that all together never have more
-- than the whole: what one is to give up, another gets once that one has asked again, too.
-- KEYS: shares (node -> "until" and, for each rate, "wanted share"), all but the first as parts of the limit
-- ARGV: node, nodes in all, how long its shares are kept in ms, what it wants of each rate, …
-- Reply: its shares of the rates
local function fair(wanted, mine)  -- max-min: who wants little has it, the others have equal parts of what is left
  local sum, most, count = 0, 0, #wanted
  for _, want in ipairs(wanted) do
    sum, most = sum + want, math.max(most, want)
  end
  if most <= 1 / count then return 1 / count end
  if sum <= 1 then return mine + (1 - sum) / count end
  table.sort(wanted)
  local left = 1
  for index, want in ipairs(wanted) do
    local level = left / (count - index + 1)
    if want >= level then return math.min(mine, level) end
    left = left - want
  end
  return mine
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes, others = tonumber(ARGV[2]), {}
local kept = redis.call('HGETALL', KEYS[1])
for index = 1, #kept, 2 do
  if kept[index] ~= ARGV[1] then
    local numbers = {}
    for number in kept[index + 1]:gmatch('%S+') do
      numbers[#numbers + 1] = tonumber(number)
    end
    if numbers[1] < now then redis.call('HDEL', KEYS[1], kept[index]) else others[#others + 1] = numbers end
  end
end
local silent = math.max(0, nodes - 1 - #others)  -- they have not asked, and have an even share each
local entry, shares = {string.format('%.0f', now + ARGV[3])}, {}
for rate = 1, #ARGV - 3 do
  local mine = tonumber(ARGV[rate + 3])
  local wanted, held = {mine}, silent / nodes
  for _ = 1, silent do
    wanted[#wanted + 1] = 1 / nodes
  end
  for _, other in ipairs(others) do
    wanted[#wanted + 1] = other[2 * rate]
    held = held + other[2 * rate + 1]
  end
  shares[rate] = string.format('%.6f', math.min(fair(wanted, mine), math.max(0, 1 - held)))
  entry[#entry + 1] = string.format('%.6f', mine)
  entry[#entry + 1] = shares[rate]
end
redis.call('HSET', KEYS[1], ARGV[1], table.concat(entry, ' '))
redis.call('PEXPIRE', KEYS[1], 10 * ARGV[3])
return shares
