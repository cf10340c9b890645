/**
 * Whether the identity provider still confirms the user of a session: one who asks for a role or decides about a request
 * (`access`), and for the first of two admins.
 *
 * A user who has left the company acts with a session that is still open.
 */
import { nowSeconds, type Clock } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import type { SessionRecord } from '../../store/store.ts';

/**
 * How old the provider's last confirmation may be, where the provider gave no refresh token and so cannot be asked again:
 * then the sign-in itself is the confirmation.
 */
const CONFIRMED_SECONDS = 300;

const UNCONFIRMED =
  'The identity provider does not confirm the user right now, so nothing was done. Try again in a moment.';

/** What the provider says of a session's user now (`src/oauth/recheck.ts`). Its consequences are drawn already. */
export type RecheckedUser =
  | { readonly kind: 'same' | 'changed'; readonly record: SessionRecord }
  | { readonly kind: 'gone' }
  | { readonly kind: 'refused'; readonly message: string };

/**
 * Asks the provider whether the user of a session is there still, and ends the session where it says no.
 * @throws AppError `provider_unavailable`
 */
export type RecheckUser = (session: string) => Promise<RecheckedUser>;

/** Whether the provider has said just now that the user is there: by a re-check, or by the sign-in. */
export const isConfirmed = (
  deps: { readonly config: { readonly clockSkew: number }; readonly clock: Clock },
  { checkedAt }: Pick<SessionRecord, 'checkedAt'>,
): boolean => nowSeconds(deps) - checkedAt <= CONFIRMED_SECONDS + deps.config.clockSkew;

/**
 * Re-checks a session at its provider.
 * @returns undefined where it has ended
 * @throws AppError `provider_unavailable`
 */
export async function recheckedRecord(recheck: RecheckUser, session: string): Promise<SessionRecord | undefined> {
  const outcome = await recheck(session).catch((cause: unknown) => {
    if (!(cause instanceof AppError) || cause.code !== 'provider_unavailable') throw cause;
    throw new AppError('provider_unavailable', UNCONFIRMED, { cause, reason: cause.reason });
  });
  if (outcome.kind === 'gone' || outcome.kind === 'refused') return undefined;
  return outcome.record;
}
