/**
 * The requirement of a fresh sign-in that a revocation leaves behind, and how an admin lifts it. A user whose
 * provider proves no fresh sign-in cannot get back in without that.
 *
 * An attacker with the user's stolen laptop signs in by the laptop's single sign-on session at the
 * provider, once the requirement is lifted. So only an admin with a fresh sign-in lifts it, for one account, with a
 * reason that is audited.
 */
import type { Account } from '../../core/identity/identity.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { record } from '../../http/audit-events.ts';
import { AdminError } from './problem.ts';
import { defined } from '../../core/defined.ts';

const OUTCOMES = {
  lifted: { code: 200, outcome: undefined },
  none: { code: 404, outcome: 'fresh_sign_in_not_needed' },
  newer: { code: 409, outcome: 'fresh_sign_in_newer' },
} as const;

/**
 * Lifts the requirement of a fresh sign-in for an account.
 * @param lift.reason as the admin gave it
 * @param lift.upTo epoch seconds: the revocation that the admin was shown. Another admin may have revoked again
 *   since then, because the device is stolen; that later revocation then stays in force
 * @throws AdminError `fresh_sign_in_not_needed`, `fresh_sign_in_newer`
 */
export async function liftFreshSignIn(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  { account, reason, upTo }: { readonly account: Account; readonly reason: string; readonly upTo?: number | undefined },
): Promise<void> {
  actor.assertValid();
  const result = await deps.store.freshSignIns.lift(account, upTo);
  const { code, outcome } = OUTCOMES[result];
  const details = { target: `account:${account}`, ...defined({ outcome }) };
  record(deps, context, { event: 'fresh-sign-in-lifted', path, code, reason, details });
  if (result === 'lifted') return;
  throw new AdminError({ reason: OUTCOMES[result].outcome }, { audited: true });
}

/**
 * Returns since when the next sign-in of an account must be a fresh one.
 * @returns epoch seconds; undefined where none is needed, or where the provider proves no freshness, so that any
 *   sign-in counts
 * @throws AppError `store_unavailable`
 */
export async function freshSignInNeeded(
  deps: Pick<AdminDeps, 'providers' | 'store'>,
  account: Account,
): Promise<number | undefined> {
  const provider = deps.providers.get(account.slice(0, account.indexOf('/')));
  return provider?.provesFreshness === false ? undefined : deps.store.freshSignIns.find(account);
}
