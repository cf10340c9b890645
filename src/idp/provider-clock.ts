/**
 * Checks whether a provider's clock agrees with ours: an ID token that it has just issued has the time in `iat`.
 *
 * A provider whose clock is ahead makes yesterday's proof look like today's. With ten minutes, an attacker at a
 * machine whose user signed in ten minutes ago passes for a user who has just authenticated. So an ID token from
 * the future is rejected. A clock that is behind makes everything look older than it is, which admits no one; it
 * is named where it is the reason for a rejection.
 */
import * as oidc from 'openid-client';
import { AppError } from '../core/errors.ts';
import type { Claims } from '../core/identity/types.ts';

/** How far a provider's clock may be off ours where the configuration does not say (seconds). */
export const DEFAULT_CLOCK_SKEW_SECONDS = 60;

/** The reason, for the log and the audit log. Which of the two clocks is wrong is unknown here. */
class ClockOff extends Error {
  /** Seconds by which the provider's clock is ahead of ours; negative where it is behind. */
  readonly clockSkewSeconds: number;

  constructor(clockSkewSeconds: number) {
    const direction = clockSkewSeconds > 0 ? 'ahead of' : 'behind';
    super(`the provider's clock is ${Math.abs(clockSkewSeconds)} s ${direction} this server's`);
    this.name = 'ClockOff';
    this.clockSkewSeconds = clockSkewSeconds;
  }
}

/** @returns the annotation of an error's audit event, where the error is about clocks */
export const clockSkewOf = (error: unknown): { readonly 'clock-skew'?: string } =>
  error instanceof AppError && error.cause instanceof ClockOff
    ? { 'clock-skew': String(error.cause.clockSkewSeconds) }
    : {};

export function clockSkewError(provider: string, clockSkewSeconds: number): AppError {
  const seconds = Math.abs(clockSkewSeconds);
  const message = `The clock of ${provider} and the clock of this server differ by ${seconds} seconds, so its tokens cannot be trusted. Tell your platform team.`;
  return new AppError('provider_unavailable', message, {
    reason: 'provider_clock_off',
    cause: new ClockOff(clockSkewSeconds),
    needsOperator: true,
  });
}

/**
 * Checks an ID token that was issued just now, and whose signature was verified.
 * @param at.nowMs epoch milliseconds
 * @param at.clockSkew seconds
 * @throws AppError `provider_unavailable` (`provider_clock_off`)
 */
export function assertNotFromFuture(
  provider: string,
  { iat }: Claims,
  {
    nowMs,
    clockSkew = DEFAULT_CLOCK_SKEW_SECONDS,
  }: { readonly nowMs: number; readonly clockSkew?: number | undefined },
): void {
  const ahead = typeof iat === 'number' ? Math.round(iat - nowMs / 1000) : 0;
  if (ahead > clockSkew) throw clockSkewError(provider, ahead);
}

/**
 * Returns the skew that an error of openid-client shows.
 * @returns seconds by which the provider's clock is ahead (behind: negative), where an ID token was rejected for
 *   one of its times and its own `iat` shows the reason. A token that was issued in time and has expired has
 *   nothing to do with clocks
 */
export function clockSkewShownBy(error: unknown): number | undefined {
  if (!(error instanceof oidc.ClientError) || error.code !== 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED') return undefined;
  const facts: unknown = error.cause instanceof Error ? error.cause.cause : undefined;
  if (typeof facts !== 'object' || facts === null || !('claims' in facts) || !('now' in facts)) return undefined;
  const { claims, now } = facts;
  const tolerance = 'tolerance' in facts ? facts.tolerance : undefined;
  if (typeof claims !== 'object' || claims === null || !('iat' in claims)) return undefined;
  if (typeof claims.iat !== 'number' || typeof now !== 'number' || typeof tolerance !== 'number') return undefined;
  const skew = Math.round(claims.iat - now);
  return Math.abs(skew) > tolerance ? skew : undefined;
}
