/**
 * Keeps the credential of a run: renews it before it expires for as long as it is used, and alone detects that the
 * session is over. The cache and its lock are those of the plugin, so that kubectl and this program share every
 * token.
 */
import { clusterAudience } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { readSession, type CacheEntry } from '../session/cache.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { renew, type Credential } from '../session/renewal.ts';
import { hostOf } from '../http/server-url.ts';
import { freshUntilMs, isAlive, isFresh, tokenId, type CachedToken } from '../session/session.ts';
import { createServerPool, type ServerPool } from './server-connection.ts';

/** The credential and the connections for a request to the server. */
export interface HeldCredential {
  readonly token: CachedToken;
  readonly pool: ServerPool;
}

export interface KeeperOptions {
  readonly context: CliContext;
  readonly entry: CacheEntry;
  readonly cluster: string;
  readonly first: Credential;
  /** Called once, with the reason. */
  readonly onEnd: (error: unknown) => void;
}

/**
 * Milliseconds between two requests of one kind. A pod that responds with 401 all day must not cost a token for
 * each response.
 */
const PAUSE_MS = 10_000;
/** Milliseconds between two checks of the cache: a sign-out on this machine is noticed without a request. */
const CACHE_POLL_MS = 2000;
/** The maximum of setTimeout. */
const LONGEST_MS = 2 ** 31 - 1;

/** Temporary failures: no server could say whether the session is valid. */
const PASSING: ReadonlySet<string> = new Set(['upstream_unavailable', 'upstream_timeout']);
const isPassing = (error: unknown): boolean => error instanceof AppError && PASSING.has(error.code);

export class CredentialKeeper {
  readonly #options: KeeperOptions;
  /** The account that signed in when the run began. */
  readonly #account: string;
  #held: HeldCredential;
  #poolKey = '';
  #sessionEndsAt = 0;
  /** A request has come since the token was received. */
  #used = true;
  #renewing: Promise<HeldCredential> | undefined;
  #rejection: { readonly token: CachedToken; readonly renewed: Promise<HeldCredential | undefined> } | undefined;
  #rejectedAt = Number.NEGATIVE_INFINITY;
  #verifiedAt = Number.NEGATIVE_INFINITY;
  #renewTimer: NodeJS.Timeout | undefined;
  #verifyTimer: NodeJS.Timeout | undefined;
  #verifying = false;
  #verifyAgain = false;
  readonly #cachePollTimer: NodeJS.Timeout;
  readonly #pools = new Set<ServerPool>();
  #closed = false;

