/** How long the store keeps what nobody gave it a time for; both implementations use these. */

/** An append's answer is kept this long, so that a caller who lost the reply may ask again. */
export const REQUEST_KEPT_SECONDS = 600;

/**
 * An `identity-changed` entry reaches every replica within its lease of seconds; one that is further behind gets `gap`, joins
 * afresh and drops its caches. Ten minutes are far beyond any lease.
 */
export const IDENTITY_CHANGE_KEPT_SECONDS = 600;

/**
 * An account's watermark must outlive every sign-in that began before it (10 minutes); its sessions are deleted in the same
 * script. Two days are a wide margin. The watermarks of providers and of all are few and stay for the epoch's life.
 */
export const ACCOUNT_WATERMARK_SECONDS = 48 * 3600;

/** The log keeps at most this many entries, whatever their `until`; live ones stay in the index, and who is behind joins afresh. */
export const LONGEST_LOG = 10_000;

/** @throws RangeError for a time to live that is no number: a programming fault, found before anything is written */
export function expiresAtMs(now: number, ttlSeconds: number): number {
  if (!Number.isFinite(ttlSeconds)) throw new RangeError(`ttlSeconds must be a finite number, got ${ttlSeconds}`);
  return now + Math.round(ttlSeconds * 1000);
}
