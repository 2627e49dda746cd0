#!lua
-- Stores messages of one room, counts their offsets and announces them together. needs head
-- needs changed
-- KEYS: meta, stream, members, channel, changed rooms, idempotency key (or none: then there may be several messages);
--       the same again where WAIT follows, which waits for nothing but what was written
-- ARGV: messages to keep, seconds to keep, generation, then for each message: origin header, body
-- Reply: epoch, offset of the first, stored, duplicate, members
local meta, stream, channel = KEYS[1], KEYS[2], KEYS[4]
local FIRST = 4
if KEYS[6] then
  local known = redis.call('GET', KEYS[6])
  if known then
    if KEYS[7] then redis.call('SET', KEYS[6], known, 'KEEPTTL') end
    local epoch, offset, stored = string.match(known, '^(%S+) (%d+) (%d)$')
    return {epoch, tonumber(offset), tonumber(stored), 1, redis.call('HLEN', KEYS[3])}
  end
end
local epoch, before, _, until_seconds = head(meta, stream, channel, ARGV[3], true)
local now = redis.call('TIME')
local time_ms = now[1] .. string.sub('00000' .. now[2], -6, -4)
local stored = tonumber(ARGV[1]) > 0 and 1 or 0
local was_there = stored == 1 and redis.call('EXPIRE', stream, ARGV[2]) == 1
if stored == 1 and not was_there and is_due(until_seconds, now) then
  epoch, before, _, until_seconds = begin_epoch(meta, stream, channel, ARGV[3], epoch)
end
local origins, lengths, bodies = {}, {}, {}
for place = 1, (#ARGV - FIRST + 1) / 2 do
  local origin, body = ARGV[FIRST + 2 * place - 2], ARGV[FIRST + 2 * place - 1]
  origins[place], lengths[place], bodies[place] = origin, #body, body
  if stored == 1 then
    local function add()
      return redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[1], string.format('%.0f-0', before + place),
        'h', origin, 't', time_ms, 'd', body)
    end
    local added = add()
    if place == 1 and type(added) == 'table' and added.err then
      -- The stream is ahead of its meta: an offset would be given twice.
      epoch, before, _, until_seconds = begin_epoch(meta, stream, channel, ARGV[3], epoch)
      was_there = false
      added = add()
    end
    -- Behind the first one nothing can fail; if it did, the meta would stay behind the stream, and the epoch end.
    if type(added) == 'table' and added.err then return added end
  end
end
if stored == 0 then
  redis.call('DEL', stream) -- a stream ends at the head, or isn't there
elseif not was_there then
  redis.call('EXPIRE', stream, ARGV[2])
end
local first = string.format('%.0f', before + 1)
redis.call('HSET', meta, 'o', string.format('%.0f', before + #bodies))
-- Written anew when a tenth of the time has gone: an earlier end is a weaker witness, never a false one.
local ends, known_end = stored == 1 and now[1] + ARGV[2] or 0, tonumber(until_seconds or 0)
if known_end > ends or known_end < ends - ARGV[2] / 10 then
  redis.call('HSET', meta, 'x', string.format('%.0f', ends))
end
redis.call('EXPIRE', meta, META_SECONDS)
if KEYS[6] then redis.call('SET', KEYS[6], epoch .. ' ' .. first .. ' ' .. stored, 'EX', 300) end
note_changed(KEYS[5], meta, now)
announce(channel, '1 m ["' .. epoch .. '",' .. first .. (stored == 1 and ',true,' or ',false,') .. time_ms
  .. ',[' .. table.concat(origins, ',') .. '],[' .. table.concat(lengths, ',') .. ']]\n' .. table.concat(bodies))
return {epoch, before + 1, stored, 0, redis.call('HLEN', KEYS[3])}
