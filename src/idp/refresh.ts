/**
 * A refresh, and when its failure means that the provider rejects the user.
 *
 * No single response ends a session: a provider whose servers lag behind each other rejects a token that it has
 * just issued. `invalid_grant` is the standard's rejection (RFC 6749 §5.2), and is believed at the second time.
 * Some providers respond to an unknown refresh token with `invalid_request`, or with a bare 400. If that were
 * taken for an outage, the session of a disabled user would stay alive for the rest of the day. If it were taken
 * for a rejection whatever the reason, a wrong client secret or a captive portal would sign every user out. So it
 * counts only where the provider itself works at that moment as well: discovery and keys are read again.
 */
import { AppError } from '../core/errors.ts';
import { isLostResponse, mayBeRejection, refreshRejected, isExplicitRejection, tokenEndpointError } from './errors.ts';

/**
 * How many users in a row may lose their session by a response that is no `invalid_grant`, without one token
 * having been issued in between. Beyond it the response is not about users: a provider that responds to a wrong
 * client secret with a bare 400 would sign out every user, one by one.
 */
const MAX_IN_A_ROW = 5;

/** The latest rejections of users by one provider; one for each provider and replica. */
export interface RejectionStreak {
  /** A user was not rejected: the provider works. */
  reset(): void;
  /** @returns whether one more user may be considered rejected */
  readonly mayGrow: boolean;
  grow(): void;
}

export function rejectionStreak(): RejectionStreak {
  let inARow = 0;
  return {
    reset: () => void (inARow = 0),
    get mayGrow() {
      return inARow < MAX_IN_A_ROW;
    },
    grow: () => void (inARow += 1),
  };
}

export interface RefreshDeps<T> {
  readonly provider: string;
  /** Asks once, with the newest refresh token there is. Rejects with the result of `readErrorResponse`. */
  readonly ask: () => Promise<T>;
  /** @throws AppError `provider_unavailable` where the provider's discovery or keys are invalid now */
  readonly assertItself: () => Promise<void>;
  readonly streak: RejectionStreak;
}

/**
 * Refreshes a user's tokens. @throws AppError `sign_in_refused` where the provider rejects the user,
 * `provider_unavailable` where it gives no result
 */
export async function refreshTokens<T>(deps: RefreshDeps<T>): Promise<T> {
  const { provider, streak } = deps;
  const tokens = await retryIfLost(deps).catch((error: unknown) => {
    if (mayBeRejection(error)) return confirmRejection(deps, error);
    throw tokenEndpointError(provider, error);
  });
  // A token was issued: our client is known there, and the endpoint works.
  streak.reset();
  return tokens;
}

/**
 * Tries once more where the response was lost. The provider may have rotated the token, and we hold the old one.
 * Providers that rotate accept it again for a short while (Okta's grace period, Keycloak's reuse count), so the
 * second try is immediate; later would be too late.
 */
function retryIfLost<T>({ ask }: RefreshDeps<T>): Promise<T> {
  return ask().catch((error: unknown) => {
    if (isLostResponse(error)) return ask();
    throw error;
  });
}

/**
 * Tries a rejected token a second time. The provider has not accepted the token, so it does not see a second use
 * of it. Any other result in between (network, 5xx, another provider than before) leaves the question open.
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
