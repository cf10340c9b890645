-- Recent requests of sessions.

-- Adds recent requests. sealed: so many of them as count. most: how many are kept. slack: by how much the key outlives
-- the session (s). newest: when the newest of them arrived (s).
--
-- An entry's id counts the session's requests up to its last one, so that Redis itself drops entries behind the
-- newest. Each entry holds at least one request, and at most twice as many are kept as are shown. Full memory
-- rejects it as a whole.
local function add_recent(hash, sealed, count, most, slack, newest)
  local f, why = valid_session(hash)
  if not f then return {'NO', why} end
  local total = redis.call('HINCRBY', P .. 'session:' .. hash, 'rq', count)
  local key = P .. 'recent:' .. hash
  local oldest = string.format('%.0f', math.max(total - tonumber(most) + 1, 0))
  -- test seam: RECENT_FIELDS
  redis.call('XADD', key, 'MINID', oldest, string.format('%.0f-0', total), 'e', sealed)
  redis.call('EXPIRE', key, tonumber(f.exp) - seconds + tonumber(slack))
  -- Shown as the last use, and part of no end: 'lu' alone decides about the idle end.
  if tonumber(newest) - math.max(tonumber(f.lu), tonumber(f.lr) or 0) >= USE_SECONDS then
    redis.call('HSET', P .. 'session:' .. hash, 'lr', newest)
    redis.call('ZADD', P .. 'used', place_of_use(newest, f.seq), hash)
  end
  return {'OK'}
end

-- Returns sealed entries of a session, oldest first. An entry's id is the number of its last request.
local function recent_of(hash, least)
  if not valid_session(hash) then return {} end
  local first = '-'
  if least ~= '' then
    local total = tonumber(redis.call('HGET', P .. 'session:' .. hash, 'rq') or 0)
    first = string.format('%.0f', math.max(total - tonumber(least) + 1, 0))
  end
  local found = {}
  local stream = redis.call('XRANGE', P .. 'recent:' .. hash, first, '+', 'COUNT', 100)
  for _, entry in ipairs(stream) do found[#found + 1] = entry_fields(entry).e end
  return found
end

-- hashes: of sessions. least: of how many requests of each at least, or '' for all. Returns the entries of each.
local function read_recent(hashes, least)
  local each = {}
  for hash in each_of(hashes) do each[#each + 1] = recent_of(hash, least) end
  return {'OK', each}
end
