-- The revocation log and the registry of replicas.

-- Removes expired entries from the index: a few from its front, where the oldest are, and a few from elsewhere, so
-- that entries with a wrong time at the front never block those behind them. (A script's own random numbers
-- repeat; the chain's hash does not.)
local function tidy_index(from)
  for _, row in ipairs(redis.call('ZRANGE', P .. 'idx', from, from + 19)) do
    local till = tonumber(string.match(row, '^%d+ (%d+) '))
    if till and till <= seconds then redis.call('ZREM', P .. 'idx', row) end
  end
end

local function has_expired(entry)
  return tonumber(entry_fields(entry).u) <= seconds
end

-- Numbers have no gaps and every entry's hash covers all before it, so that a log that lost or changed an entry is
-- detected (ROLLBACK). SHA-1 is what Lua offers here. It detects accidents; an attacker who can write to Redis
-- would not need to forge it.
local function append_entry(till, kind, key)
  n = n + 1
  h = redis.sha1hex(h .. ' ' .. n .. ' ' .. till .. ' ' .. kind .. ' ' .. key)
  -- test seam: EPOCH_FIELDS
  redis.call('HSET', P .. 'epoch', 'n', n, 'h', h)
  redis.call('XADD', P .. 'log', n .. '-0', 'h', h, 'u', till, 'k', kind, 't', key)
  if kind == 'revoked' then
    redis.call('ZADD', P .. 'idx', n, n .. ' ' .. till .. ' ' .. key)
    tidy_index(0)
    tidy_index(tonumber(string.sub(h, 1, 8), 16) % redis.call('ZCARD', P .. 'idx'))
  end
  -- Trims expired entries from the front. An entry is kept until the next one has expired too: a replica that
  -- renewed before the next one was written still finds its position, and need not join again because of the first
  -- revocation after a quiet time. The last entry always stays.
  local front = redis.call('XRANGE', P .. 'log', '-', '+', 'COUNT', 20)
  for i = 1, #front - 1 do
    local over = has_expired(front[i]) and has_expired(front[i + 1])
    if not over and redis.call('XLEN', P .. 'log') <= LONGEST_LOG then break end
    redis.call('XDEL', P .. 'log', front[i][1])
  end
  redis.call('PUBLISH', P .. 'news', n)
end

-- Appends an entry that revokes nothing.
local function append_notice(kind, key)
  append_entry(seconds + NOTICE_KEPT_SECONDS, kind, key)
end

-- How long an entry must be kept: the longest token lifetime that this store was ever told, or that the caller
-- knows, and skew.
local function stands_until(known)
  local kept = redis.call('GET', P .. 'longest')
  return seconds + math.max(tonumber(known), kept and tonumber(kept) or 0) + ENTRY_SKEW_SECONDS
end

local function registry()
  local states = {}
  local flat = redis.call('HGETALL', P .. 'live')
  for i = 2, #flat, 2 do states[#states + 1] = flat[i] end
  return states
end

local function position()
  return {'OK', id, n, h}
end

-- Join: the number first; the live entries follow page by page. longest: lifetime that the caller gives a token (s).
-- The longest one ever reported is kept. It never shrinks, and outlives epochs.
local function join(longest)
  local kept = redis.call('GET', P .. 'longest')
  if not kept or tonumber(kept) < tonumber(longest) then redis.call('SET', P .. 'longest', longest) end
  return {'OK', id, n, h}
end

-- Returns a page of live entries, as lines `NUMBER UNTIL KEY`; the next begins after the last number. after: number
-- after which to begin. EPOCH: the pages that the caller has read so far are of another epoch.
local function live_page(after, most)
  if my_epoch ~= id then return {'EPOCH'} end
  local rows = redis.call('ZRANGEBYSCORE', P .. 'idx', '(' .. after, '+inf', 'LIMIT', 0, most)
  return {'OK', #rows, table.concat(rows, '\n')}
end

-- Returns a page of the log's own rows, as lines `ID FIELD VALUE …`, because thousands of lists take long to parse.
-- after: number after which to begin. last: the last one. EPOCH as above.
local function log_page(after, last, most)
  if my_epoch ~= id then return {'EPOCH'} end
  local rows = redis.call('XRANGE', P .. 'log', '(' .. after .. '-0', last .. '-0', 'COUNT', most)
  for i, row in ipairs(rows) do rows[i] = row[1] .. ' ' .. table.concat(row[2], ' ') end
  return {'OK', #rows, table.concat(rows, '\n')}
end

-- Renew: head; the caller's state into `live`; all entries after the caller's number, the epoch, the registry. One
-- script, so that a fresh lease means a fresh view. The reply also has the locks of the accounts in the entries
-- (digest, sealed lock or ''), and the longest lease that any replica may hold. state: JSON. longest: the longest lease
-- that the caller knows of, including its own (ms). assumed: the lease of a version that registers none (ms).
local function renew(incarnation, state, longest, assumed)
  -- docs/revocation-protocol.md#head-2, EPOCH and GAP: nothing of the caller is written.
  if my_epoch ~= id then return {'EPOCH'} end
  -- safeguard: GAP
  if gap then return {'GAP'} end
  redis.call('HSET', P .. 'live', incarnation, state)
  -- Without this mark, some replica of an earlier epoch registered no lease, or a version that registers none began
  -- this one: leases are incomplete.
  if redis.call('HSETNX', P .. 'epoch', 'leases', 1) == 1 then remember_lease(assumed) end
  remember_lease(longest)
  local entries = redis.call('XRANGE', P .. 'log', (my_number + 1) .. '-0', '+')
  local locks = {}
  for _, entry in ipairs(entries) do
    local acc = string.match(entry_fields(entry).t or '', '^account:(.*)$')
    if acc then
      locks[#locks + 1] = acc
      locks[#locks + 1] = redis.call('HGET', P .. 'lock', acc) or ''
    end
  end
  return {'OK', entries, registry(), rid, settled and 1 or 0, locks, longest_lease()}
end

-- Compare-and-delete. A replica that was silent for long comes back in this very moment, and would hold a lease without
-- being in the registry, so that no revocation waits for it. So its count is compared. count: that with which it was
-- last seen, or '' for the caller itself.
local function leave(incarnation, count)
  local state = redis.call('HGET', P .. 'live', incarnation)
  if state and (count == '' or cjson.decode(state).count == tonumber(count)) then
    redis.call('HDEL', P .. 'live', incarnation)
  end
  return {'OK'}
end

local function announce_drill(drill)
  append_notice('drill', drill)
  return {'OK', id, n}
end
