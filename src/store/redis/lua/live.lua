-- The live audit log. It is independent of epochs: a fenced replica also shows what it rejects. A subscription is a
-- tail: in `tails` with until when it is valid (ms), the digest of its filter and the sealed filter.

-- Subscribes. valid_ms: for how long it is valid. ttl: of its keys (s). Returns FULL, or OK with the position from
-- which events are shown, '' if it was valid already.
local function subscribe_live(tail, filter, sealed, valid_ms, most_tails, most_entries, ttl)
  local now = to_ms(redis.call('TIME'))
  local others, stands = 0, false
  local all = redis.call('HGETALL', P .. 'tails')
  for i = 1, #all, 2 do
    local till, its_filter = string.match(all[i + 1], '^(%d+) (%S+)')
    if not till or tonumber(till) <= now then redis.call('HDEL', P .. 'tails', all[i])
    elseif all[i] ~= tail then others = others + 1
    else stands = its_filter == filter end
  end
  if others >= tonumber(most_tails) then return {'FULL'} end
  local till = string.format('%.0f', now + tonumber(valid_ms))
  redis.call('HSET', P .. 'tails', tail, till .. ' ' .. filter .. ' ' .. sealed)
  redis.call('EXPIRE', P .. 'tails', ttl)
  redis.call('EXPIRE', P .. 'taken:' .. tail, ttl)
  local place = ''
  if not stands then
    place = redis.call('XADD', P .. 'record', 'MAXLEN', '~', most_entries, '*', 'm', '1')
    redis.call('DEL', P .. 'taken:' .. tail)
    redis.call('PUBLISH', P .. 'news', SUBSCRIPTION_NEWS)
  end
  redis.call('EXPIRE', P .. 'record', ttl)
  return {'OK', place}
end

local function unsubscribe_live(tail)
  redis.call('DEL', P .. 'taken:' .. tail)
  return {'OK', redis.call('HDEL', P .. 'tails', tail)}
end

-- Returns of each subscription the tail, the digest of its filter, the sealed filter, and '1' if this replica has
-- accepted it.
local function subscriptions_live(incarnation)
  local now = to_ms(redis.call('TIME'))
  local wanted = {'OK'}
  local all = redis.call('HGETALL', P .. 'tails')
  for i = 1, #all, 2 do
    local till, filter, sealed = string.match(all[i + 1], '^(%d+) (%S+) (%S+)')
    if till and tonumber(till) > now then
      local taken = redis.call('SISMEMBER', P .. 'taken:' .. all[i], incarnation .. ' ' .. filter)
      wanted[#wanted + 1] = {all[i], filter, sealed, tostring(taken)}
    end
  end
  return wanted
end

-- more: of each subscription the tail and the digest of its filter, with a blank between them.
local function accept_live(incarnation, more)
  for _, subscription in ipairs(more) do
    local tail, filter = string.match(subscription, '^(%S+) (%S+)$')
    local stands = tail and redis.call('HGET', P .. 'tails', tail)
    if stands and string.match(stands, '^%d+ (%S+)') == filter then
      redis.call('SADD', P .. 'taken:' .. tail, incarnation .. ' ' .. filter)
      redis.call('EXPIRE', P .. 'taken:' .. tail, redis.call('TTL', P .. 'tails'))
    end
  end
  return {'OK'}
end

-- Returns 1 if every registered replica has accepted the subscription.
local function is_accepted_live(tail)
  local stands = redis.call('HGET', P .. 'tails', tail)
  local filter = stands and string.match(stands, '^%d+ (%S+)')
  if not filter then return {'OK', 0} end
  -- Not HKEYS, so that the permissions that operators have granted suffice.
  local replicas = redis.call('HGETALL', P .. 'live')
  for i = 1, #replicas, 2 do
    if redis.call('SISMEMBER', P .. 'taken:' .. tail, replicas[i] .. ' ' .. filter) == 0 then return {'OK', 0} end
  end
  return {'OK', 1}
end

-- more: each sealed text. Full memory rejects it as a whole: this is the first thing to give up.
local function publish_live(most_entries, ttl, more)
  if redis.call('EXISTS', P .. 'tails') == 0 then return {'OK'} end
  for _, sealed in ipairs(more) do redis.call('XADD', P .. 'record', 'MAXLEN', '~', most_entries, '*', 'e', sealed) end
  redis.call('EXPIRE', P .. 'record', ttl)
  return {'OK'}
end

-- Returns whether the position exists; then each position and sealed text, '' for a mark.
local function read_live(place, limit)
  local found = {'OK', #redis.call('XRANGE', P .. 'record', place, place)}
  for _, entry in ipairs(redis.call('XRANGE', P .. 'record', '(' .. place, '+', 'COUNT', limit)) do
    found[#found + 1] = entry[1]
    found[#found + 1] = entry_fields(entry).e or ''
  end
  return found
end
