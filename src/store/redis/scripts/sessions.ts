/** The scripts of sessions. */
import { FRESH_KEPT_SECONDS, MOST_SESSIONS_OF_AN_ACCOUNT } from '../../lifetimes.ts';
import { script } from './head.ts';
import { ARTEFACTS, LOG, SESSIONS } from './parts.ts';

/** The reply of a script about one session: its fields, and those of the sessions above it. */
const GRANTED = `
local function granted(hash)
  local f, why = session(hash)
  if not f then return {'NO', why} end
  return {'OK', id, n, f, all_above()}
end
`;

const CHECKS = [ARTEFACTS, SESSIONS, GRANTED];

/**
 * Opens a session. ARGV from 6: session digest, account digest, provider, epoch and number where the sign-in
 * started, absolute end (s), idle seconds, created (s), TTL for cleaning up (s), sealed record, sealed secret,
 * username digest, digest of the session it was opened through or '', when the user authenticated (s) or '',
 * digest of the provider's session or '', largest error of the provider's clock (s), thumbprint or ''. Then of a
 * delegated session, each '' for any other: digests of the sessions above it, sealed label, how many its user's own
 * session may have beneath it. UNSETTLED: locks of an earlier epoch may not have been written back yet.
 */
export const openSession = script(
  'open-session',
  `
local hash, acc, prov, epoch, started, exp, idle, created, ttl, record, secret, user, via, proved, ps, skew, tp, up, label,
  delegations = unpack(ARGV, 6)
local key = P .. 'session:' .. hash
-- A position in an earlier epoch, or one that this epoch has not reached: the sign-in began elsewhere.
if epoch ~= id or tonumber(started) > n then return {'NO', 'epoch_changed'} end
if locked(acc) then return {'NO', 'account_locked'} end
-- The account may be revoked while the user is at the provider's page.
if covered(acc, prov, tonumber(started)) then return {'NO', 'session_revoked'} end
local last = math.min(tonumber(exp), tonumber(created) + tonumber(idle))
if seconds >= last then return {'NO', 'session_expired'} end
local root
if up == '' then
  -- The provider may end its session while the user is between its page and ours.
  local closed = ps ~= '' and redis.call('GET', P .. 'closed:' .. ps)
  if closed and tonumber(closed) > now then return {'NO', 'session_revoked'} end
  local mark = tonumber(redis.call('ZSCORE', P .. 'fresh', acc) or '-inf')
  local proof = tonumber(proved)
  local proven = proof and proof >= mark - tonumber(skew)
  if seconds < mark + ${FRESH_KEPT_SECONDS} and not proven then return {'NO', 'fresh_sign_in_needed'} end
else
  -- A user delegates while an admin revokes: whichever script comes first, what is beneath an ended session never lives.
  -- And each session above it must be of the same account, and stand where the new one says that it stands.
  local chain, parent = '', nil
  for ancestor in each_of(up) do
    local g = session_alone(ancestor)
    local elsewhere = g and (g[2] ~= acc or g[3] ~= prov or g[18] ~= chain)
    if is_over(g) or elsewhere then return {'NO', 'parent_over'} end
    chain = chain == '' and ancestor or chain .. ' ' .. ancestor
    root = root or ancestor
    parent = g
  end
  if parent and tonumber(exp) > tonumber(parent[5]) then return {'NO', 'parent_over'} end
end
local there = redis.call('HGET', key, 'ep')
if there == epoch_for('') or there == epoch_for('a session') then return {'EXISTS'} end
if not settled then return {'UNSETTLED'} end

-- Sessions that have ended and have not been removed yet do not count.
local function is_full(index, most)
  if redis.call('ZCARD', index) < most then return false end
  for _, old in ipairs(redis.call('ZRANGE', index, 0, 99)) do
    if not session(old) then
      end_session(old)
      -- Redis may have dropped its record by its TTL, and with it the list of its indexes.
      redis.call('ZREM', index, old)
    end
  end
  return redis.call('ZCARD', index) >= most
end
if root and is_full(P .. 'beneath:' .. root, tonumber(delegations)) then return {'NO', 'delegations_too_many'} end
if is_full(P .. 'account:' .. acc, ${MOST_SESSIONS_OF_AN_ACCOUNT}) then return {'NO', 'sessions_too_many'} end
redis.call('DEL', key, P .. 'recent:' .. hash)

local seq = redis.call('INCR', P .. 'seq')
-- test seam: SESSION_FIELDS
redis.call('HSET', key, 'ep', epoch_for(up), 'acc', acc, 'prov', prov, 'sn', started, 'exp', exp, 'idle', idle, 'lu', created,
  'v', 1, 'r', record, 'x', secret, 'seq', seq, 'un', user, 'via', via, 'ck', created, 'ps', ps)
if tp ~= '' then redis.call('HSET', key, 'tp', tp) end
if up ~= '' then redis.call('HSET', key, 'up', up, 'd', label) end
redis.call('EXPIRE', key, ttl)
redis.call('ZADD', P .. 'sessions', seq, hash)
redis.call('ZADD', P .. 'used', place_of_use(created, seq), hash)
redis.call('ZADD', P .. 'ends', last, hash)
redis.call('ZADD', P .. 'ends:' .. prov, last, hash)
redis.call('SADD', P .. 'providers', prov)
index_session('account:' .. acc, seq, hash, ttl)
index_session('user:' .. user, seq, hash, ttl)
if ps ~= '' then index_session('provider-session:' .. ps, seq, hash, ttl) end
for ancestor in each_of(up) do index_session('beneath:' .. ancestor, seq, hash, ttl) end

-- Each session opened removes up to ten that have ended, so that the indexes stay as small as the number of live
-- sessions.
for _, old in ipairs(redis.call('ZRANGEBYSCORE', P .. 'ends', '-inf', seconds, 'LIMIT', 0, 10)) do end_session(old) end
redis.call('ZREMRANGEBYSCORE', P .. 'ends:' .. prov, '-inf', seconds)
return granted(hash)
`,
  { with: CHECKS, stores: true },
);

