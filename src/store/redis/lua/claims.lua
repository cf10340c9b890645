-- Claims: of many replicas one at a time does a piece of work.

-- till: until when it holds (ms). ttl: for cleaning up (s). The reply has 1 for the holder.
local function claim(key, holder, till, ttl)
  local f = fields(key, {'holder', 'until'})
  if f.holder and f.holder ~= holder and tonumber(f['until']) > now then return {'OK', 0} end
  redis.call('HSET', key, 'holder', holder, 'until', till)
  redis.call('EXPIRE', key, ttl)
  return {'OK', 1}
end
