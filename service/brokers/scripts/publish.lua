#!lua
-- Stores a message, counts its offset and announces it. needs head
-- KEYS: meta, stream, members, channel, idempotency key (or none)
-- ARGV: origin header, body, messages to keep, seconds to keep, generation
-- Reply: epoch, offset, stored, duplicate, members
local meta, stream, channel = KEYS[1], KEYS[2], KEYS[4]
if KEYS[5] then
  local known = redis.call('GET', KEYS[5])
  if known then
    local epoch, offset, stored = string.match(known, '^(%S+) (%d+) (%d)$')
    return {epoch, tonumber(offset), tonumber(stored), 1, redis.call('HLEN', KEYS[3])}
  end
end
local epoch, offset = head(meta, stream, channel, ARGV[5])
local now = redis.call('TIME')
local time_ms = now[1] .. string.sub('00000' .. now[2], -6, -4)
local stored = tonumber(ARGV[3]) > 0 and 1 or 0
offset = offset + 1
if stored == 1 then
  local function add()
    return redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[3], string.format('%.0f-0', offset),
      'h', ARGV[1], 't', time_ms, 'd', ARGV[2])
  end
  local added = add()
  if type(added) == 'table' and added.err then
    -- The stream is ahead of its meta: an offset would be given twice.
    epoch, offset = begin_epoch(meta, stream, channel, ARGV[5], epoch)
    offset = offset + 1
    added = add()
    if type(added) == 'table' and added.err then return added end
  end
  redis.call('EXPIRE', stream, ARGV[4])
else
  redis.call('DEL', stream) -- a stream ends at the head, or isn't there
end
local offset_text = string.format('%.0f', offset)
redis.call('HSET', meta, 'o', offset_text)
redis.call('EXPIRE', meta, META_SECONDS)
if KEYS[5] then redis.call('SET', KEYS[5], epoch .. ' ' .. offset_text .. ' ' .. stored, 'EX', 300) end
redis.call('PUBLISH', channel, '1 m ["' .. epoch .. '",' .. offset_text .. (stored == 1 and ',true,' or ',false,')
  .. time_ms .. ',' .. ARGV[1] .. ']\n' .. ARGV[2])
return {epoch, offset, stored, 0, redis.call('HLEN', KEYS[3])}
