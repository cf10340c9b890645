/**
 * Server-sent events (WHATWG HTML, 9.2) to an admin or auditor.
 *
 * A user whose session was revoked keeps a stream open and goes on reading. So the credential is checked in
 * the tick of each write and at each change of the revocation view, a stream ends at the latest when the credential
 * expires, and a client that reconnects is authorized again. A client that never reads makes us keep all events for
 * it in memory, so a client that takes nothing for a while is disconnected.
 */
import type { AdminApiDeps } from './dependencies.ts';
import type { Response } from 'express';
import type { Account } from '../core/identity/identity.ts';
import { sessionKey, type LogChange } from '../core/credential/revocation.ts';
import { nowSeconds } from '../contracts/clock.ts';
import { whenOver } from '../core/http/response-over.ts';
import type { Actor } from '../http/request-context.ts';
import { resetResponse } from '../http/revocable-response.ts';

export const STREAM_LIMITS = {
  /**
   * Time between two heartbeats. Proxies close silent connections, and a client notices by them that a connection
   * is dead.
   */
  heartbeatMs: 15_000,
  /** A client that takes nothing for this long is disconnected. */
  slowMs: 10_000,
  /** How long the last event to a slow client may take. */
  closeTimeoutMs: 1000,
};

const RETRY_MS = 1000;

type EndReason = 'credential_over' | 'identity_changed' | 'leaving' | 'complete' | 'too_old';

/** Returns one event. The JSON that we write has no line ending of any kind in it. */
export const frame = (event: string, data: object, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

export interface StreamOptions {
  readonly limits?: Partial<typeof STREAM_LIMITS>;
  /** The last event to a client that took nothing for too long. */
  readonly tooSlow?: string;
}

/**
 * The open streams of one kind on this replica. Each is checked again when the revocation log changes or the lease
 * is lost.
 */
export class EventStreams {
  readonly #deps: Pick<AdminApiDeps, 'config' | 'clock' | 'leaving'>;
  readonly #open = new Set<EventStream>();

  constructor(deps: Pick<AdminApiDeps, 'config' | 'clock' | 'guard' | 'leaving'>) {
    this.#deps = deps;
    deps.guard.onChange((change) => {
      for (const stream of this.#open) stream.recheck(change);
    });
    deps.leaving?.addEventListener('abort', () => {
      for (const stream of this.#open) stream.end('leaving');
    });
  }

  /**
   * Returns whether an account may open one more stream, of at most `max`. One auditor could open so many that no
   * admin gets one in an incident, so the last fifth is for accounts that have none open.
   */
  hasCapacityFor(account: Account, max: number): boolean {
    const open = this.#open.size;
    return open < max * 0.8 || (open < max && ![...this.#open].some((stream) => stream.account === account));
  }

  /**
   * Opens a stream, whose credential is checked from here on. Nothing is sent before `begin`. Close it in any case.
   */
  open(res: Response, actor: Actor, options: StreamOptions = {}): EventStream {
    const stream = new EventStream(res, actor, { ...options, lifetimeMs: this.#lifetimeMs(actor) });
    this.#open.add(stream);
    stream.signal.addEventListener('abort', () => this.#open.delete(stream));
    // The web listener stays open for a while during a shutdown: a client that still comes is sent to another
    // replica as well.
    if (this.#deps.leaving?.aborted === true) stream.end('leaving');
    return stream;
  }

  /**
   * Returns the longest lifetime of a stream. A cookie lives long, so a browser's stream ends when an access token
   * would.
   */
  #lifetimeMs({ expiresAt }: Actor): number {
    const longest = this.#deps.config.sessions.accessToken;
    return Math.max(0, Math.min(longest, (expiresAt ?? Infinity) - nowSeconds(this.#deps)) * 1000);
  }
}

export class EventStream {
  readonly #res: Response;
  readonly #actor: Actor;
  readonly #limits: typeof STREAM_LIMITS;
  readonly #tooSlow: string;
  readonly #lifetimeMs: number;
  readonly #ending = new AbortController();
  #reason: EndReason = 'leaving';
  #expiry: NodeJS.Timeout | undefined;
  /**
   * The first heartbeat comes immediately, so that a client that loses the connection before the first event knows
   * its position.
   */
  #sentAtMs = Number.NEGATIVE_INFINITY;

  constructor(res: Response, actor: Actor, options: StreamOptions & { readonly lifetimeMs: number }) {
    this.#res = res;
    this.#actor = actor;
    this.#limits = { ...STREAM_LIMITS, ...options.limits };
    this.#tooSlow = options.tooSlow ?? frame('end', { reason: 'too_slow' });
    this.#lifetimeMs = options.lifetimeMs;
    whenOver(res, () => this.#ending.abort());
  }

  get account(): Account {
    return this.#actor.account;
  }

  /** Aborts when the stream is over, for any reason. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  begin(): void {
    this.#res.writeHead(200, {
      'Content-Type': 'text/event-stream',
      // A proxy that buffers responses would hold the events back.
      'X-Accel-Buffering': 'no',
    });
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
    this.#expiry = setTimeout(() => this.end('credential_over'), this.#lifetimeMs);
    this.#expiry.unref();
  }

  /** Checks the credential again, after a change of the revocation log or the loss of the lease. */
  recheck(change: LogChange | undefined): void {
    if (!this.#isValid()) return;
    // The role depends on the user's groups, which may have changed.
    const key = sessionKey(this.#actor.session);
    if (change?.kind === 'identity-changed' && change.key === key) this.end('identity_changed');
  }

  /**
   * Sends a text.
   * @returns false once the stream is over
   */
  async send(text: string): Promise<boolean> {
    if (this.signal.aborted || !this.#isValid()) return false;
    this.#sentAtMs = performance.now();
    if (this.#res.write(text)) return true;
    if (await this.#drained()) return true;
    if (!this.signal.aborted) this.#giveUp();
    return false;
  }

  /**
   * Sends a heartbeat where nothing was sent for a while.
   * @returns false once the stream is over
   */
  async heartbeat(text = ': nothing for now\n\n'): Promise<boolean> {
    if (performance.now() - this.#sentAtMs >= this.#limits.heartbeatMs) return this.send(text);
    return !this.signal.aborted && this.#isValid();
  }

  /** Ends the stream: only `finish` sends anything afterwards. */
  end(reason: EndReason): void {
    if (this.signal.aborted) return;
    this.#reason = reason;
    this.#ending.abort();
  }

  /** Sends the reason why the stream is over, if the client may still read anything. */
  finish(): void {
    if (this.#res.destroyed || this.#res.writableEnded || !this.#isValid()) return;
    this.#res.end(frame('end', { reason: this.#reason }));
  }

  close(): void {
    clearTimeout(this.#expiry);
    this.#ending.abort();
  }

  #drained(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const [drained, gone] = [() => resolve(true), () => resolve(false)];
    const timer = setTimeout(gone, this.#limits.slowMs);
    this.#res.on('drain', drained);
    this.signal.addEventListener('abort', gone);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#res.off('drain', drained);
      this.signal.removeEventListener('abort', gone);
    });
  }

  #giveUp(): void {
    this.#res.end(this.#tooSlow);
    setTimeout(() => this.#res.destroy(), this.#limits.closeTimeoutMs).unref();
  }

  /** Checks the credential. If it is not valid the connection is reset, which no client takes for a normal end. */
  #isValid(): boolean {
    try {
      this.#actor.assertValid();
      return true;
    } catch {
      this.#ending.abort();
      if (this.#res.headersSent) resetResponse(this.#res);
      return false;
    }
  }
}
