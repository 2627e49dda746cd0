#!lua flags=allow-oom
-- Reads kept messages with after < offset < before, the first or the last of them. needs head
-- KEYS: meta, stream, channel
-- ARGV: generation, after (or ''), before (or ''), limit, newest (1 or 0), bytes of bodies
-- Reply: epoch, head's offset, first kept offset, cut offset, more, then for each message: id, {h, ., t, ., d, .};
--        in the direction of reading (descending when newest)
local CHUNK = 32 -- entries a call: a page may end early at its bytes, and reading them all first would block others
local meta, stream, channel = KEYS[1], KEYS[2], KEYS[3]
local epoch, offset, cut = head(meta, stream, channel, ARGV[1])
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if oldest then
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if newest[1] ~= string.format('%.0f-0', offset) then
    epoch, offset, cut = begin_epoch(meta, stream, channel, ARGV[1], epoch)
    oldest = nil
  end
end
if not oldest then return {epoch, offset, offset + 1, cut, 0} end
local first = tonumber(string.match(oldest[1], '^%d+'))
local low = math.max(first, ARGV[2] ~= '' and tonumber(ARGV[2]) + 1 or 0)
local high = math.min(offset, ARGV[3] ~= '' and tonumber(ARGV[3]) - 1 or offset)
local limit, newest, bytes_left = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[6])
local reply = {epoch, offset, first, cut, 0}
local found = 0
while low <= high do
  local from, to = string.format('%.0f-0', low), string.format('%.0f-0', high)
  local entries = newest and redis.call('XREVRANGE', stream, to, from, 'COUNT', CHUNK)
    or redis.call('XRANGE', stream, from, to, 'COUNT', CHUNK)
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    bytes_left = bytes_left - #entry[2][6]
    if found == limit or (found > 0 and bytes_left < 0) then
      reply[5] = 1
      return reply
    end
    found = found + 1
    reply[4 + 2 * found], reply[5 + 2 * found] = entry[1], entry[2]
  end
  local last = tonumber(string.match(entries[#entries][1], '^%d+'))
  if newest then high = last - 1 else low = last + 1 end
end
return reply
