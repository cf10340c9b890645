/**
 * The credential of a run: renewed before it ends for as long as somebody uses it, and the one place that finds out that the session is
 * over. The cache and its lock are those of the plugin, so that kubectl and this program share every token.
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

/** What a request goes to the gate with. */
export interface HeldCredential {
  readonly token: CachedToken;
  readonly pool: ServerPool;
}

export interface KeeperOptions {
  readonly context: CliContext;
  readonly entry: CacheEntry;
  readonly cluster: string;
  readonly first: Credential;
  /** Called once, with why. */
  readonly onEnd: (error: unknown) => void;
}

/** Milliseconds between two questions of one kind. A pod that answers 401 all day must not cost a token for each of its answers. */
const PAUSE_MS = 10_000;
/** Milliseconds between two looks at the cache: a sign-out on this machine is seen without asking anybody. */
const CACHE_POLL_MS = 2000;
/** setTimeout takes no more. */
const LONGEST_MS = 2 ** 31 - 1;

/** Failures that pass: nobody could say whether the session holds. */
const PASSING: ReadonlySet<string> = new Set(['upstream_unavailable', 'upstream_timeout']);
const isPassing = (error: unknown): boolean => error instanceof AppError && PASSING.has(error.code);

export class CredentialKeeper {
  readonly #options: KeeperOptions;
  /** Who signed in when the run began. */
  readonly #account: string;
  #held: HeldCredential;
  #poolKey = '';
  #sessionEndsAt = 0;
  /** A request has come since the token did. */
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
   * The credential for one request.
   * @throws AppError as `renew`, where there is none that the gate would take
   */
  async current(): Promise<HeldCredential> {
    this.#used = true;
    const { token } = this.#held;
    const now = this.#options.context.now();
    if (isFresh(token, now)) return this.#held;
    if (isAlive(token, now)) {
      // The request need not wait. A timer that is set is that of a try that failed, and is soon enough.
      if (this.#renewTimer === undefined && this.#renewing === undefined) this.#renewLater(0);
      return this.#held;
    }
    const held = await this.#renewed((found) => isFresh(found, this.#options.context.now()));
    this.#used = true;
    return held;
  }

  /**
   * The gate, or what is behind it, has answered 401 to `held`.
   * @returns another credential to try with, once
   */
  async rejected({ token }: HeldCredential): Promise<HeldCredential | undefined> {
    if (this.#held.token !== token) return this.#held;
    if (this.#rejection?.token === token) return this.#rejection.renewed;
    const { context } = this.#options;
    if (context.now() < this.#rejectedAt + PAUSE_MS) return undefined;
    this.#rejectedAt = context.now();
    const isOther = (found: CachedToken): boolean => isFresh(found, context.now()) && tokenId(found) !== tokenId(token);
    const renewed = this.#renewed(isOther).then(
      (held) => held,
      () => undefined, // Told by `onOver`, or it passes; the client gets the 401.
    );
    this.#rejection = { token, renewed };
    return renewed;
  }

  /** Something that was open was cut from the other side: is the session over? Asked at most once in a pause, and never forgotten. */
  verify(): void {
    if (this.#closed) return;
    if (this.#verifying) {
      // The answer under way may be older than this cut.
      this.#verifyAgain = true;
      return;
    }
    if (this.#verifyTimer !== undefined) return;
    const wait = Math.max(0, this.#verifiedAt + PAUSE_MS - this.#options.context.now());
    this.#verifyTimer = setTimeout(() => void this.#verifyNow(), wait);
  }

  /** Stops asking, and cuts every connection. */
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
    this.#verifiedAt = this.#options.context.now();
    // No token of the cache proves anything now: only the broker's word does.
    const error = await this.#renewed(() => false).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    this.#verifying = false;
    if (this.#verifyAgain || isPassing(error)) this.verify();
  }

  #checkCache(): void {
    const { context, entry } = this.#options;
    const now = context.now();
    // The server's clock decides about the end; by this one it is only asked.
    if (now >= this.#sessionEndsAt && now >= this.#verifiedAt + 6 * PAUSE_MS) return this.verify();
    let present = true;
    try {
      present = readSession(entry) !== undefined;
    } catch {
      present = false; // Whoever asks next says why in words.
    }
    if (!present) this.verify();
  }

  /** One at a time; who comes meanwhile shares the next one's outcome only where a token of the cache will do. */
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
    // A script that was begun as one user must not go on as the one who has signed in on this machine since.
    if (user.account !== this.#account) {
      const what = `Another account has signed in to ${hostOf(entry.server.url)}, so this run is over.`;
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
    this.#renewLater(freshUntilMs(token) - this.#options.context.now());
    return { token, pool };
  }

  /**
   * Renews before the token ends, where it has been used: a run that nobody uses must not keep the session from its idle end. The next
   * request renews then.
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
        this.#renewed((token) => isFresh(token, context.now())).catch((error: unknown) => {
          if (isPassing(error) && isAlive(this.#held.token, context.now())) this.#renewLater(PAUSE_MS);
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
