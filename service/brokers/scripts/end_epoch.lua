#!lua flags=allow-oom
-- Begins a new epoch, if the room's is still the given one. needs head
-- needs changed
-- KEYS: meta, stream, channel, changed rooms
-- ARGV: generation, epoch ('': whichever it is)
-- Reply: epoch, offset
local meta, stream, channel = KEYS[1], KEYS[2], KEYS[3]
local epoch, offset = head(meta, stream, channel, ARGV[1])
if ARGV[2] == '' or ARGV[2] == epoch then
  epoch, offset = begin_epoch(meta, stream, channel, ARGV[1], epoch)
  note_changed(KEYS[4], meta, redis.call('TIME'))
end
return {epoch, offset}
