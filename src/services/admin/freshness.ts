/**
 * Changes by an admin need a fresh sign-in (`admin.freshness`). Core evaluates it, by the provider's claim at the
 * sign-in.
 *
 * The claim is known as soon as the caller is, so the store is not read again. Where Redis does not respond, a
 * revocation is tried all the same, because the replica that receives it rejects the target at its own guard before
 * it writes. An attacker with an old session gains nothing from this: the claim is a fixed moment that is compared
 * with now, and the guard checks before and after whether the session is still valid.
 */
import { freshnessOf } from '../../core/identity/freshness.ts';
import type { AdminConfig } from './dependencies.ts';
import { nowSeconds, type Clock } from '../../contracts/clock.ts';
import type { Actor } from '../../http/request-context.ts';
import { AdminError } from './problem.ts';
import { workloadRule } from './roles.ts';

interface FreshnessDeps {
  readonly config: Pick<AdminConfig, 'admin' | 'workload' | 'clockSkew'>;
  /** Of each provider, whether it says when its users authenticated. */
  readonly providers: ReadonlyMap<string, { readonly provesFreshness: boolean }>;
  readonly clock: Clock;
}

/**
 * Returns whether a sign-in is fresh enough; false where it is too old.
 * @throws AdminError `freshness_unprovable`
 */
export function isFresh(deps: FreshnessDeps, { provider, authTime }: Actor['proof'], withinSeconds: number): boolean {
  const provesFreshness = deps.providers.get(provider)?.provesFreshness === true;
  const { clockSkew } = deps.config;
  const freshness = freshnessOf({ provesFreshness, authTime }, { now: nowSeconds(deps), withinSeconds, clockSkew });
  // The configuration is validated for this, so such a provider was changed or removed since the session began.
  if (freshness === 'unprovable') throw new AdminError({ reason: 'freshness_unprovable', provider });
  return freshness === 'fresh';
}

/**
 * Checks the sign-in before an admin changes anything. A workload with a role is exempt, because no user is
 * there to sign in.
 * @throws AdminError `fresh_sign_in_needed` (with `maxAgeSeconds`), `freshness_unprovable`
 * @throws AppError `unauthenticated` where the session is gone, `fenced`
 */
export function assertFresh(deps: FreshnessDeps, actor: Actor): void {
  const { freshness: withinSeconds } = deps.config.admin;
  const { role = 'none' } = workloadRule(actor.account, deps.config) ?? {};
  if (withinSeconds === 'off' || role !== 'none') return;
  actor.assertValid();
  if (isFresh(deps, actor.proof, withinSeconds)) return;
  throw new AdminError({ reason: 'fresh_sign_in_needed', withinSeconds }, { maxAgeSeconds: withinSeconds });
}
