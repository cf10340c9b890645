/** The scripts of recent requests of sessions. */
import { USE_SECONDS } from '../../last-use.ts';
import { script } from './head.ts';
import { ARTEFACTS, SESSIONS } from './parts.ts';

const CHECKS = [ARTEFACTS, SESSIONS];

/**
 * Adds recent requests. ARGV from 6: session digest, sealed requests, how many they are, how many are kept, by how
 * much the key outlives the session (s), when the newest of them arrived (s).
 *
 * An entry's id counts the session's requests up to its last one, so that Redis itself drops entries behind the
 * newest. Each entry holds at least one request, and at most twice as many are kept as are shown. Full memory
 * rejects it as a whole.
 */
export const addRecent = script(
  'add-recent',
  `
local hash, sealed, count, most, slack, newest = unpack(ARGV, 6)
local f, why = session(hash)
if not f then return {'NO', why} end
local total = redis.call('HINCRBY', P .. 'session:' .. hash, 'rq', count)
local key = P .. 'recent:' .. hash
local oldest = string.format('%.0f', math.max(total - tonumber(most) + 1, 0))
-- test seam: RECENT_FIELDS
redis.call('XADD', key, 'MINID', oldest, string.format('%.0f-0', total), 'e', sealed)
redis.call('EXPIRE', key, tonumber(f[5]) - seconds + tonumber(slack))
-- Shown as the last use, and part of no end: 'lu' alone decides about the idle end.
if tonumber(newest) - math.max(tonumber(f[7]), tonumber(f[17]) or 0) >= ${USE_SECONDS} then
  redis.call('HSET', P .. 'session:' .. hash, 'lr', newest)
  redis.call('ZADD', P .. 'used', place_of_use(newest, f[12]), hash)
end
return {'OK'}
`,
  { with: CHECKS, stores: true },
);

/**
 * ARGV 6: session digest, 7: of how many requests at least, or '' for all. Returns sealed entries, oldest first. An entry's id
 * is the number of its last request.
 */
export const readRecent = script(
  'read-recent',
  `
local hash, least = ARGV[6], ARGV[7]
if not session(hash) then return {'OK', {}} end
local first = '-'
if least ~= '' then
  local total = tonumber(redis.call('HGET', P .. 'session:' .. hash, 'rq') or 0)
  first = string.format('%.0f', math.max(total - tonumber(least) + 1, 0))
end
local found = {}
for _, entry in ipairs(redis.call('XRANGE', P .. 'recent:' .. hash, first, '+', 'COUNT', 100)) do found[#found + 1] = entry[2][2] end
return {'OK', found}
`,
  { with: CHECKS },
);