/** ARGV 6: session digest, 7: thumbprint or ''. UNSETTLED as above. */
export const mintSession = script(
  'mint-session',
  `
local hash, thumbprint = ARGV[6], ARGV[7]
local f, why = session(hash)
if not f then return {'NO', why} end
-- A binding is permanent: a client without the certificate is rejected like one with another certificate.
if f[9] ~= '' and f[9] ~= thumbprint then return {'NO', 'certificate_mismatch'} end
if locked(f[2]) then return {'NO', 'account_locked'} end
if not settled then return {'UNSETTLED'} end
local key = P .. 'session:' .. hash
redis.call('HSET', key, 'lu', seconds)
if thumbprint ~= '' then redis.call('HSET', key, 'tp', thumbprint) end
local last = math.min(tonumber(f[5]), seconds + tonumber(f[6]))
redis.call('ZADD', P .. 'ends', 'XX', last, hash)
redis.call('ZADD', P .. 'ends:' .. f[3], 'XX', last, hash)
-- Not XX, so that a session that an earlier version opened is added.
redis.call('ZADD', P .. 'used', place_of_use(seconds, f[12]), hash)
return granted(hash)
`,
  { with: CHECKS },
);

/** ARGV 6: session digest. */
export const readSession = script(
  'read-session',
  `
return granted(ARGV[6])
`,
  { with: CHECKS },
);

/**
 * ARGV from 6: session digest, the version that the caller read, sealed secret or '' if it stays, then sealed record or
 * '' if it stays, digest of the username in it, TTL of the username's index (s), `yes` if the provider has just been
 * asked, digest of the key that the notice has.
 */
export const updateSession = script(
  'update-session',
  `
local hash, version, secret, record, user, ttl, checked, notice = unpack(ARGV, 6)
local f, why = session(hash)
if not f then return {'NO', why} end
-- Another re-check came between: the caller reads again.
if f[8] ~= version then return {'STALE'} end
local key = P .. 'session:' .. hash
if secret ~= '' then redis.call('HSET', key, 'x', secret) end
if checked == 'yes' then redis.call('HSET', key, 'ck', seconds) end
if record ~= '' then
  redis.call('HSET', key, 'r', record, 'v', tonumber(version) + 1)
  if user ~= f[14] then
    -- What is beneath it has its identity.
    local renamed = redis.call('ZRANGE', P .. 'beneath:' .. hash, 0, -1)
    renamed[#renamed + 1] = hash
    for _, one in ipairs(renamed) do
      local seq = redis.call('HGET', P .. 'session:' .. one, 'seq')
      redis.call('ZREM', P .. 'user:' .. f[14], one)
      if seq then
        redis.call('HSET', P .. 'session:' .. one, 'un', user)
        index_session('user:' .. user, seq, one, ttl)
      end
    end
  end
  append_notice('identity-changed', 'session:' .. notice)
end
return granted(hash)
`,
  { with: [...CHECKS, LOG] },
);

