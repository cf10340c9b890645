/** The scripts of the artefacts of OAuth and of sign-in. */
import { script } from './head.ts';
import { ARTEFACTS, PENDING } from './parts.ts';

/**
 * Saves an artefact. ARGV from 6: key, expiry (ms), TTL for cleaning up (s), sealed payload, then set of the
 * session, uid name, code name or ''. For kinds that unauthenticated clients can create: the kind or '', digest of
 * the site or '', bytes, the share of its kind, bytes of the whole budget, and the largest part of the server's
 * own limit that the budget may take. Returns how many others were displaced.
 */
export const saveArtefact = script(
  'save-artefact',
  `
local key, exp, ttl, payload, of, uid, code, kind, site, bytes, share, budget, part = unpack(ARGV, 6)
local before = live_artefact(key)
local place = redis.call('HGET', key, 'pd')
drop_artefact(key)
-- test seam: ARTEFACT_FIELDS
redis.call('HSET', key, 'ep', id, 'exp', exp, 'p', payload)
-- An artefact that was consumed once stays consumed, even if it is saved again.
if before and before[4] then redis.call('HSET', key, 'c', before[4]) end
redis.call('EXPIRE', key, ttl)
if of ~= '' then
  -- Takes a few at random and removes those that have expired. A user creates one after the other in a loop, and
  -- the rest is dropped in one step when the session ends, during which Redis does nothing else and leases lapse.
  for _, one in ipairs(redis.call('SRANDMEMBER', of, 4)) do
    if not live_artefact(one) then
      drop_artefact(one)
      redis.call('SREM', of, one)
    end
  end
  redis.call('HSET', key, 'of', of)
  redis.call('SADD', of, key)
  if redis.call('TTL', of) < tonumber(ttl) then redis.call('EXPIRE', of, ttl) end
end
if uid ~= '' then
  redis.call('HSET', key, 'uid', uid)
  redis.call('SET', uid, key, 'EX', ttl)
end
if code ~= '' then
  redis.call('HSET', key, 'code', code)
  redis.call('SET', code, key, 'EX', ttl)
end
if kind == '' then return {'OK', 0} end
if site == '' then site = place and string.match(place, '%S+$') or '-' end
local limit = tonumber(string.match(redis.call('INFO', 'memory'), 'maxmemory:(%d+)'))
local most = limit > 0 and math.min(tonumber(budget), limit * part) or tonumber(budget)
return {'OK', enter_pending(key, exp, kind, bytes, site, most * share)}
`,
  { with: [ARTEFACTS, PENDING], stores: true },
);

/** ARGV 6: key. */
export const findArtefact = script(
  'find-artefact',
  `
local f = live_artefact(ARGV[6])
if not f then return {'NONE'} end
return {'OK', ARGV[6], f[3], f[4] or ''}
`,
  { with: [ARTEFACTS] },
);

/** ARGV 6: a name (uid or user code), 7: the field in which the artefact itself holds that name. */
export const findArtefactByName = script(
  'find-artefact-by-name',
  `
local key = redis.call('GET', ARGV[6])
local f = key and live_artefact(key)
if not f or redis.call('HGET', key, ARGV[7]) ~= ARGV[6] then return {'NONE'} end
return {'OK', key, f[3], f[4] or ''}
`,
  { with: [ARTEFACTS] },
);

/** Exactly one of any number of concurrent callers gets 1. ARGV 6: key. */
export const consumeArtefact = script(
  'consume-artefact',
  `
if not live_artefact(ARGV[6]) then return {'OK', 0} end
return {'OK', redis.call('HSETNX', ARGV[6], 'c', seconds)}
`,
  { with: [ARTEFACTS] },
);

/** Reads and deletes atomically. ARGV 6: key. */
export const takeArtefact = script(
  'take-artefact',
  `
local f = live_artefact(ARGV[6])
drop_artefact(ARGV[6])
if not f then return {'NONE'} end
return {'OK', ARGV[6], f[3], f[4] or ''}
`,
  { with: [ARTEFACTS] },
);

/** ARGV 6: key. */
export const destroyArtefact = script('destroy-artefact', `drop_artefact(ARGV[6]) return {'OK'}`, {
  with: [ARTEFACTS],
});

/** ARGV 6: the set of a session's artefacts. */
export const destroyArtefactsOf = script('destroy-artefacts-of', `drop_artefacts_of(ARGV[6]) return {'OK'}`, {
  with: [ARTEFACTS],
});
