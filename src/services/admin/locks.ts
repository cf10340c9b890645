/**
 * Locks: accounts that cannot sign in until an admin unlocks them, and the unlocking. A revocation sets a lock.
 */
import type { z } from 'zod';
import type { AdminResult } from '../../core/api/rejections.ts';
import type { ADMIN_API } from '../../core/api/admin-operations.ts';
import type { Account } from '../../core/identity/identity.ts';
import type { Lock } from '../../store/store.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { rfc3339 } from '../../core/time.ts';
import { record } from '../../http/audit-events.ts';

export type LockView = z.output<(typeof ADMIN_API)['schemas']['Lock']>;

/** Returns every lock, newest first. */
export async function lockViews(deps: AdminDeps): Promise<readonly LockView[]> {
  const locks = await deps.store.locks.list();
  const view = ({ account, reason, by, at }: Lock): LockView => ({ account, reason, by, at: rfc3339(at) });
  return locks.toSorted((left, right) => right.at - left.at).map(view);
}

/**
 * Unlocks an account. One admin is enough, because it signs no one in.
 * @param reason as the admin gave it
 */
export async function unlock(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  { account, reason }: { readonly account: Account; readonly reason: string },
): Promise<AdminResult<undefined>> {
  actor.assertValid();
  const details = { target: `account:${account}` };
  const removed = await deps.store.locks.remove(account);
  const code = removed ? 200 : 404;
  const outcome = removed ? {} : { outcome: 'lock_not_found' };
  record(deps, context, { event: 'unlock', path, code, reason, details: { ...details, ...outcome } });
  return removed ? ok(undefined) : no({ reason: 'lock_not_found', audited: true });
}