/**
 * Lists sessions. ARGV 6: the index (`sessions`, `used`, or that of an account, a username, a provider's session or
 * what is beneath a session), 7: score after which to begin or '', 8: how many, 9: `up` or `down`, 10: `own`, `delegated` or ''.
 * Examines a bounded number of index entries and removes those of ended sessions. MORE: the caller may continue from the returned score. Each
 * session comes with its score.
 */
export const listSessions = script(
  'list-sessions',
  `
local index, most, up, only = P .. ARGV[6], tonumber(ARGV[8]), ARGV[9] == 'up', ARGV[10]
local from = ARGV[7] == '' and (up and '-inf' or '+inf') or '(' .. ARGV[7]
local batch
if up then batch = redis.call('ZRANGEBYSCORE', index, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 200)
else batch = redis.call('ZREVRANGEBYSCORE', index, from, '-inf', 'WITHSCORES', 'LIMIT', 0, 200) end
local function kind_of(hash)
  return (redis.call('HGET', P .. 'session:' .. hash, FIELDS[18]) or '') == '' and 'own' or 'delegated'
end
local found, last, more = {}, '', #batch == 400
for i = 1, #batch, 2 do
  last = batch[i + 1]
  local f, why
  -- Those that are not asked for are not read: each has some kilobytes.
  if only == '' or only == kind_of(batch[i]) then f, why = session(batch[i]) end
  if f then
    found[#found + 1] = {batch[i], f, last}
    if #found == most then
      more = more or i + 1 < #batch
      break
    end
  elseif why and why ~= 'session_revoked' then
    end_session(batch[i])
    redis.call('ZREM', index, batch[i])
  end
end
return {more and 'MORE' or 'OK', last, found, all_above()}
`,
  { with: CHECKS },
);

/**
 * Counts sessions. ARGV 6: the index, 7: rank of the first one, 8: how many are examined. Returns whether there are more, the
 * number of those that have not ended, how many of them are delegated, and the digests of their accounts. What is sealed
 * is not read: a thousand sessions with the largest limits have eight megabytes of it.
 */
export const tallySessions = script(
  'tally-sessions',
  `
local index, first, most = P .. ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local batch = redis.call('ZRANGE', index, first, first + most - 1)
local sessions, delegated, seen, accounts = 0, 0, {}, {}
for _, hash in ipairs(batch) do
  local f = session(hash, true)
  if f then
    sessions = sessions + 1
    if f[18] ~= '' then delegated = delegated + 1 end
    if not seen[f[2]] then
      seen[f[2]] = true
      accounts[#accounts + 1] = f[2]
    end
  end
end
return {#batch == most and 'MORE' or 'OK', sessions, delegated, accounts}
`,
  { with: CHECKS },
);

/**
 * ARGV from 6: digest of the provider's session, until (ms), TTL for cleaning up (s). It revokes, so it must pass
 * even when Redis is full.
 */
export const closeProviderSession = script(
  'close-provider-session',
  `
local ps, till, ttl = unpack(ARGV, 6)
redis.call('SET', P .. 'closed:' .. ps, till)
redis.call('EXPIRE', P .. 'closed:' .. ps, ttl)
return {'OK'}
`,
);

/** Every session has one entry in `ends`, scored by the second in which it ends. */
export const countSessions = script(
  'count-sessions',
  `return {'OK', redis.call('ZCOUNT', P .. 'ends', '(' .. seconds, '+inf')}`,
);

/**
 * ARGV from 6: session digest, holder, until (ms), TTL for cleaning up (s). It passes when Redis is full: without
 * it no token is renewed, and there is at most one small key for each session.
 */
export const claimRecheck = script(
  'claim-recheck',
  `
local hash, holder, till, ttl = unpack(ARGV, 6)
local key = P .. 'recheck:' .. hash
local f = redis.call('HMGET', key, 'holder', 'until')
if f[1] and f[1] ~= holder and tonumber(f[2]) > now then return {'OK', 0} end
redis.call('HSET', key, 'holder', holder, 'until', till)
redis.call('EXPIRE', key, ttl)
return {'OK', 1}
`,
);

/** Releases a claim, if the caller holds it. ARGV 6: session digest, 7: holder. */
export const releaseRecheck = script(
  'release-recheck',
  `
local key = P .. 'recheck:' .. ARGV[6]
if redis.call('HGET', key, 'holder') == ARGV[7] then redis.call('DEL', key) end
return {'OK'}
`,
);
