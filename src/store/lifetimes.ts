/** How long the store keeps what nobody gave it a time for; both implementations use these. */

/** An append's answer is kept this long, so that a caller who lost the reply may ask again. */
export const REQUEST_KEPT_SECONDS = 600;

/**
 * An entry that revokes nobody (`identity-changed`, `unlocked`, `drill`) reaches every replica within its lease of seconds; one that is
 * further behind gets `gap`, joins afresh and drops its caches. Ten minutes are far beyond any lease.
 */
export const NOTICE_KEPT_SECONDS = 600;

/** By how much a replica's clock may be off the store's; one that is further off is not ready (docs/revocation-protocol.md#revoke-5). */
export const CLOCK_SKEW_SECONDS = 60;

/** An entry's end is told by one replica's clock and judged by another's: one may be slow and the other fast. */
export const ENTRY_SKEW_SECONDS = 2 * CLOCK_SKEW_SECONDS;

/**
 * The longest life of a token that the configuration allows (`sessions.accessToken`). An entry stands for so long where nobody has joined
 * yet and said how long tokens live here: too long costs memory, too short would let a revoked token live again.
 */
export const LONGEST_TOKEN_SECONDS = 900;

/**
 * An account's watermark must outlive every sign-in that began before it (10 minutes); its sessions are deleted in the same
 * script. Two days are a wide margin. The watermarks of providers and of all are few and stay for the epoch's life.
 */
export const ACCOUNT_WATERMARK_SECONDS = 48 * 3600;

/** For so long after a revocation an account's sign-in must be a fresh one: longer than any session at a provider is likely to last. */
export const FRESH_KEPT_SECONDS = 30 * 86_400;

/** A session that the provider has closed stays closed for longer than a sign-in that began before can take (10 minutes). */
export const PROVIDER_SESSION_CLOSED_SECONDS = 1800;

/**
 * Live sessions of one account. A user has tens, and the jobs of one workload hundreds at once.
 *
 * Threat: whoever may sign in can do so in a loop. Each session is some nine kilobytes in the store, so that one account fills it for everybody;
 * and a revocation of the account ends all of its sessions in one step of the store, which stands still meanwhile.
 */
export const MOST_SESSIONS_OF_AN_ACCOUNT = 1000;

/**
 * `auth_time` is whole seconds of the provider's clock, the mark is of ours, and the two may differ by `clockSkew`; this is its default. Whoever
 * proved themselves within this time before the revocation therefore passes; a silent single sign-on is older than that.
 */
export const FRESH_TOLERANCE_SECONDS = 60;

/** The log keeps at most this many entries, whatever their `until`; live ones stay in the index, and who is behind joins afresh. */
export const LONGEST_LOG = 10_000;

/** @throws RangeError for a time to live that is no number: a programming fault, found before anything is written */
export function expiresAtMs(now: number, ttlSeconds: number): number {
  if (!Number.isFinite(ttlSeconds)) throw new RangeError(`ttlSeconds must be a finite number, got ${ttlSeconds}`);
  return now + Math.round(ttlSeconds * 1000);
}
