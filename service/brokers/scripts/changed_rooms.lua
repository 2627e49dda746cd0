#!lua flags=allow-oom
-- Which of a partition's rooms changed, and where they stand. needs changed
-- KEYS: changed rooms
-- ARGV: since when, as an earlier reply said (0: as long as they are kept), most rooms
-- Reply: until when, for the next look, then for each room: name, epoch, offset
local changed, most = KEYS[1], tonumber(ARGV[2])
local tenths = tenths_of(redis.call('TIME'))
if redis.call('EXISTS', changed) == 0 then return {tenths} end
drop_unchanged(changed, tenths)
if redis.call('TTL', changed) < CHANGED_SECONDS / 2 then redis.call('EXPIRE', changed, CHANGED_SECONDS) end
local since = tonumber(ARGV[1])
if since > tenths then since = 0 end -- a clock that was set back
local found = redis.call('ZRANGEBYSCORE', changed, since, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local reply = {tenths}
-- The rest is for the next look; more than that in one tenth are more publishes than Redis takes.
if #found == 2 * most then reply[1] = math.max(tonumber(found[#found]), since + 1) end
local prefix = string.sub(changed, 1, -8) .. 'm/'
for place = 1, #found, 2 do
  local position = redis.pcall('HMGET', prefix .. found[place], 'e', 'o')
  if position.err then
    reply[1] = since -- its slot is being moved, and this room is there already: look again
  elseif position[1] then
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = found[place], position[1], tonumber(position[2])
  end
end
return reply
