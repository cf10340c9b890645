/** The scripts of access requests. */
import {
  HISTORY_SECONDS,
  MOST_DAILY_OF_ACCOUNT,
  MOST_GRANTS,
  MOST_GRANTS_OF_ACCOUNT,
  MOST_GRANTS_OF_SESSION,
  MOST_KEPT,
  MOST_OPEN,
  MOST_OPEN_OF_ACCOUNT,
} from '../../../core/access/request.ts';
import { script } from './head.ts';
import { ARTEFACTS, LOG, SESSIONS } from './parts.ts';

const DAY_SECONDS = 86_400;
const TTL_SECONDS = HISTORY_SECONDS + 60;
/** The caller asked for the time just before. A period that began longer ago is not written. */
const LATE_MS = 1000;

/**
 * Access requests. `hash` is that of the key that a grant has in the log. The indexes have the epoch in their names, so
 * that nothing of an earlier one is ever counted or listed, whichever version began this one.
 */
const REQUESTS = `
local function index(name) return P .. 'access-' .. name .. ':' .. id end
local function of(acc) return index('of') .. ':' .. acc end
local function open_of(acc) return index('open-of') .. ':' .. acc end
local function open_as(role) return index('open-as') .. ':' .. role end
local function active_of(acc) return index('active-of') .. ':' .. acc end
local function active_as(role) return index('active-as') .. ':' .. role end

-- '' for a request of an earlier version, which is counted for no role.
local function role_of(hash) return redis.call('HGET', P .. 'access:' .. hash, 'role') or '' end

-- Returns the fields of a request, or nil for one of an earlier epoch, or that is no longer kept.
local function request(hash)
  local f = redis.call('HMGET', P .. 'access:' .. hash, 'ep', 'kept', 'v', 'st', 'acc', 'sess', 'open', 'end', 'place', 'r')
  if f[1] ~= id or seconds >= (tonumber(f[2]) or 0) or not tonumber(f[7]) then return nil end
  for i = 3, 10 do f[i] = f[i] or '' end
  return f
end

local function is_open(f) return f[4] == 'open' and seconds < tonumber(f[7]) end

local function keep(hash, version, state, record, ends)
  local key = P .. 'access:' .. hash
  redis.call('HSET', key, 'v', version, 'st', state, 'r', record, 'end', ends, 'kept', seconds + ${HISTORY_SECONDS})
  redis.call('EXPIRE', key, ${TTL_SECONDS})
end

local function enter(name, place, hash)
  redis.call('ZADD', name, place, hash)
  redis.call('EXPIRE', name, ${TTL_SECONDS})
end

-- It waits for no approvals any more.
local function close(hash, acc)
  redis.call('ZREM', index('open'), hash)
  redis.call('ZREM', open_of(acc), hash)
  redis.call('ZREM', open_as(role_of(hash)), hash)
end

-- It is no grant that goes on any more.
local function leave_active(hash, acc)
  redis.call('ZREM', index('active'), hash)
  redis.call('ZREM', active_of(acc), hash)
  redis.call('ZREM', active_as(role_of(hash)), hash)
end

local function forget(hash)
  local acc = redis.call('HGET', P .. 'access:' .. hash, 'acc')
  if acc then
    close(hash, acc)
    leave_active(hash, acc)
    redis.call('ZREM', of(acc), hash)
  end
  redis.call('ZREM', index('all'), hash)
  redis.call('ZREM', index('active'), hash)
  redis.call('DEL', P .. 'access:' .. hash)
end

-- Those that were not decided in time do not count, nor those that an earlier version ended or Redis has dropped.
local function is_full(name, most, counts)
  if redis.call('ZCARD', name) < most then return false end
  for _, old in ipairs(redis.call('ZRANGE', name, 0, 99)) do
    local f = request(old)
    if not f or not counts(f) then redis.call('ZREM', name, old) end
  end
  return redis.call('ZCARD', name) >= most
end
local function is_granted(f) return f[4] == 'granted' end
`;

/** What `create` and `begin` share; needs SESSIONS, LOG and REQUESTS before it. */
const BEGIN = `
-- A right begins while an admin revokes: whichever script comes first, none is in a session that has ended.
local function rejected_session(hash, acc)
  if locked(acc) then return 'account_locked' end
  local f = session_alone(hash)
  if not f or f[2] ~= acc then return 'session_over' end
  if f[18] ~= '' then return 'session_delegated' end
end

local function rejected_grant(hash, acc, role)
  local there = grants_in(redis.call('HGET', P .. 'session:' .. hash, 'gr'))
  if #there >= ${MOST_GRANTS_OF_SESSION} then return 'grants_of_session_too_many' end
  if is_full(active_of(acc), ${MOST_GRANTS_OF_ACCOUNT}, is_granted) then return 'grants_of_account_too_many' end
  local all = redis.call('ZCARD', index('active'))
  if is_full(active_as(role), ${MOST_GRANTS} - all, is_granted) then return 'grants_too_many' end
end

-- The period is sealed, so the caller had to ask for the time before.
local function is_late(began)
  return tonumber(began) > served or served - tonumber(began) > ${LATE_MS}
end

local function begin_grant(hash, session, acc, role, place, ends, sealed, notice)
  add_grant(session, hash, ends, sealed)
  enter(index('active'), place, hash)
  enter(active_of(acc), place, hash)
  enter(active_as(role), place, hash)
  append_notice('identity-changed', 'session:' .. notice)
end
`;

