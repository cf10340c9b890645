/**
 * Lifts what a revocation leaves behind: that the account's next sign-in has to be a fresh one. For a user whose provider shows no proof of
 * it, this is the way back.
 *
 * Threat: whoever took the user's laptop, with its single sign-on session at the provider, would be let in by it. So it takes an admin
 * who is fresh themselves, names one account, and is audited with a reason.
 */
import type { Account } from '../../core/identity.ts';
import type { WebDeps } from '../deps.ts';
import { record } from '../record.ts';
import { AdminError } from './problem.ts';
import type { Asker } from './revoking.ts';

/**
 * @param reason the admin's own words
 * @throws AdminError `fresh_sign_in_not_needed`
 */
export async function liftFreshSignIn(
  deps: WebDeps,
  { visit, actor, path }: Asker,
  { account, reason }: { readonly account: Account; readonly reason: string },
): Promise<void> {
  actor.assertGood();
  const lifted = await deps.store.freshSignIns.lift(account);
  const outcome = lifted ? {} : { outcome: 'fresh_sign_in_not_needed' };
  const details = { target: `account:${account}`, ...outcome };
  record(deps, visit, { event: 'fresh-sign-in-lifted', path, code: lifted ? 200 : 404, reason, details });
  if (lifted) return;
  const message =
    'This account needs no fresh sign-in: nothing of it was revoked in the last thirty days, or an admin has lifted it.';
  throw new AdminError('fresh_sign_in_not_needed', 'not_found', message, { recorded: true });
}
