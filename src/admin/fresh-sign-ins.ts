/**
 * Lifts what a revocation leaves behind: that the account's next sign-in has to be a fresh one. For a user whose provider shows no proof of
 * it, this is the way back.
 *
 * Threat: an attacker who has the user's laptop, with its single sign-on session at the provider, gets in by it. So it takes an admin whose
 * own sign-in is fresh, is for one account, and is audited with a reason.
 */
import type { Account } from '../core/identity/identity.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { record } from '../http/audit-events.ts';
import { AdminError } from './problem.ts';

const OUTCOMES = {
  lifted: { code: 200, outcome: undefined },
  none: { code: 404, outcome: 'fresh_sign_in_not_needed' },
  newer: { code: 409, outcome: 'fresh_sign_in_newer' },
} as const;

/**
 * @param asked.reason the admin's own words
 * @param asked.upTo epoch seconds, what the admin was shown. Threat: another admin has just revoked, because the device is stolen
 * @throws AdminError `fresh_sign_in_not_needed`, `fresh_sign_in_newer`
 */
export async function liftFreshSignIn(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  { account, reason, upTo }: { readonly account: Account; readonly reason: string; readonly upTo?: number | undefined },
): Promise<void> {
  actor.assertGood();
  const came = await deps.store.freshSignIns.lift(account, upTo);
  const { code, outcome } = OUTCOMES[came];
  const details = { target: `account:${account}`, ...(outcome === undefined ? {} : { outcome }) };
  record(deps, context, { event: 'fresh-sign-in-lifted', path, code, reason, details });
  if (came === 'lifted') return;
  if (came === 'newer') {
    const message = 'Something of this account was revoked after you looked. Look at it again, then decide.';
    throw new AdminError('fresh_sign_in_newer', 'conflict', message, { recorded: true });
  }
  const message =
    'This account needs no fresh sign-in: nothing of it was revoked in the last thirty days, or an admin has lifted it.';
  throw new AdminError('fresh_sign_in_not_needed', 'not_found', message, { recorded: true });
}

/**
 * Finds out whether the next sign-in of an account has to be a fresh one.
 * @returns since when, epoch seconds; undefined where none is needed, or where the provider proves no freshness, so any sign-in counts
 * @throws AppError `store_unavailable`
 */
export async function freshSignInNeeded(
  deps: Pick<AdminDeps, 'providers' | 'store'>,
  account: Account,
): Promise<number | undefined> {
  const provider = deps.providers.get(account.slice(0, account.indexOf('/')));
  return provider?.provesFreshness === false ? undefined : deps.store.freshSignIns.find(account);
}
