/**
 * The requirement of a fresh sign-in that a revocation leaves behind, and how an admin lifts it. A user whose
 * provider proves no fresh sign-in cannot get back in without that.
 *
 * An attacker with the user's stolen laptop signs in by the laptop's single sign-on session at the
 * provider, once the requirement is lifted. So only an admin with a fresh sign-in lifts it, for one account, with a
 * reason that is audited.
 */
import type { AdminResult } from '../../core/api/rejections.ts';
import { providerOf, type Account } from '../../core/identity/identity.ts';
import { ADMIN_PROBLEMS } from '../../core/api/admin-problems.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { record } from '../../http/audit-events.ts';
import { defined } from '../../core/defined.ts';

const OUTCOMES = { none: 'fresh_sign_in_not_needed', newer: 'fresh_sign_in_newer' } as const;

/**
 * Lifts the requirement of a fresh sign-in for an account.
 * @param lift.reason as the admin gave it
 * @param lift.upTo epoch seconds: the revocation that the admin was shown. Another admin may have revoked again
 *   since then, because the device is stolen; that later revocation then stays in force
 */
export async function liftFreshSignIn(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  { account, reason, upTo }: { readonly account: Account; readonly reason: string; readonly upTo?: number | undefined },
): Promise<AdminResult<undefined>> {
  actor.assertValid();
  const result = await deps.store.freshSignIns.lift(account, upTo);
  const outcome = result === 'lifted' ? undefined : OUTCOMES[result];
  const code = outcome === undefined ? 200 : ADMIN_PROBLEMS[outcome].status;
  const details = { target: `account:${account}`, ...defined({ outcome }) };
  record(deps, context, { event: 'fresh-sign-in-lifted', path, code, reason, details });
  return outcome === undefined ? ok(undefined) : no({ reason: outcome, audited: true });
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
  const provider = deps.providers.get(providerOf(account));
  return provider?.provesFreshness === false ? undefined : deps.store.freshSignIns.find(account);
}
