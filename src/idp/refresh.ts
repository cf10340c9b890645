/**
 * A refresh, and when its failure means that the provider no longer vouches for the user.
 *
 * No single answer ends a session: a provider whose servers lag behind each other refuses a token that it has just given.
 * `invalid_grant` says so by the standard (RFC 6749 §5.2), and is believed at the second time. Some providers answer an
 * unknown refresh token with `invalid_request`, or with a bare 400. Taken for an outage, that would leave the session of a
 * disabled user alive for the rest of the day. Taken for a refusal whatever the reason, a wrong client secret or a portal in
 * the network would sign everybody out. So it counts only where the provider is itself at that moment as well: discovery and
 * keys are read again.
 */
import { AppError } from '../core/errors.ts';
import { isLostResponse, mayBeRejection, refreshRejected, isExplicitRejection, tokenEndpointError } from './errors.ts';

/**
 * How many users in a row may lose their session by an answer that is no `invalid_grant`, without one token having been given
 * in between. Beyond it the answer is not about users: a provider that answers a wrong client secret with a bare 400 would
 * sign out everybody, one by one.
 */
const MAX_IN_A_ROW = 5;

/** What one provider's token endpoint has answered lately; one for each provider and replica. */
export interface RejectionStreak {
  /** A token was given: our client is known there, and the endpoint works. */
  tokenGiven(): void;
  /** @returns whether one more user may be taken for refused */
  readonly mayGrow: boolean;
  grow(): void;
}

export function rejectionStreak(): RejectionStreak {
  let inARow = 0;
  return {
    tokenGiven: () => void (inARow = 0),
    get mayGrow() {
      return inARow < MAX_IN_A_ROW;
    },
    grow: () => void (inARow += 1),
  };
}

export interface RefreshDeps<T> {
  readonly provider: string;
  /** Asks once, with the newest refresh token there is. Rejects with what `readAnswer` returns. */
  readonly ask: () => Promise<T>;
  /** @throws AppError `provider_unavailable` where the provider's discovery or keys are not as they should be now */
  readonly assertItself: () => Promise<void>;
  readonly streak: RejectionStreak;
}

/** @throws AppError `sign_in_refused` where the provider no longer vouches for the user, `provider_unavailable` where it cannot say */
export async function refreshTokens<T>(deps: RefreshDeps<T>): Promise<T> {
  const { provider, streak } = deps;
  const tokens = await retryIfLost(deps).catch((error: unknown) => {
    if (mayBeRejection(error)) return confirmRejection(deps, error);
    throw tokenEndpointError(provider, error);
  });
  streak.tokenGiven();
  return tokens;
}

/**
 * Where the answer was lost on the way, the provider may have rotated the token, and what we hold is the old one. Those that rotate take it
 * again for a short while (Okta's grace period, Keycloak's reuse count), so it is tried once more at once; later would be too late.
 */
function retryIfLost<T>({ ask }: RefreshDeps<T>): Promise<T> {
  return ask().catch((error: unknown) => {
    if (isLostResponse(error)) return ask();
    throw error;
  });
}

/**
 * The second try of a token that was refused. The provider has not taken the token, so it does not see a second use of it.
 * Whatever else happens in between (network, 5xx, another provider than before) leaves the question open.
 */
async function confirmRejection<T>(
  { provider, ask, assertItself, streak }: RefreshDeps<T>,
  first: unknown,
): Promise<T> {
  const isExplicit = isExplicitRejection(first);
  if (!isExplicit && !streak.mayGrow) throw tokenEndpointError(provider, first);
  if (!isExplicit) await assertItself();
  try {
    return await ask();
  } catch (error) {
    if (error instanceof AppError || !mayBeRejection(error)) throw tokenEndpointError(provider, error);
    if (!isExplicit && !isExplicitRejection(error)) streak.grow();
    throw refreshRejected(provider, error);
  }
}