  /** @throws AppError `forbidden` where the cluster is not among the session's */
  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#account = options.first.session.user.account;
    this.#held = this.#adopt(options.first);
    this.#cachePollTimer = setInterval(() => this.#checkCache(), CACHE_POLL_MS);
  }

  /**
   * Returns the credential for one request.
   * @throws AppError as `renew`, where no credential would be accepted
   */
  async current(): Promise<HeldCredential> {
    this.#used = true;
    const { token } = this.#held;
    const now = this.#options.context.nowMs();
    if (isFresh(token, now)) return this.#held;
    if (isAlive(token, now)) {
      // The request need not wait. A timer that is set belongs to a failed try, and is soon enough.
      if (this.#renewTimer === undefined && this.#renewing === undefined) this.#renewLater(0);
      return this.#held;
    }
    const held = await this.#renewed((found) => isFresh(found, this.#options.context.nowMs()));
    this.#used = true;
    return held;
  }

  /**
   * Handles a 401 of the server, or of what is behind it, to `held`.
   * @returns another credential to try with, once
   */
  async rejected({ token }: HeldCredential): Promise<HeldCredential | undefined> {
    if (this.#held.token !== token) return this.#held;
    if (this.#rejection?.token === token) return this.#rejection.renewed;
    const { context } = this.#options;
    if (context.nowMs() < this.#rejectedAt + PAUSE_MS) return undefined;
    this.#rejectedAt = context.nowMs();
    const isOther = (found: CachedToken): boolean =>
      isFresh(found, context.nowMs()) && tokenId(found) !== tokenId(token);
    const renewed = this.#renewed(isOther).then(
      (held) => held,
      () => undefined, // Reported by `onEnd`, or temporary; the client gets the 401.
    );
    this.#rejection = { token, renewed };
    return renewed;
  }

  /**
   * Checks whether the session is over, after the other side cut something that was open. At most one check in each
   * interval; none is forgotten.
   */
  verify(): void {
    if (this.#closed) return;
    if (this.#verifying) {
      // The response under way may be older than this cut.
      this.#verifyAgain = true;
      return;
    }
    if (this.#verifyTimer !== undefined) return;
    const wait = Math.max(0, this.#verifiedAt + PAUSE_MS - this.#options.context.nowMs());
    this.#verifyTimer = setTimeout(() => void this.#verifyNow(), wait);
  }

  /** Stops all checks, and cuts every connection. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#renewTimer);
    clearTimeout(this.#verifyTimer);
    clearInterval(this.#cachePollTimer);
    for (const pool of this.#pools) pool.destroy();
  }

  async #verifyNow(): Promise<void> {
    this.#verifyTimer = undefined;
    this.#verifying = true;
    this.#verifyAgain = false;
    this.#verifiedAt = this.#options.context.nowMs();
    // No cached token proves anything now: only the server can decide.
    const error = await this.#renewed(() => false).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    this.#verifying = false;
    if (this.#verifyAgain || isPassing(error)) this.verify();
  }

  #checkCache(): void {
    const { context, entry } = this.#options;
    const now = context.nowMs();
    // The server's clock decides about the end; this machine's clock only triggers the check.
    if (now >= this.#sessionEndsAt && now >= this.#verifiedAt + 6 * PAUSE_MS) return this.verify();
    let present = true;
    try {
      present = readSession(entry) !== undefined;
    } catch {
      present = false; // The next check reports the reason.
    }
    if (!present) this.verify();
  }

  /** Renews one at a time. A caller that comes meanwhile shares the result only where it accepts a cached token. */
  async #renewed(accept: (token: CachedToken) => boolean): Promise<HeldCredential> {
    for (;;) {
      const under = this.#renewing;
      if (under === undefined) break;
      const held = await under;
      if (accept(held.token)) return held;
    }
    const renewing = this.#renewOnce(accept);
    this.#renewing = renewing;
    try {
      return await renewing;
    } finally {
      if (this.#renewing === renewing) this.#renewing = undefined;
    }
  }

  async #renewOnce(accept: (token: CachedToken) => boolean): Promise<HeldCredential> {
    const { context, entry, cluster } = this.#options;
    try {
      const credential = await renew(context, entry, { audience: clusterAudience(cluster), accept });
      if (this.#closed) throw cliError('upstream_unavailable', 'portcullis proxy has ended.', 'run it again');
      this.#held = this.#adopt(credential);
      return this.#held;
    } catch (error) {
      if (!isPassing(error)) this.#end(error);
      throw error;
    }
  }

  #adopt({ session, token }: Credential): HeldCredential {
    const { user, binding } = session;
    const { entry, cluster: name } = this.#options;
    // A script that was started as one user must not continue as another who has signed in on this machine since.
    if (user.account !== this.#account) {
      const what = `Another account has signed in to ${hostOf(entry.server.url)}, so this run has ended.`;
      throw cliError('unauthenticated', what, 'run portcullis proxy again', { reason: 'other_account' });
    }
    const cluster = user.clusters.find((one) => one.name === name);
    if (cluster === undefined) {
      const next = 'portcullis whoami lists your clusters; if it is new, sign in again: portcullis login';
      throw cliError('forbidden', `${name} is not among your clusters.`, next, { reason: 'cluster_unknown' });
    }
    const key = JSON.stringify([cluster.server, cluster.caData, binding.certificate]);
    const known = key === this.#poolKey;
    const pool = known ? this.#held.pool : createServerPool(cluster, binding);
    if (!known && this.#poolKey !== '') this.#held.pool.retire();
    this.#pools.add(pool);
    this.#poolKey = key;
    this.#sessionEndsAt = Date.parse(user.sessionExpiresAt) || Number.POSITIVE_INFINITY;
    this.#used = false;
    this.#renewLater(freshUntilMs(token) - this.#options.context.nowMs());
    return { token, pool };
  }

  /**
   * Renews before the token expires, if it has been used: an unused run must not keep the session from its idle
   * timeout. The next request renews then.
   */
  #renewLater(wait: number): void {
    clearTimeout(this.#renewTimer);
    this.#renewTimer = undefined;
    if (this.#closed) return;
    this.#renewTimer = setTimeout(
      () => {
        const { context } = this.#options;
        this.#renewTimer = undefined;
        if (!this.#used || this.#closed) return;
        this.#renewed((token) => isFresh(token, context.nowMs())).catch((error: unknown) => {
          if (isPassing(error) && isAlive(this.#held.token, context.nowMs())) this.#renewLater(PAUSE_MS);
        });
      },
      Math.min(Math.max(wait, 0), LONGEST_MS),
    );
  }

  #end(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.onEnd(error);
  }
}
