/** Lifetimes that no caller sets. Both implementations of the store use these. */

/** The result of an append is kept this long, so that a caller that lost the reply can ask again. */
export const REQUEST_KEPT_SECONDS = 600;

/**
 * An entry that revokes nothing (`identity-changed`, `unlocked`, `drill`) reaches every replica within its lease,
 * which is seconds. A replica that is further behind gets `gap`, joins again and drops its caches. Ten minutes are
 * far beyond any lease.
 */
export const NOTICE_KEPT_SECONDS = 600;

/**
 * Largest allowed difference between a replica's clock and the store's. A replica with a larger one is not ready
 * (docs/revocation-protocol.md#revoke-5).
 */
export const CLOCK_SKEW_SECONDS = 60;

/** One replica's clock sets the end of an entry and another's evaluates it: one may be slow and the other fast. */
export const ENTRY_SKEW_SECONDS = 2 * CLOCK_SKEW_SECONDS;

/**
 * The longest token lifetime that the configuration allows (`sessions.accessToken`). An entry is kept this long
 * until a replica has joined and has reported its own token lifetime. A value that is too long costs memory; one
 * that is too short would make a revoked token valid again.
 */
export const LONGEST_TOKEN_SECONDS = 900;

/**
 * An account's watermark must outlive every sign-in that began before it (10 minutes). Its sessions are deleted in
 * the same script. Two days are a wide margin. The few watermarks of providers and of `all` are kept as long as
 * the epoch.
 */
export const ACCOUNT_WATERMARK_SECONDS = 48 * 3600;

/**
 * How long after a revocation an account's sign-in must be a fresh one: longer than a session at a provider is
 * likely to last.
 */
export const FRESH_KEPT_SECONDS = 30 * 86_400;

/**
 * A session that the provider has closed stays closed longer than a sign-in that began before can take (10
 * minutes).
 */
export const PROVIDER_SESSION_CLOSED_SECONDS = 1800;

/**
 * Most live sessions of one account. A user has tens, and the jobs of one workload hundreds at the same time.
 *
 * An attacker who may sign in does so in a loop. Each session takes some nine kilobytes, so one account would fill
 * the store for all users; and a revocation of the account ends all of its sessions in one script, during which
 * Redis serves no one else. So the number is limited.
 */
export const MOST_SESSIONS_OF_AN_ACCOUNT = 1000;

/** Of the delegated sessions that a revocation ended, so many are named in its receipt. All of them are counted. */
export const MOST_LABELS = 100;

/**
 * Sign-ins are in whole seconds, by our clock (`idp/auth-time.ts`), and so is the moment of a revocation. A workload's token
 * has that of its issuer's clock, which has to have been set.
 */
export const FRESH_TOLERANCE_SECONDS = 2;

/**
 * The log keeps at most this many entries, whatever their `until`. Live ones stay in the index, and a replica that
 * is behind joins again.
 */
export const LONGEST_LOG = 10_000;

/**
 * @throws RangeError if the time to live is not a finite number: a programming error, found before anything is
 * written
 */
export function expiresAtMs(now: number, ttlSeconds: number): number {
  if (!Number.isFinite(ttlSeconds)) throw new RangeError(`ttlSeconds must be a finite number, got ${ttlSeconds}`);
  return now + Math.round(ttlSeconds * 1000);
}
