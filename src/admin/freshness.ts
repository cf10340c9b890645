/**
 * Changes by an admin need a fresh sign-in (`admin.freshness`): core judges, by what the provider said at the sign-in.
 *
 * That is known as soon as the caller is, and the store is not asked for it again: where Redis hangs, a revocation is tried all the same, because
 * the replica that was asked shuts its own guard before it writes. Whoever holds an old session wins nothing by it. The proof is a fixed moment
 * that is judged against now, and whether the session still stands is the guard's to say, before and after.
 */
import { everyWords, freshnessOf } from '../core/identity/freshness.ts';
import { type AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../contracts/clock.ts';
import type { Actor } from '../http/request-context.ts';
import { AdminError } from './problem.ts';
import { workloadRule } from './roles.ts';

function staleError(withinSeconds: number): AdminError {
  const words = `Admins have to prove who they are ${everyWords(withinSeconds)} before they change anything. Sign in again, then repeat it.`;
  const options = { maxAgeSeconds: withinSeconds, members: { maxAge: String(withinSeconds) } };
  return new AdminError('fresh_sign_in_needed', 'unauthenticated', words, options);
}

/** The configuration is checked for this, so a provider that gets here was changed or taken out since the session began. */
function unprovableError(provider: string): AdminError {
  const words = `${provider} does not say when you signed in there, so no change can be made by this sign-in. Sign in by another provider, or ask your platform team.`;
  return new AdminError('freshness_unprovable', 'forbidden', words);
}

/** @returns false where it is too old @throws AdminError `freshness_unprovable` */
export function isFresh(deps: AdminDeps, { provider, authTime }: Actor['proof'], withinSeconds: number): boolean {
  const provesFreshness = deps.providers.get(provider)?.provesFreshness === true;
  const { clockSkew } = deps.config;
  const freshness = freshnessOf({ provesFreshness, authTime }, { now: nowSeconds(deps), withinSeconds, clockSkew });
  if (freshness === 'unprovable') throw unprovableError(provider);
  return freshness === 'fresh';
}

/**
 * To be called before an admin changes anything. A workload of `role: drill` is exempt: nobody is there who could sign in.
 * @throws AdminError `fresh_sign_in_needed` (with `maxAgeSeconds`), `freshness_unprovable`
 * @throws AppError `unauthenticated` where the session is gone, `fenced`
 */
export function assertFresh(deps: AdminDeps, actor: Actor): void {
  const { freshness: withinSeconds } = deps.config.admin;
  if (withinSeconds === 'off' || workloadRule(actor.account, deps.config)?.role === 'drill') return;
  actor.assertGood();
  if (!isFresh(deps, actor.proof, withinSeconds)) throw staleError(withinSeconds);
}
