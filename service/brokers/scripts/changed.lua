-- Put before every script that says "needs changed". A partition's changed rooms are a sorted set: "tenant/room" by when
-- it last got a message, in tenths of a second by Redis' clock, so that a busy room is written ten times a second.

local CHANGED_TENTHS = 100 -- nodes look once a second, and again after an outage
local CHANGED_SECONDS = 60 -- that the set is there when nobody adds to it or looks

local function tenths_of(now)
  return now[1] * 10 + math.floor(now[2] / 100000)
end

local function drop_unchanged(changed, tenths)
  redis.call('ZREMRANGEBYSCORE', changed, '-inf', tenths - CHANGED_TENTHS)
end

-- The room's name is what stands behind `rc1:{p0}:m/` in its meta; `changed` ends in as many characters and five more.
local function note_changed(changed, meta, now)
  local tenths = tenths_of(now)
  if redis.call('ZADD', changed, tenths, string.sub(meta, #changed - 4)) == 1 then
    drop_unchanged(changed, tenths)
    redis.call('EXPIRE', changed, CHANGED_SECONDS)
  end
end
