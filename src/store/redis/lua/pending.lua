-- The memory budget of artefacts that unauthenticated clients can create (`pending.ts`). Their field pd has the kind,
-- the bytes, and the site that caused the artefact.

-- Returns an artefact's bytes to the budget of its kind.
local function leave_pending(key, place)
  local kind, bytes, site = string.match(place, '^(%S+) (%d+) (%S+)$')
  local pending = P .. 'pending:' .. kind
  if redis.call('ZREM', pending, place .. ' ' .. key) == 0 then return end
  redis.call('ZREM', pending .. ':' .. site, place .. ' ' .. key)
  redis.call('HINCRBY', pending .. ':all', 'bytes', -bytes)
  local left = redis.call('ZADD', pending .. ':sites', 'INCR', -bytes, site)
  if tonumber(left) <= 0 then redis.call('ZREM', pending .. ':sites', site) end
end

-- Removes one artefact from a budget, also if Redis has already dropped the artefact itself.
local function displace(member)
  local place, key = string.match(member, '^(%S+ %d+ %S+) (.*)$')
  drop_artefact(key)
  leave_pending(key, place)
end

-- Makes space for a new artefact. Expired ones are removed first, a few at each write; then the oldest of the site
-- that uses most.
local function enter_pending(key, exp, kind, bytes, site, most)
  local pending = P .. 'pending:' .. kind
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', pending, '-inf', now, 'LIMIT', 0, 20)) do displace(member) end
  local place = kind .. ' ' .. bytes .. ' ' .. site
  redis.call('HSET', key, 'pd', place)
  redis.call('ZADD', pending, exp, place .. ' ' .. key)
  redis.call('ZADD', pending .. ':' .. site, exp, place .. ' ' .. key)
  redis.call('ZADD', pending .. ':sites', 'INCR', bytes, site)
  local all, displaced = redis.call('HINCRBY', pending .. ':all', 'bytes', bytes), 0
  -- The same TTL for all of them: the sum never outlives its parts.
  for _, name in ipairs({'', ':' .. site, ':sites', ':all'}) do
    redis.call('EXPIRE', pending .. name, PENDING_KEPT_SECONDS)
  end
  -- Bounded: a limit that was made much smaller is reached within some writes.
  while all > most and displaced < 100 do
    local largest = redis.call('ZREVRANGEBYSCORE', pending .. ':sites', '+inf', '-inf', 'LIMIT', 0, 1)[1]
    if not largest then break end
    local oldest = redis.call('ZRANGE', pending .. ':' .. largest, 0, 0)[1]
    if not oldest then break end
    displace(oldest)
    displaced = displaced + 1
    all = tonumber(redis.call('HGET', pending .. ':all', 'bytes') or 0)
  end
  return displaced
end
