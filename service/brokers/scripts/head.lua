-- Put before every script that says "needs head". A room's meta is a hash: e epoch, o offset (the head), g generation,
-- c messages up to it were cut for the history budget, x until when the stream is there (Unix seconds by Redis' clock;
-- 0: it isn't).
-- needs announce

local META_SECONDS = 2592000 -- 30 days, longer than any history, so that no offset is given twice

local function base36(number)
  local digits = ''
  repeat
    local digit = number % 36
    digits = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. digits
    number = (number - digit) / 36
  until number == 0
  return digits
end

-- A new epoch: Redis' clock in base36, seconds and microseconds. What was kept is dropped first. Whoever knew another
-- epoch is told.
local function begin_epoch(meta, stream, channel, generation, old)
  local now = redis.call('TIME')
  local epoch = base36(tonumber(now[1])) .. string.sub('000' .. base36(tonumber(now[2])), -4)
  redis.call('DEL', stream, meta)
  redis.call('HSET', meta, 'e', epoch, 'o', 0, 'g', generation)
  redis.call('EXPIRE', meta, META_SECONDS)
  if old then announce(channel, '1 e ["' .. epoch .. '",0]\n') end
  return epoch, 0, 0
end

-- A stream that is gone before its time was evicted, or deleted by hand: only its end and its cut are ours.
local function is_due(until_seconds, now)
  return until_seconds and tonumber(now[1]) < tonumber(until_seconds)
end

-- epoch, offset, cut, until when the stream is there. An epoch ends when the meta is gone or older than the generation,
-- or the stream was evicted, which a caller may find out by itself (finds_eviction): continuity isn't proved then.
local function head(meta, stream, channel, generation, finds_eviction)
  local found = redis.call('HMGET', meta, 'e', 'o', 'g', 'c', 'x')
  if not found[1] or tonumber(found[3]) < tonumber(generation)
    or (found[5] and not finds_eviction and redis.call('EXISTS', stream) == 0 and is_due(found[5], redis.call('TIME')))
  then
    return begin_epoch(meta, stream, channel, generation, found[1])
  end
  return found[1], tonumber(found[2]), tonumber(found[4] or 0), found[5]
end
