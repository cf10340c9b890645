/** The scripts of the revocation log. */
import { script } from './head.ts';
import { LEASES } from './leases.ts';
import { ARTEFACTS, LOG, REVOKE, SESSIONS } from './parts.ts';

export const position = script('position', `return {'OK', id, n, h}`);

/**
 * Join: the number first; the live entries follow page by page. ARGV 6: the longest lifetime that the caller gives
 * a token (s). The longest one ever reported is kept. It never shrinks, and outlives epochs.
 */
export const join = script(
  'join',
  `
local kept = redis.call('GET', P .. 'longest')
if not kept or tonumber(kept) < tonumber(ARGV[6]) then redis.call('SET', P .. 'longest', ARGV[6]) end
return {'OK', id, n, h}
`,
);

/**
 * Returns a page of live entries, as lines `NUMBER UNTIL KEY`; the next begins after the last number. ARGV 6:
 * number after which to begin, 7: how many at most. EPOCH: the pages that the caller has read so far are of
 * another epoch.
 */
export const livePage = script(
  'live-page',
  `
if ARGV[2] ~= id then return {'EPOCH'} end
local rows = redis.call('ZRANGEBYSCORE', P .. 'idx', '(' .. ARGV[6], '+inf', 'LIMIT', 0, ARGV[7])
return {'OK', #rows, table.concat(rows, '\\n')}
`,
);

/**
 * Returns a page of the log's own rows, as lines `ID FIELD VALUE …`, because thousands of lists take long to
 * parse. ARGV 6: number after which to begin, 7: the last one, 8: how many at most. EPOCH as above.
 */
export const logPage = script(
  'log-page',
  `
if ARGV[2] ~= id then return {'EPOCH'} end
local rows = redis.call('XRANGE', P .. 'log', '(' .. ARGV[6] .. '-0', ARGV[7] .. '-0', 'COUNT', ARGV[8])
for i, row in ipairs(rows) do rows[i] = row[1] .. ' ' .. table.concat(row[2], ' ') end
return {'OK', #rows, table.concat(rows, '\\n')}
`,
);

/**
 * Renew: head; the caller's state into `live`; all entries after the caller's number, the epoch, the registry. One
 * script, so that a fresh lease means a fresh view. The reply also has the locks of the accounts in the entries
 * (digest, sealed lock or ''), and the longest lease that any replica may hold. ARGV 6: incarnation, 7: state
 * (JSON), 8: the longest lease that the caller knows of, including its own (ms), 9: the assumed lease of a version
 * that registers none (ms).
 */
export const renew = script(
  'renew',
  `
-- docs/revocation-protocol.md#head-2, EPOCH and GAP: nothing of the caller is written.
if ARGV[2] ~= id then return {'EPOCH'} end
-- safeguard: GAP
if gap then return {'GAP'} end
redis.call('HSET', P .. 'live', ARGV[6], ARGV[7])
-- Without this mark, some replica of an earlier epoch registered no lease, or a version that registers none began
-- this one: leases are incomplete.
if redis.call('HSETNX', P .. 'epoch', 'leases', 1) == 1 then remember_lease(ARGV[9]) end
remember_lease(ARGV[8])
local entries = redis.call('XRANGE', P .. 'log', (mine + 1) .. '-0', '+')
local locks = {}
for _, entry in ipairs(entries) do
  local acc = string.match(entry[2][8] or '', '^account:(.*)$')
  if acc then
    locks[#locks + 1] = acc
    locks[#locks + 1] = redis.call('HGET', P .. 'lock', acc) or ''
  end
end
return {'OK', entries, registry(), rid, settled and 1 or 0, locks, longest_lease()}
`,
  { with: [LOG, LEASES] },
);

/**
 * Compare-and-delete. A replica that was silent for long comes back in this very moment, and would hold a lease
 * without being in the registry, so that no revocation waits for it. So its count is compared. ARGV 6:
 * incarnation, 7: the count with which it was last seen, or '' for the caller itself.
 */
