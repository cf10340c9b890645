/**
 * Changes by an admin need a fresh sign-in (`admin.freshness`). Core evaluates it, by the provider's claim at the
 * sign-in.
 *
 * The claim is known as soon as the caller is, so the store is not read again. Where Redis does not respond, a
 * revocation is tried all the same, because the replica that receives it rejects the target at its own guard before
 * it writes. An attacker with an old session gains nothing from this: the claim is a fixed moment that is compared
 * with now, and the guard checks before and after whether the session is still valid.
 */
import type { AdminRejection } from '../../core/api/rejections.ts';
import { no, ok, type Result } from '../../core/result.ts';
import { freshnessOf } from '../../core/identity/freshness.ts';
import type { AdminConfig } from './dependencies.ts';
import { nowSeconds, type Clock } from '../../contracts/clock.ts';
import type { Actor } from '../../http/request-context.ts';
import { workloadRule } from './roles.ts';

interface FreshnessDeps {
  readonly config: Pick<AdminConfig, 'clockSkew'>;
  /** Of each provider, whether it says when its users authenticated. */
  readonly providers: ReadonlyMap<string, { readonly provesFreshness: boolean }>;
  readonly clock: Clock;
}

type FreshnessRejection = Extract<AdminRejection, { readonly reason: 'fresh_sign_in_needed' | 'freshness_unprovable' }>;

/** Whether a user has signed in recently enough. */
export function judgeFreshness(
  deps: FreshnessDeps,
  { provider, authTime }: Actor['proof'],
  withinSeconds: number,
): Result<undefined, FreshnessRejection> {
  const provesFreshness = deps.providers.get(provider)?.provesFreshness === true;
  const { clockSkew } = deps.config;
  switch (freshnessOf({ provesFreshness, authTime }, { now: nowSeconds(deps), withinSeconds, clockSkew })) {
    case 'fresh':
      return ok(undefined);
    // The configuration is validated for this, so such a provider was changed or removed since the session began.
    case 'unprovable':
      return no({ reason: 'freshness_unprovable', provider });
    case 'stale':
      return no({ reason: 'fresh_sign_in_needed', withinSeconds });
  }
}

/**
 * Whether an admin has signed in recently enough to change anything. A workload with a role is exempt, because no user is
 * there to sign in.
 * @throws AppError `unauthenticated` where the session is gone, `fenced`
 */
export function judgeAdminFreshness(
  deps: FreshnessDeps & { readonly config: Pick<AdminConfig, 'admin' | 'workload'> },
  actor: Actor,
): Result<undefined, FreshnessRejection> {
  const { freshness: withinSeconds } = deps.config.admin;
  const { role = 'none' } = workloadRule(actor.account, deps.config) ?? {};
  if (withinSeconds === 'off' || role !== 'none') return ok(undefined);
  actor.assertValid();
  return judgeFreshness(deps, actor.proof, withinSeconds);
}