const CHECKS = [ARTEFACTS, SESSIONS, REQUESTS];

/** ARGV 6: digest of the request. Returns the time (ms), the epoch, and its fields if it is known. */
export const readRequest = script(
  'read-access',
  `
local f = request(ARGV[6])
return f and {'OK', served, id, f} or {'OK', served, id}
`,
  { with: CHECKS },
);

/**
 * ARGV from 6: the epoch, digests of the request, its account, its session and of the key that the notice has, until when it
 * may be approved (s), sealed record, digest of the role; then of one that is granted at once, each '' for any other: when the
 * grant began and ends (ms), sealed grant. AGAIN: another time or epoch is to be sealed.
 */
export const createRequest = script(
  'create-access',
  `
local epoch, hash, acc, sess, notice, open_until, record, role, began, ends, sealed = unpack(ARGV, 6)
local grants = sealed ~= ''
if epoch ~= id then return {'AGAIN'} end
if request(hash) then return {'NO', 'request_changed'} end
if seconds >= tonumber(open_until) then return {'NO', 'request_over'} end
local why = rejected_session(sess, acc)
if why then return {'NO', why} end

-- An attacker asks and withdraws in a loop, or fills the approvers' queue.
if redis.call('ZCOUNT', of(acc), place_of_use(seconds - ${DAY_SECONDS - 1}, 0), '+inf') >= ${MOST_DAILY_OF_ACCOUNT} then
  return {'NO', 'requests_of_account_too_many'}
end
if grants then
  why = rejected_grant(sess, acc, role)
  if why then return {'NO', why} end
else
  if is_full(open_of(acc), ${MOST_OPEN_OF_ACCOUNT}, is_open) then return {'NO', 'requests_of_account_too_many'} end
  local full = is_full(index('open'), ${MOST_OPEN}, is_open)
  local left = ${MOST_OPEN} - redis.call('ZCARD', index('open'))
  if full or is_full(open_as(role), left, is_open) then return {'NO', 'requests_too_many'} end
end

-- Drops what Redis has dropped by its TTL, and of too many those that have been over for longest.
local all = index('all')
local function tidy(from)
  for _, old in ipairs(redis.call('ZRANGE', all, from, from + 9)) do
    local f = request(old)
    local over = f and f[4] ~= 'granted' and not is_open(f) and redis.call('ZCARD', all) >= ${MOST_KEPT}
    if not f or over then forget(old) end
  end
end
tidy(0)
local size = redis.call('ZCARD', all)
if size > 0 then tidy(tonumber(string.sub(redis.sha1hex(hash), 1, 8), 16) % size) end
if redis.call('ZCARD', all) >= ${MOST_KEPT} then return {'NO', 'requests_too_many'} end
if grants and is_late(began) then return {'AGAIN'} end

local place = place_of_use(seconds, redis.call('INCR', P .. 'access-seq'))
local key = P .. 'access:' .. hash
redis.call('DEL', key)
redis.call('HSET', key, 'ep', id, 'acc', acc, 'sess', sess, 'open', open_until, 'place', place, 'role', role)
keep(hash, 1, grants and 'granted' or 'open', record, ends)
enter(all, place, hash)
enter(of(acc), place, hash)
if grants then
  begin_grant(hash, sess, acc, role, place, ends, sealed, notice)
else
  enter(index('open'), place, hash)
  enter(open_of(acc), place, hash)
  enter(open_as(role), place, hash)
end
return {'OK'}
`,
  { with: [...CHECKS, LOG, BEGIN], stores: true },
);

/** ARGV from 6: the epoch, digest of the request, the version that the caller read, its next state, sealed record. AGAIN as above. */
export const changeRequest = script(
  'change-access',
  `
local epoch, hash, version, state, record = unpack(ARGV, 6)
if epoch ~= id then return {'AGAIN'} end
local f = request(hash)
if not f then return {'NO', 'request_unknown'} end
if f[3] ~= version then return {'NO', 'request_changed'} end
if not is_open(f) and not (f[4] == 'open' and state == 'expired') then return {'NO', 'request_over'} end
keep(hash, tonumber(version) + 1, state, record, '')
if state ~= 'open' then close(hash, f[5]) end
return {'OK'}
`,
  { with: CHECKS },
);

/**
 * ARGV from 6: the epoch, digest of the request, the version that the caller read, digests of its account, its session and of the key
 * that the notice has, sealed record, digest of the role, when the grant began and ends (ms), sealed grant; then of each approval
 * digests of the account and the session that gave it. AGAIN as above.
 */
