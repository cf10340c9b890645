/** Lua that several scripts share; each part is placed between a script's head and its body. */
import {
  ENTRY_SKEW_SECONDS,
  FRESH_KEPT_SECONDS,
  LONGEST_LOG,
  MOST_LABELS,
  NOTICE_KEPT_SECONDS,
} from '../../lifetimes.ts';
import { PENDING_KEPT_SECONDS } from '../../pending.ts';
import { SCORES_PER_SECOND } from '../../pages.ts';
import { GRANTS } from './grants.ts';

/**
 * How many artefacts of a session are deleted immediately. An account may have a thousand sessions, which a
 * revocation ends in one step.
 */
const ARTEFACTS_DROPPED_AT_ONCE = 16;

/** Deletes an artefact together with the names that lead to it. */
export const ARTEFACTS = `
-- Returns an artefact's bytes to the budget of its kind. Its value pd has the bytes, and the site that caused the
-- artefact.
local function leave_pending(key, place)
  local kind, bytes, site = string.match(place, '^(%S+) (%d+) (%S+)$')
  local pending = P .. 'pending:' .. kind
  if redis.call('ZREM', pending, place .. ' ' .. key) == 0 then return end
  redis.call('ZREM', pending .. ':' .. site, place .. ' ' .. key)
  redis.call('HINCRBY', pending .. ':all', 'bytes', -bytes)
  local left = redis.call('ZADD', pending .. ':sites', 'INCR', -bytes, site)
  if tonumber(left) <= 0 then redis.call('ZREM', pending .. ':sites', site) end
end

local function drop_artefact(key)
  local f = redis.call('HMGET', key, 'uid', 'code', 'of', 'pd')
  for i = 1, 2 do
    if f[i] and redis.call('GET', f[i]) == key then redis.call('DEL', f[i]) end
  end
  if f[3] then redis.call('SREM', f[3], key) end
  if f[4] then leave_pending(key, f[4]) end
  redis.call('DEL', key)
end

-- Returns nil for an artefact of an earlier epoch, an expired one, or one of an ended session. The server's own
-- TTL only cleans up.
local function live_artefact(key)
  local f = redis.call('HMGET', key, 'ep', 'exp', 'p', 'c', 'of')
  if f[1] ~= id or tonumber(f[2]) <= now then return nil end
  if f[5] and redis.call('SISMEMBER', f[5], key) == 0 then return nil end
  return f
end

-- Without the set that names them, all of them are invalid. An attacker refreshes in a loop and then has the
-- session end: to delete a hundred thousand artefacts here would block Redis until leases lapse. So a few are
-- deleted now, as many as users have, and TTLs remove the rest.
local function drop_artefacts_of(set)
  for _, key in ipairs(redis.call('SRANDMEMBER', set, ${ARTEFACTS_DROPPED_AT_ONCE})) do drop_artefact(key) end
  redis.call('UNLINK', set)
end
`;

/** The memory budget of artefacts that unauthenticated clients can create (`pending.ts`); needs ARTEFACTS before it. */
export const PENDING = `
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
  for _, name in ipairs({'', ':' .. site, ':sites', ':all'}) do redis.call('EXPIRE', pending .. name, ${PENDING_KEPT_SECONDS}) end
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
`;

/**
 * Ends the `ep` of a delegated session. An earlier version knows neither its limits nor the sessions above it: it would
 * give an attacker who has its key all the rights of its user, also after the user's own session was revoked. So the
 * `ep` is one that such a version takes for an epoch that is over, and rejects.
 */
export const DELEGATED = '+';

/**
 * How many of the sessions beneath one are deleted with it when it is cleaned up. Those that are left are rejected,
 * because a session above them is gone, and have an end of their own. A revocation deletes all of them.
 */
const BENEATH_CLEANED_UP = 100;

