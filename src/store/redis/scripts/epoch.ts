import { headless, REGIME, script } from './head.ts';

/**
 * NEW-EPOCH (docs/revocation-protocol.md#head-3): compare-and-set on what was seen, so that of many replicas that saw the same
 * end exactly one begins the new life, and only on the server where it was seen (another connection may lead to another one by now).
 * Sessions and artefacts carry their epoch and are dead with it; TTLs remove them. Locks, marks of fresh sign-ins and the longest life of
 * a token stay, and so does what is known of leases. The mark `leases` says that this is all there is to know of the lives before: it is set where the
 * life that ends had it, and none of its replicas was of a version that registers no lease; and where there was no life before.
 * `settled` is not set: nothing is minted until a replica has seen this epoch for W.
 * ARGV: 1 id seen, 2 regime in which it was written, 3 regime in which it was seen, 4 new id (128 random bits).
 */
export const newEpoch = headless(
  'new-epoch',
  `
local P = KEYS[1]
local E = redis.call('HMGET', P .. 'epoch', 'id', 'rid', 'leases')
${REGIME}
if rid ~= ARGV[3] or (E[1] or '') ~= ARGV[1] or (E[2] or '') ~= ARGV[2] then return {'SEEN'} end
local all_known = E[3] or not E[1]
local states = redis.call('HGETALL', P .. 'live')
-- Within a string of JSON the quotes would be escaped.
for i = 2, #states, 2 do all_known = all_known and string.find(states[i], '"leaseMs":%d') end
for _, prov in ipairs(redis.call('SMEMBERS', P .. 'providers')) do redis.call('UNLINK', P .. 'ends:' .. prov) end
for _, key in ipairs(redis.call('SMEMBERS', P .. 'sweeps')) do redis.call('UNLINK', key) end
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
 * The epoch is settled: whoever held a lease in the one before has lost it by now or has written its locks back here.
 * ARGV 2: the epoch that the caller has seen for W. In another one it says nothing.
 */
export const settle = script(
  'settle',
  `
if ARGV[2] == id then redis.call('HSET', P .. 'epoch', 'settled', 1) end
return {'OK'}
`,
);
