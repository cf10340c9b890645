/**
 * Whether a provider's clock agrees with ours, seen from what it has made just now: an ID token says in `iat` when that was.
 *
 * Threat: a provider whose clock is ahead makes a proof of yesterday look like one of now. With ten minutes, whoever sits down at a laptop that was
 * signed in ten minutes ago passes for a user who has just proven who they are. So an ID token from the future is refused. A clock that is
 * behind makes everything look older than it is, which lets nobody in; it is named where it is the reason why something was refused.
 */
import * as oidc from 'openid-client';
import { AppError } from '../core/errors.ts';
import type { Claims } from '../core/identity/types.ts';

/** By how much a provider's clock may be off ours where the configuration says nothing (seconds). */
export const DEFAULT_CLOCK_SKEW_SECONDS = 60;

/** The reason, for the log and the audit log. Which of the two clocks is wrong cannot be seen from here. */
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

/** @returns what the audit event of an error says, where the error is about clocks */
export const clockSkewOf = (error: unknown): { readonly 'clock-skew'?: string } =>
  error instanceof AppError && error.cause instanceof ClockOff
    ? { 'clock-skew': String(error.cause.clockSkewSeconds) }
    : {};

export function clockSkewError(provider: string, clockSkewSeconds: number): AppError {
  const seconds = Math.abs(clockSkewSeconds);
  const words = `The clock of ${provider} and the clock of this server differ by ${seconds} seconds, so nothing that it says can be trusted. Tell your platform team.`;
  return new AppError('provider_unavailable', words, {
    reason: 'provider_clock_off',
    cause: new ClockOff(clockSkewSeconds),
  });
}

/**
 * Judges an ID token that was made just now, and whose signature was verified.
 * @param at.now epoch milliseconds
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
 * @param error of openid-client
 * @returns seconds by which the provider's clock is ahead (behind: negative), where an ID token was refused for one of its times and its own `iat`
 *   shows the reason. One that was made in time and has expired has nothing to do with clocks
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