/** Evaluates and ends sessions. `hash` is a session id's digest. */
export const SESSIONS = `
${GRANTS}
local FIELDS = {'ep', 'acc', 'prov', 'sn', 'exp', 'idle', 'lu', 'v', 'tp', 'r', 'x', 'seq', 'via', 'un', 'ck', 'ps', 'lr',
  'up', 'gr'}

-- up: digests of the sessions above a delegated one, the user's own first. '' or nothing for any other session.
local function epoch_for(up)
  return up and up ~= '' and id .. '${DELEGATED}' or id
end

local function each_of(up)
  return string.gmatch(up or '', '%S+')
end

-- Watermarks of account, provider and all must be at most the number at which the sign-in STARTED.
local function covered(acc, prov, started)
  local marks = redis.call('HMGET', P .. 'wm', 'account:' .. acc, 'provider:' .. prov, 'all')
  for i = 1, 3 do
    -- safeguard: WATERMARK
    if marks[i] and tonumber(marks[i]) > started then return true end
  end
  return false
end

local function locked(acc)
  return redis.call('HEXISTS', P .. 'lock', acc) == 1
end

-- Evaluates one session, whatever is above it. Returns its fields, or nil and the reason. brief: only the first seven and
-- those above it are read, for one that is counted. The others have kilobytes.
local function session_alone(hash, brief)
  local f
  if brief then
    f = redis.call('HMGET', P .. 'session:' .. hash, 'ep', 'acc', 'prov', 'sn', 'exp', 'idle', 'lu', 'up')
    f[18] = f[8]
  else f = redis.call('HMGET', P .. 'session:' .. hash, unpack(FIELDS)) end
  if not f[1] then return nil, 'session_unknown' end
  if f[1] ~= epoch_for(f[18]) then return nil, 'epoch_changed' end
  if covered(f[2], f[3], tonumber(f[4])) then return nil, 'session_revoked' end
  if seconds >= tonumber(f[5]) or seconds >= tonumber(f[7]) + tonumber(f[6]) then return nil, 'session_expired' end
  for i = 1, #FIELDS do f[i] = f[i] or '' end
  return f
end

-- A token that is minted after the revocation of a session has a number beyond its entry, so no replica would reject it:
-- nothing is opened or minted beneath a session that has ended. g: fields of a valid session, or nil.
local function is_over(g)
  -- safeguard: PARENT_ALIVE
  return not g
end

-- The fields of every session above those that were evaluated, for the reply.
local above = {}

-- Returns the fields of a valid session, its grants as a reply shows them, or nil and the reason.
local function session(hash, brief)
  local f, why = session_alone(hash, brief)
  if not f then return nil, why end
  for ancestor in each_of(f[18]) do
    -- Hundreds may be beneath one session.
    local g = above[ancestor] or session_alone(ancestor, brief)
    if is_over(g) then return nil, 'parent_over' end
    above[ancestor] = g
  end
  if not brief then f[19] = shown_grants(f[19]) end
  return f
end

local function all_above()
  local found = {}
  for hash, f in pairs(above) do
    -- Their grants reach nothing beneath them, for any reader: they would only make the reply longer.
    f[19] = ''
    found[#found + 1] = {hash, f}
  end
  return found
end

-- The score in the order of last use: no two sessions used in one second share it. A whole number below 2^53,
-- written as one.
local function place_of_use(at, seq)
  return string.format('%.0f', tonumber(at) * ${SCORES_PER_SECOND} + tonumber(seq) % ${SCORES_PER_SECOND})
end

-- Deletes a session with its artefacts, its recent requests and its entries in every index.
local function end_alone(hash)
  local key = P .. 'session:' .. hash
  local f = redis.call('HMGET', key, 'acc', 'prov', 'un', 'ps', 'up')
  drop_artefacts_of(P .. 'of:' .. hash)
  redis.call('DEL', key, P .. 'recheck:' .. hash, P .. 'recent:' .. hash)
  redis.call('ZREM', P .. 'sessions', hash)
  redis.call('ZREM', P .. 'used', hash)
  redis.call('ZREM', P .. 'ends', hash)
  if f[1] then redis.call('ZREM', P .. 'account:' .. f[1], hash) end
  if f[2] then redis.call('ZREM', P .. 'ends:' .. f[2], hash) end
  if f[3] then redis.call('ZREM', P .. 'user:' .. f[3], hash) end
  if f[4] and f[4] ~= '' then redis.call('ZREM', P .. 'provider-session:' .. f[4], hash) end
  for ancestor in each_of(f[5]) do redis.call('ZREM', P .. 'beneath:' .. ancestor, hash) end
  redis.call('UNLINK', P .. 'beneath:' .. hash)
end

-- Does the same, and first for what is beneath it.
local function end_session(hash)
  for _, child in ipairs(redis.call('ZRANGE', P .. 'beneath:' .. hash, 0, ${BENEATH_CLEANED_UP - 1})) do end_alone(child) end
  end_alone(hash)
end

-- The index of a user, or of a session at a provider, lives as long as its longest session.
local function index_session(name, seq, hash, ttl)
  -- When Redis drops a record by its TTL, its indexes are no longer known: for each session added, up to two stale
  -- ones are removed.
  for _, old in ipairs(redis.call('ZRANGE', P .. name, 0, 1)) do
    if redis.call('EXISTS', P .. 'session:' .. old) == 0 then redis.call('ZREM', P .. name, old) end
  end
  redis.call('ZADD', P .. name, seq, hash)
  if redis.call('TTL', P .. name) < tonumber(ttl) then redis.call('EXPIRE', P .. name, ttl) end
end

-- docs/revocation-protocol.md#revoke-2, "swept later": ends a bounded batch of the sessions that the revocation of
-- a provider or of all has covered.
local function sweep_batch(key, size)
  local batch = redis.call('ZPOPMIN', key, size)
  -- What is beneath one of them is among them.
  for i = 1, #batch, 2 do end_alone(batch[i]) end
  if redis.call('EXISTS', key) == 0 then redis.call('SREM', P .. 'sweeps', key) end
end
`;

