-- Put before every script that says "needs announce".

-- Publishes to a room's channel. Those of a Cluster, which are sharded, begin with "rc1:s:" (keys.py).
local function announce(channel, payload)
  redis.call(string.find(channel, '^%w+:s:') and 'SPUBLISH' or 'PUBLISH', channel, payload)
end
