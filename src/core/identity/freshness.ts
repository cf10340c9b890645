/**
 * Whether an admin has proved who they are a short while ago (`admin.freshness`, OpenID Connect Core §2 `auth_time`).
 *
 * Threat: a laptop that was left open, or stolen, has an admin's session for a day. What it must not have is the right to shut everybody out.
 */

/**
 * `auth_time` is whole seconds of the provider's clock, and the two clocks may differ by so much. As in the store, where a sign-in after a
 * revocation is judged.
 */
export const FRESH_TOLERANCE_SECONDS = 60;

export interface SignInProof {
  /** The provider says when somebody proved who they are. */
  readonly provesFreshness: boolean;
  /**
   * Epoch seconds, what the provider said. Never our own clock at the session's start: single sign-on opens a session now for who typed
   * their password yesterday.
   */
  readonly authTime: number | undefined;
}

export type Freshness = 'fresh' | 'stale' | 'unprovable';

/**
 * A time that is still to come proves nothing: it would make its session fresh for as long as the provider likes.
 * @param now epoch seconds
 * @param clockSkew `clockSkew` of the configuration, seconds
 */
export const isPlausible = (authTime: number, now: number, clockSkew = FRESH_TOLERANCE_SECONDS): boolean =>
  authTime <= now + clockSkew;

/**
 * Judges a session's proof.
 * @param at.now epoch seconds
 * @param at.withinSeconds how long after the proof somebody may act
 * @param at.clockSkew as above
 */
export function freshnessOf(
  { provesFreshness, authTime }: SignInProof,
  {
    now,
    withinSeconds,
    clockSkew = FRESH_TOLERANCE_SECONDS,
  }: { readonly now: number; readonly withinSeconds: number; readonly clockSkew?: number },
): Freshness {
  if (!provesFreshness) return 'unprovable';
  if (authTime === undefined || !isPlausible(authTime, now, clockSkew)) return 'stale';
  return authTime >= now - withinSeconds - clockSkew ? 'fresh' : 'stale';
}

const UNITS = [
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
] as const;

/** `every 15 minutes`, `every hour`, `every 90 seconds`: in the largest unit that it is a whole number of. */
export function everyWords(seconds: number): string {
  const [size, unit] = UNITS.find(([of]) => seconds % of === 0) ?? [1, 'second'];
  const count = seconds / size;
  return count === 1 ? `every ${unit}` : `every ${count} ${unit}s`;
}