/** Writes the log and reads the registry. */
export const LOG = `
-- Removes expired entries from the index: a few from its front, where the oldest are, and a few from elsewhere, so
-- that entries with a wrong time at the front never block those behind them. (A script's own random numbers
-- repeat; the chain's hash does not.)
local function tidy_index(from)
  for _, row in ipairs(redis.call('ZRANGE', P .. 'idx', from, from + 19)) do
    local till = tonumber(string.match(row, '^%d+ (%d+) '))
    if till and till <= seconds then redis.call('ZREM', P .. 'idx', row) end
  end
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
    local over = tonumber(front[i][2][4]) <= seconds and tonumber(front[i + 1][2][4]) <= seconds
    if not over and redis.call('XLEN', P .. 'log') <= ${LONGEST_LOG} then break end
    redis.call('XDEL', P .. 'log', front[i][1])
  end
  redis.call('PUBLISH', P .. 'news', n)
end

-- Appends an entry that revokes nothing.
local function append_notice(kind, key)
  append_entry(seconds + ${NOTICE_KEPT_SECONDS}, kind, key)
end

-- How long an entry must be kept: the longest token lifetime that this store was ever told, or that the caller
-- knows, and skew.
local function stands_until(known)
  local kept = redis.call('GET', P .. 'longest')
  return seconds + math.max(tonumber(known), kept and tonumber(kept) or 0) + ${ENTRY_SKEW_SECONDS}
end

local function registry()
  local states = {}
  local flat = redis.call('HGETALL', P .. 'live')
  for i = 2, #flat, 2 do states[#states + 1] = flat[i] end
  return states
end
`;

