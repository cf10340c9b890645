import { script } from './head.ts';
import { ARTEFACTS, SESSIONS } from './parts.ts';

const JUDGE = [ARTEFACTS, SESSIONS];

/**
 * ARGV from 6: session digest, sealed requests, how many they are, how many are kept, by how much the key outlives the session (s).
 *
 * An entry's id counts the session's requests up to its last one, so that Redis itself drops what is behind the newest: each entry holds at
 * least one request, and no more are kept than twice as many as are shown. Full memory refuses it as a whole.
 */
export const addRecent = script(
  'add-recent',
  `
local hash, sealed, count, most, slack = unpack(ARGV, 6)
local f, why = session(hash)
if not f then return {'NO', why} end
local total = redis.call('HINCRBY', P .. 'session:' .. hash, 'rq', count)
local key = P .. 'recent:' .. hash
local oldest = string.format('%.0f', math.max(total - tonumber(most) + 1, 0))
-- test seam: RECENT_FIELDS
redis.call('XADD', key, 'MINID', oldest, string.format('%.0f-0', total), 'e', sealed)
redis.call('EXPIRE', key, tonumber(f[5]) - seconds + tonumber(slack))
return {'OK'}
`,
  { with: JUDGE, stores: true },
);

/** ARGV 6: session digest. Sealed entries, oldest first. */
export const readRecent = script(
  'read-recent',
  `
if not session(ARGV[6]) then return {'OK', {}} end
local found = {}
for _, entry in ipairs(redis.call('XRANGE', P .. 'recent:' .. ARGV[6], '-', '+', 'COUNT', 100)) do found[#found + 1] = entry[2][2] end
return {'OK', found}
`,
  { with: JUDGE },
);
