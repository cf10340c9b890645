-- Anchors of the audit log. They are independent of epochs: events of a fenced replica, or from before a restart of the
-- store, are audited too.

-- Stores an anchor. The chain with the oldest one is removed first, by the store's own time.
-- most: how many chains are kept.
local function put_anchor(chain, anchor, most)
  local time = redis.call('TIME')
  redis.call('HSET', P .. 'anchors', chain, anchor)
  redis.call('ZADD', P .. 'anchored', string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2])), chain)
  while redis.call('ZCARD', P .. 'anchored') > tonumber(most) do
    redis.call('HDEL', P .. 'anchors', redis.call('ZPOPMIN', P .. 'anchored')[1])
  end
  return {'OK'}
end

-- Returns chain, anchor, and so on.
local function list_anchors()
  local listed = {'OK'}
  for _, value in ipairs(redis.call('HGETALL', P .. 'anchors')) do listed[#listed + 1] = value end
  return listed
end
