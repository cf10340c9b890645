/** When a session was last used: by a token that was issued for it, or by a request with one. */

/** How old the last known use may become before a request moves it, because each move is a write. */
export const USE_SECONDS = 60;

/** @returns epoch seconds */
export const lastUseOf = (session: { readonly lastUsedAt: number; readonly lastRequestAt?: number }): number =>
  Math.max(session.lastUsedAt, session.lastRequestAt ?? 0);

/**
 * Returns when the session ends if no further token is minted for it, nor for a session above it. Epoch seconds. It
 * moves with each mint.
 */
export const idleEndOf = ({
  lastUsedAt,
  idleSeconds,
  parentIdleAt = Number.POSITIVE_INFINITY,
}: {
  readonly lastUsedAt: number;
  readonly idleSeconds: number;
  readonly parentIdleAt?: number;
}): number => Math.min(lastUsedAt + idleSeconds, parentIdleAt);