/** Revokes; needs ARTEFACTS, SESSIONS and LOG before it. */
export const REVOKE = `
-- How many delegated sessions were ended, and of the first of them the digest and the sealed label, in turns.
local delegated, labels = 0, {}

local function finish_alone(hash)
  local f = redis.call('HMGET', P .. 'session:' .. hash, 'ep', 'exp', 'idle', 'lu', 'up', 'd')
  local alive = f[1] == epoch_for(f[5]) and seconds < tonumber(f[2]) and seconds < tonumber(f[4]) + tonumber(f[3])
  end_alone(hash)
  if alive and f[6] then
    delegated = delegated + 1
    if #labels < ${2 * MOST_LABELS} then
      labels[#labels + 1] = hash
      labels[#labels + 1] = f[6]
    end
  end
  return alive and 1 or 0
end

-- Ends a session and all that is beneath it. Returns how many were alive. An account has a bounded number of sessions.
local function finish(hash)
  local ended = 0
  for _, child in ipairs(redis.call('ZRANGE', P .. 'beneath:' .. hash, 0, -1)) do ended = ended + finish_alone(child) end
  return ended + finish_alone(hash)
end

-- docs/architecture.md#invariant-11: the next sign-in of this account must be a fresh one.
local function demand_fresh(acc)
  redis.call('ZADD', P .. 'fresh', 'GT', seconds, acc)
  redis.call('ZREMRANGEBYSCORE', P .. 'fresh', '-inf', seconds - ${FRESH_KEPT_SECONDS})
end

-- docs/revocation-protocol.md#mint: a session or sign-in that started below the watermark of its account, its
-- provider or of all is rejected.
local function raise_watermark(key, kept)
  redis.call('HSET', P .. 'wm', key, n)
  if kept then redis.call('ZADD', P .. 'wm:until', kept, key) end
  for _, mark in ipairs(redis.call('ZRANGEBYSCORE', P .. 'wm:until', '-inf', now, 'LIMIT', 0, 20)) do
    redis.call('HDEL', P .. 'wm', mark)
    redis.call('ZREM', P .. 'wm:until', mark)
  end
end

-- how: 'ended' regularly; 'certain' of the user's identity; or ''.
local function revoke_session(hash, till, how)
  local f = how == 'ended' and {} or redis.call('HMGET', P .. 'session:' .. hash, 'acc', 'via', 'up')
  -- No sign-in opens a delegated session, so none brings it back, and its user's own session goes on.
  local is_delegated = f[3] and f[3] ~= ''
  if f[1] and how ~= 'certain' and not is_delegated then demand_fresh(f[1]) end
  local ended = 0
  -- The browser session through which it was opened would silently open the next one, so it is revoked too, by an
  -- entry of its own.
  if f[2] and f[2] ~= '' and redis.call('HGET', P .. 'session:' .. f[2], 'ep') == id then
    append_entry(till, 'revoked', 'session:' .. f[2])
    ended = finish(f[2])
  end
  append_entry(till, 'revoked', 'session:' .. hash)
  return ended + finish(hash)
end

local function revoke_account(acc, till, mark_kept)
  demand_fresh(acc)
  append_entry(till, 'revoked', 'account:' .. acc)
  raise_watermark('account:' .. acc, mark_kept)
  local ended = 0
  for _, hash in ipairs(redis.call('ZRANGE', P .. 'account:' .. acc, 0, -1)) do ended = ended + finish(hash) end
  redis.call('DEL', P .. 'account:' .. acc)
  return ended
end

-- The session goes on without it, so each replica reads it again before it learns of the end.
local function revoke_grant(grant, till, hash, notice)
  drop_grant(hash, grant)
  append_notice('identity-changed', 'session:' .. notice)
  append_entry(till, 'revoked', 'session:' .. grant)
  return 0
end

-- A provider or all: there may be many sessions, so the sweep ends them.
local function revoke_many(key, ends, till, batch)
  append_entry(till, 'revoked', key)
  raise_watermark(key)
  local ended = redis.call('ZCOUNT', ends, '(' .. seconds, '+inf')
  if redis.call('EXISTS', ends) == 1 then
    local sweep = P .. 'sweep:' .. n
    redis.call('RENAME', ends, sweep)
    redis.call('SADD', P .. 'sweeps', sweep)
    sweep_batch(sweep, tonumber(batch))
  end
  return ended
end
`;
