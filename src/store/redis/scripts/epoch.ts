/** The scripts that begin an epoch and settle it. */
import { headless, PRIMARY_GENERATION, script } from './head.ts';

/**
 * NEW-EPOCH (docs/revocation-protocol.md#head-3): compare-and-set on what was seen, so that of many replicas that
 * saw the same end exactly one begins the new epoch, and only on the server where it was seen (another connection
 * may lead to another one by now). Sessions and artefacts carry their epoch and are invalid in the new one; TTLs
 * remove them. Locks, marks of fresh sign-ins, the longest token lifetime and the known leases stay.
 *
 * The mark `leases` means that the known leases are complete. It is set if the epoch that ends had it, and none of
 * its replicas was of a version that registers no lease; and if there was no epoch before. `settled` is not set:
 * nothing is minted until a replica has seen this epoch for W.
 *
 * ARGV: 1 id seen, 2 primary generation that wrote it, 3 primary generation in which it was seen, 4 new id (128
 * random bits).
 */
export const newEpoch = headless(
  'new-epoch',
  `
local P = KEYS[1]
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid', 'leases')
${PRIMARY_GENERATION}
if rid ~= ARGV[3] or (E[1] or '') ~= ARGV[1] or (E[2] or '') ~= ARGV[2] then return {'SEEN'} end
local all_known = E[3] or not E[1]
local states = redis.call('HGETALL', P .. 'live')
-- Inside a JSON string the quotes would be escaped.
for i = 2, #states, 2 do all_known = all_known and string.find(states[i], '"leaseMs":%d') end
for _, prov in ipairs(redis.call('SMEMBERS', P .. 'providers')) do redis.call('UNLINK', P .. 'ends:' .. prov) end
for _, key in ipairs(redis.call('SMEMBERS', P .. 'sweeps')) do redis.call('UNLINK', key) end
for _, name in ipairs({'all', 'open', 'active'}) do redis.call('UNLINK', P .. 'access-' .. name .. ':' .. (E[1] or '')) end
-- safeguard: LEASES_KEPT
for _, name in ipairs({'epoch', 'log', 'idx', 'wm', 'wm:until', 'live', 'sessions', 'used', 'ends', 'providers', 'seq', 'sweeps', 'unlocked'}) do
  redis.call('UNLINK', P .. name)
end
redis.call('HSET', P .. 'epoch', 'id', ARGV[4], 'rid', rid, 'n', 0, 'h', ARGV[4])
if all_known then redis.call('HSET', P .. 'epoch', 'leases', 1) end
redis.call('PUBLISH', P .. 'news', 0)
return {'BEGAN'}
`,
);

/**
 * Marks the epoch as settled: every replica that held a lease in the one before has lost it by now or has written
 * its locks back here. ARGV 2: the epoch that the caller has seen for W. In another epoch it does nothing.
 */
export const settle = script(
  'settle',
  `
if ARGV[2] == id then redis.call('HSET', P .. 'epoch', 'settled', 1) end
return {'OK'}
`,
);
