/**
 * A revocation that cannot be tried, because the store does not answer: this replica has not met the admin before and cannot read their
 * session, or nobody can say whether it takes two admins. It refuses the target all the same, for a while, and nothing is written.
 *
 * Attack: a former admin's token is good for its last minutes, and its holder waits for the store to hang. All that they get is that users
 * are refused at the replicas that were asked, until a quarter of an hour after the last such request. A sign-in that is too old is refused
 * as ever, where two admins are needed one alone holds nothing, and every hold is audited with its end.
 */
import type { AppError } from '../core/errors.ts';
import type { RevocationTarget } from '../core/credential/revocation.ts';
import { type AdminDeps, type AdminContext } from './dependencies.ts';
import { nowSeconds } from '../contracts/clock.ts';
import { appErrorOf } from '../http/error-status.ts';
import { rfc3339 } from '../core/time.ts';
import { record } from '../http/audit-events.ts';
import { AdminError } from './problem.ts';
import { targetName } from './revocation-request.ts';

/** Long enough to bring the store back and to send it again, which takes the hold's place. */
const HOLD_SECONDS = 900;

/** What one admin alone may revoke, a lock left out (`admin.dualControl`). */
const mayHold = ({ config }: AdminDeps, { kind }: RevocationTarget): boolean =>
  config.admin.dualControl === 'off' || kind === 'session' || kind === 'account';

/**
 * Holds the target here instead of revoking it.
 * @param given.target undefined where only the store knows it
 * @param given.cause why the store could not be asked
 * @throws AdminError `revocation_not_written` with `heldUntil`; `cause` where the target is not known, or not one admin's to revoke
 * @throws AppError `unauthenticated` or `fenced` where the caller's credential is not good any more
 */
export function holdInstead(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  given: { readonly target: RevocationTarget | undefined; readonly reason: string; readonly cause: AppError },
): never {
  const { target, reason, cause } = given;
  if (target === undefined || !mayHold(deps, target)) throw cause;
  actor.assertValid();
  const streamsClosed = deps.guard.hold(target, HOLD_SECONDS);
  const heldUntil = rfc3339(nowSeconds(deps) + HOLD_SECONDS);
  const words =
    `The store does not answer, so nothing could be written. This replica refuses the target until ${heldUntil}, ` +
    'and no other does. Send it again as soon as the store is back.';
  const options = { cause, members: { heldUntil }, audited: true };
  const error = new AdminError('revocation_not_written', 'store_unavailable', words, options);
  const details = {
    target: targetName(target),
    outcome: error.reason,
    'held-until': heldUntil,
    'streams-closed': String(streamsClosed),
  };
  record(deps, context, { event: 'revocation', path, code: appErrorOf(error).status, reason, details });
  throw error;
}