export const leave = script(
  'leave',
  `
local state = redis.call('HGET', P .. 'live', ARGV[6])
if state and (ARGV[7] == '' or cjson.decode(state).count == tonumber(ARGV[7])) then
  redis.call('HDEL', P .. 'live', ARGV[6])
end
return {'OK'}
`,
);

/** ARGV 6: the drill's id. */
export const announceDrill = script('announce-drill', `append_notice('drill', ARGV[6]) return {'OK', id, n}`, {
  with: [LOG],
});

/**
 * docs/revocation-protocol.md#revoke-2: idempotent by request id; n+1; log, idx, watermark, lock. The covered
 * sessions are deleted here for a session or an account, and by the sweep (below) if there may be many.
 *
 * ARGV from 6: request digest, digest of the request's meaning, kind, its name (session or account digest,
 * provider, or ''), sealed lock or '', how a session is revoked (`revoke_session`), longest token lifetime that
 * the caller knows (s), until when the result is kept (ms), its TTL (s), until when an account's watermark is kept
 * (ms), batch of the sweep, key of an approval that must exist and is consumed with the write, or ''. Then of a grant: digest
 * of its session, digest of the key that the notice has, until when the entry must be kept at least (s).
 */
export const append = script(
  'append',
  `
local request, asked, kind, name, lock, how, longest, kept, ttl, mark_kept, batch, approval, of, notice, over = unpack(ARGV, 6)
local answer = P .. 'request:' .. request
local known = redis.call('HMGET', answer, 'ep', 'until', 'asked', 'n', 'sessions', 'delegated', 'labels')
if known[1] == id and tonumber(known[2]) > now then
  if known[3] ~= asked then return {'REUSED'} end
  -- A write, because WAIT covers everything up to the last write of its connection: without one it would confirm
  -- nothing.
  redis.call('HINCRBY', answer, 'again', 1)
  local named = known[7] and cjson.decode(known[7]) or {}
  return {'OK', id, tonumber(known[4]), tonumber(known[5]), registry(), rid, tonumber(known[6] or 0), named}
end

if approval ~= '' then
  -- In the same script as the entry: one approval never allows two revocations, and is never consumed for nothing.
  if not live_artefact(approval) then return {'SPENT'} end
  drop_artefact(approval)
end
if lock ~= '' then
  redis.call('HSET', P .. 'lock', name, lock)
  redis.call('SREM', P .. 'unlocked', name)
end
local till = stands_until(longest)
local ended
if kind == 'session' then
  ended = revoke_session(name, till, how)
elseif kind == 'account' then
  ended = revoke_account(name, till, mark_kept)
elseif kind == 'provider' then
  ended = revoke_many('provider:' .. name, P .. 'ends:' .. name, till, batch)
elseif kind == 'grant' then
  ended = revoke_grant(name, math.max(till, tonumber(over)), of, notice)
else
  ended = revoke_many('all', P .. 'ends', till, batch)
end

redis.call('HSET', answer, 'ep', id, 'until', kept, 'asked', asked, 'n', n, 'sessions', ended)
if delegated > 0 then redis.call('HSET', answer, 'delegated', delegated, 'labels', cjson.encode(labels)) end
redis.call('EXPIRE', answer, ttl)
return {'OK', id, n, ended, registry(), rid, delegated, labels}
`,
  { with: [ARTEFACTS, SESSIONS, LOG, REVOKE] },
);

/** Returns whether this very request was written already. ARGV 6: request digest, 7: digest of its meaning. */
export const hasWritten = script(
  'has-written',
  `
local known = redis.call('HMGET', P .. 'request:' .. ARGV[6], 'ep', 'until', 'asked')
local stands = known[1] == id and tonumber(known[2]) > now and known[3] == ARGV[7]
return {'OK', stands and 1 or 0}
`,
);

/** Continues a sweep. ARGV 6: batch. Returns 1 if there is more. */
export const sweep = script(
  'sweep',
  `
local key = redis.call('SRANDMEMBER', P .. 'sweeps')
if key then sweep_batch(key, tonumber(ARGV[6])) end
return {'OK', redis.call('EXISTS', P .. 'sweeps')}
`,
  { with: [ARTEFACTS, SESSIONS] },
);
