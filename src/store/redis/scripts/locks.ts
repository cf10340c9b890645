import { script } from './head.ts';
import { ARTEFACTS, LOG, REVOKE, SESSIONS } from './parts.ts';

/** ARGV 6: account digest. */
export const findLock = script('find-lock', `return {'OK', redis.call('HGET', P .. 'lock', ARGV[6]) or ''}`);

/** All locks: digest, sealed lock, and so on. With the epoch in which they stand. */
export const readLocks = script('read-locks', `return {'OK', id, redis.call('HGETALL', P .. 'lock')}`);

/**
 * `unlocked` remembers what this epoch has unlocked, so that no survivor of an earlier one locks it again. It goes with the epoch. Threat: a
 * server with older data may remember an unlocking and not the lock that came after it, and would refuse the survivor who knows that one.
 * So who comes back in the epoch after next, having missed the unlocking, locks again. ARGV 6: account digest.
 */
export const removeLock = script(
  'remove-lock',
  `
if redis.call('HDEL', P .. 'lock', ARGV[6]) == 0 then return {'OK', 0} end
redis.call('SADD', P .. 'unlocked', ARGV[6])
append_notice('unlocked', 'account:' .. ARGV[6])
return {'OK', 1}
`,
  { with: [LOG] },
);

/**
 * Locks survive (docs/revocation-protocol.md#head-3): writes back those that this epoch does not know, each with the revocation that goes
 * with a lock, so that whoever got in meanwhile is out, and so that the other replicas learn of it.
 *
 * ARGV 6: longest life of a token that the caller knows (s), 7: until when an account's watermark is kept (ms), then account digest and
 * sealed lock of each. EPOCH: the caller has another one in mind.
 */
export const restoreLocks = script(
  'restore-locks',
  `
if ARGV[2] ~= id then return {'EPOCH'} end
local till = stands_until(ARGV[6])
for i = 8, #ARGV, 2 do
  local acc, lock = ARGV[i], ARGV[i + 1]
  if redis.call('SISMEMBER', P .. 'unlocked', acc) == 0 and redis.call('HSETNX', P .. 'lock', acc, lock) == 1 then
    revoke_account(acc, till, ARGV[7])
  end
end
-- A write in any case: WAIT counts from the last one of its connection, and all that was written before must be confirmed with it.
redis.call('HINCRBY', P .. 'epoch', 'restored', 1)
return {'OK'}
`,
  { with: [ARTEFACTS, SESSIONS, LOG, REVOKE] },
);