export const beginGrant = script(
  'begin-access',
  `
local epoch, hash, version, acc, sess, notice, record, role, began, ends, sealed = unpack(ARGV, 6)
if epoch ~= id then return {'AGAIN'} end
local f = request(hash)
if not f then return {'NO', 'request_unknown'} end
if f[3] ~= version then return {'NO', 'request_changed'} end
if not is_open(f) then return {'NO', 'request_over'} end
local why = rejected_session(sess, acc)
if why then return {'NO', why} end
-- An approver is revoked while the last one decides: a grant that began after the receipt would rest on them.
for i = 17, #ARGV, 2 do
  if rejected_session(ARGV[i + 1], ARGV[i]) then return {'NO', 'approver_over'} end
end
why = rejected_grant(sess, acc, role)
if why then return {'NO', why} end
if is_late(began) then return {'AGAIN'} end
keep(hash, tonumber(version) + 1, 'granted', record, ends)
close(hash, acc)
-- Of one that an earlier version stored.
redis.call('HSET', P .. 'access:' .. hash, 'role', role)
begin_grant(hash, sess, acc, role, f[9], ends, sealed, notice)
return {'OK'}
`,
  { with: [...CHECKS, LOG, BEGIN], stores: true },
);

/** What notes of a grant, and its end, have in common; needs REQUESTS before it. */
const UPDATE = `
local epoch, hash, version, sess, record = unpack(ARGV, 6)
local f = request(hash)
if not f then return {'NO', 'request_unknown'} end
if epoch ~= id or f[3] ~= version then return {'AGAIN'} end
`;

/** ARGV as below. AGAIN: read it again. It passes when Redis is full. */
export const noteGrant = script(
  'note-access',
  `
keep(hash, tonumber(version) + 1, f[4], record, f[8])
return {'OK'}
`,
  { with: [...CHECKS, UPDATE] },
);

/** ARGV from 6: the epoch, digest of the request, the version that the caller read, digest of its session, sealed record. AGAIN: read it again. */
export const endGrant = script(
  'end-access',
  `
keep(hash, tonumber(version) + 1, 'ended', record, f[8])
leave_active(hash, f[5])
drop_grant(sess, hash)
return {'OK'}
`,
  { with: [...CHECKS, UPDATE] },
);

/**
 * Lists requests, newest first. ARGV 6: digest of the account or '', 7: `open` or '', 8: place before which to begin or '',
 * 9: how many. MORE: the caller may continue from the returned place. Each comes with its digest and place.
 */
export const listRequests = script(
  'list-access',
  `
local acc, open, from, most = unpack(ARGV, 6)
local name
if open == 'open' then name = acc == '' and index('open') or open_of(acc)
else name = acc == '' and index('all') or of(acc) end
local batch = redis.call('ZREVRANGEBYSCORE', name, from == '' and '+inf' or '(' .. from, '-inf', 'WITHSCORES', 'LIMIT', 0, 200)
local found, last, more = {}, '', #batch == 400
for i = 1, #batch, 2 do
  last = batch[i + 1]
  local f = request(batch[i])
  if f then
    found[#found + 1] = {batch[i], f, last}
    if #found == tonumber(most) then
      more = more or i + 1 < #batch
      break
    end
  else
    forget(batch[i])
    redis.call('ZREM', name, batch[i])
  end
end
return {more and 'MORE' or 'OK', last, found}
`,
  { with: CHECKS },
);

/**
 * Returns the time (ms) and a page of the grants that are not ended, oldest first: digest, fields, whether the session is
 * active; and the place of the last of them, where there may be more. ARGV 6: place after which to begin or '', 7: how many.
 */
export const activeGrants = script(
  'active-access',
  `
local from = ARGV[6] == '' and '-inf' or '(' .. ARGV[6]
local batch = redis.call('ZRANGEBYSCORE', index('active'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[7])
local found, more = {}, #batch == 2 * tonumber(ARGV[7])
for i = 1, #batch, 2 do
  local f = request(batch[i])
  if f then found[#found + 1] = {batch[i], f, session_alone(f[6]) and 1 or 0} else forget(batch[i]) end
end
return {'OK', served, more and batch[#batch] or '', found}
`,
  { with: CHECKS },
);

/** ARGV from 6: digest of the grant, holder, until (ms), TTL for cleaning up (s). It passes when Redis is full. */
export const claimEnding = script(
  'claim-ending',
  `
local hash, holder, till, ttl = unpack(ARGV, 6)
local key = P .. 'access-ending:' .. hash
local f = redis.call('HMGET', key, 'holder', 'until')
if f[1] and f[1] ~= holder and tonumber(f[2]) > now then return {'OK', 0} end
redis.call('HSET', key, 'holder', holder, 'until', till)
redis.call('EXPIRE', key, ttl)
return {'OK', 1}
`,
);
