/**
 * Holds: a revocation that cannot be written, because the store does not respond. This replica has not seen the
 * admin before and cannot read their session, or it cannot know whether two admins are needed. It rejects the
 * target all the same, for a while, and nothing is written.
 *
 * An attacker with a former admin's token, which is valid for some minutes, waits until the store does not
 * respond. So a hold only rejects users at the replicas that received the request, until 15 minutes after the last
 * such request. A sign-in that is too old is rejected as always, one admin alone holds nothing where two are
 * needed, and every hold is audited with its end.
 */
import type { AdminResult } from '../../core/api/rejections.ts';
import type { AppError } from '../../core/errors.ts';
import type { RevocationTarget } from '../../core/credential/revocation.ts';
import { ADMIN_PROBLEMS } from '../../core/api/admin-problems.ts';
import { no } from '../../core/result.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { rfc3339 } from '../../core/time.ts';
import { record } from '../../http/audit-events.ts';
import { targetName } from '../../core/credential/revocation.ts';

/** Long enough to repair the store and to send the revocation again, which replaces the hold. */
const HOLD_SECONDS = 900;

/** Returns whether one admin alone may revoke the target, without a lock (`admin.dualControl`). */
const mayHold = ({ config }: AdminDeps, { kind }: RevocationTarget): boolean =>
  config.admin.dualControl === 'off' || kind === 'session' || kind === 'account';

/**
 * Holds the target on this replica instead of revoking it.
 * @param given.target undefined where only the store can resolve it
 * @param given.cause the error of the store
 * @returns `revocation_not_written` with `heldUntil`
 * @throws `cause` where the target is not known, or not one admin's to revoke
 * @throws AppError `unauthenticated` or `fenced` where the caller's credential is not good any more
 */
export function holdInstead(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  given: { readonly target: RevocationTarget | undefined; readonly reason: string; readonly cause: AppError },
): AdminResult<never> {
  const { target, reason, cause } = given;
  if (target === undefined || !mayHold(deps, target)) throw cause;
  actor.assertValid();
  const streamsClosed = deps.guard.hold(target, HOLD_SECONDS);
  const heldUntil = rfc3339(nowSeconds(deps) + HOLD_SECONDS);
  const outcome = 'revocation_not_written';
  const { status: code } = ADMIN_PROBLEMS[outcome];
  const details = {
    target: targetName(target),
    outcome,
    'held-until': heldUntil,
    'streams-closed': String(streamsClosed),
  };
  record(deps, context, { event: 'revocation', path, code, reason, details });
  return no({ reason: outcome, heldUntil, cause, members: { heldUntil }, audited: true });
}
