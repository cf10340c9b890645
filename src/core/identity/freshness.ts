/**
 * Decides whether an admin has authenticated recently (`admin.freshness`, OpenID Connect Core §2 `auth_time`).
 *
 * An attacker with an admin's stolen or unlocked laptop has the admin's session for a day. They must not be
 * able to revoke the sessions of all users with it.
 */

/** `auth_time` is whole seconds of the provider's clock, and the two clocks may differ by this much. */
export const FRESH_TOLERANCE_SECONDS = 60;

export interface SignInProof {
  /** Whether the provider reports when a user has authenticated. */
  readonly provesFreshness: boolean;
  /**
   * Epoch seconds, as the provider reported. Never our own clock at the session's start: with single sign-on, a user
   * who typed their password yesterday gets a session now.
   */
  readonly authTime: number | undefined;
}

export type Freshness = 'fresh' | 'stale' | 'unprovable';

/**
 * Whether a time can be true. One in the future proves nothing: it would keep its session fresh for as long as the
 * provider likes.
 * @param now epoch seconds
 * @param clockSkew `clockSkew` of the configuration, seconds
 */
export const isPlausible = (authTime: number, now: number, clockSkew = FRESH_TOLERANCE_SECONDS): boolean =>
  authTime <= now + clockSkew;

/**
 * Judges a session's proof.
 * @param at.now epoch seconds
 * @param at.withinSeconds how long after the proof an admin may act
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

/**
 * Returns a period as text, in the largest unit that divides it: `every 15 minutes`, `every hour`, `every 90 seconds`.
 */
export const frequencyText = (seconds: number): string => `every ${durationText(seconds)}`;

/** The same without `every`: `15 minutes`, `hour`, `90 seconds`. */
export function durationText(seconds: number): string {
  const [size, unit] = UNITS.find(([of]) => seconds % of === 0) ?? [1, 'second'];
  const count = seconds / size;
  return count === 1 ? unit : `${count} ${unit}s`;
}
