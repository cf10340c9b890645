/** The scripts of locks on accounts. */
import { script } from './head.ts';
import { ARTEFACTS, LOG, REVOKE, SESSIONS } from './parts.ts';

/** ARGV 6: account digest. */
export const findLock = script('find-lock', `return {'OK', redis.call('HGET', P .. 'lock', ARGV[6]) or ''}`);

/** Returns the epoch and all its locks: digest, sealed lock, and so on. */
export const readLocks = script('read-locks', `return {'OK', id, redis.call('HGETALL', P .. 'lock')}`);

/**
 * Removes a lock. `unlocked` remembers the accounts that this epoch has unlocked, so that no replica locks them
 * again with what it knows of an earlier epoch. It ends with the epoch: a server with older data may remember an
 * unlocking and not the lock that followed it, and would ignore a replica that knows that lock. The cost is that a
 * replica that missed the unlocking and comes back two epochs later locks the account again. ARGV 6: account
 * digest.
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
 * Writes back the locks that this epoch does not know (docs/revocation-protocol.md#head-3), each with the
 * revocation that belongs to a lock, so that sessions opened meanwhile end, and so that the other replicas learn
 * of the lock.
 *
 * ARGV 6: longest token lifetime that the caller knows (s), 7: until when an account's watermark is kept (ms),
 * then account digest and sealed lock of each. Returns EPOCH if the caller is in another epoch.
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
-- Always writes: WAIT covers everything up to the last write of its connection, and whatever was written before
-- must be confirmed with it.
redis.call('HINCRBY', P .. 'epoch', 'restored', 1)
return {'OK'}
`,
  { with: [ARTEFACTS, SESSIONS, LOG, REVOKE] },
);
