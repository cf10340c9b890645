/**
 * Server-sent events (WHATWG HTML, 9.2) to somebody who may see them for now.
 *
 * Threat: what is streamed must not outlive the right to see it. It is judged in the tick of each write and whenever the view changes, and a
 * stream ends with the credential's life at the latest; who comes back is judged afresh. A reader that never reads would have us keep
 * everything for it in memory, so one that takes nothing for a while is disconnected.
 */
import type { Response } from 'express';
import type { Account } from '../../core/identity/identity.ts';
import { sessionKey, type LogChange } from '../../core/credential/revocation.ts';
import { type AdminDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import type { Actor } from '../../http/request-context.ts';

export const STREAM_LIMITS = {
  /** Proxies close what is silent, and a client learns that the connection is dead. */
  beatMs: 15_000,
  /** A reader that takes nothing for so long is disconnected. */
  slowMs: 10_000,
  /** How long the last words to a slow reader may take. */
  lastWordsMs: 1000,
};

const RETRY_MS = 1000;

type EndReason = 'credential_over' | 'identity_changed' | 'leaving' | 'complete' | 'too_old';

/** One event. JSON of ours has no line end of any kind in it. */
export const frame = (event: string, data: object, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

export interface StreamOptions {
  readonly limits?: Partial<typeof STREAM_LIMITS>;
  /** The last that a reader is told who took nothing for too long. */
  readonly tooSlow?: string;
}

/** The streams of one kind that are open here. Each is told when the log changes or the lease is lost. */
export class EventStreams {
  readonly #deps: Pick<AdminDeps, 'config' | 'clock' | 'leaving'>;
  readonly #open = new Set<EventStream>();

  constructor(deps: Pick<AdminDeps, 'config' | 'clock' | 'guard' | 'leaving'>) {
    this.#deps = deps;
    deps.guard.onChange((change) => {
      for (const stream of this.#open) stream.judge(change);
    });
    deps.leaving?.addEventListener('abort', () => {
      for (const stream of this.#open) stream.end('leaving');
    });
  }

  /**
   * Whether one more may be opened, of so many. An auditor opens view after view, so that in an incident no admin gets one: the last fifth is for
   * accounts that have none open.
   */
  hasPlaceFor(account: Account, most: number): boolean {
    const open = this.#open.size;
    return open < most * 0.8 || (open < most && ![...this.#open].some((stream) => stream.account === account));
  }

  /** Judged from here on; nothing is sent before `begin`. To be closed in any case. */
  open(res: Response, actor: Actor, options: StreamOptions = {}): EventStream {
    const stream = new EventStream(res, actor, { ...options, lifeMs: this.#lifeMs(actor) });
    this.#open.add(stream);
    stream.signal.addEventListener('abort', () => this.#open.delete(stream));
    // The web listener is open for a while still: who finds the way here is sent on as well.
    if (this.#deps.leaving?.aborted === true) stream.end('leaving');
    return stream;
  }

  /** A cookie lives long, so a browser's stream ends when an access token would. */
  #lifeMs({ expiresAt }: Actor): number {
    const longest = this.#deps.config.sessions.accessToken;
    return Math.max(0, Math.min(longest, (expiresAt ?? Infinity) - nowSeconds(this.#deps)) * 1000);
  }
}

export class EventStream {
  readonly #res: Response;
  readonly #actor: Actor;
  readonly #limits: typeof STREAM_LIMITS;
  readonly #tooSlow: string;
  readonly #lifeMs: number;
  readonly #ending = new AbortController();
  #reason: EndReason = 'leaving';
  #life: NodeJS.Timeout | undefined;
  /** The first one comes at once: who loses the connection before the first event knows where to go on. */
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(res: Response, actor: Actor, options: StreamOptions & { readonly lifeMs: number }) {
    this.#res = res;
    this.#actor = actor;
    this.#limits = { ...STREAM_LIMITS, ...options.limits };
    this.#tooSlow = options.tooSlow ?? frame('end', { reason: 'too_slow' });
    this.#lifeMs = options.lifeMs;
    res.on('close', () => this.#ending.abort());
  }

  get account(): Account {
    return this.#actor.account;
  }

  /** Aborts when it is over, for whatever reason. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  begin(): void {
    this.#res.writeHead(200, {
      'Content-Type': 'text/event-stream',
      // A proxy that gathers answers would hold the lines back.
      'X-Accel-Buffering': 'no',
    });
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
    this.#life = setTimeout(() => this.end('credential_over'), this.#lifeMs);
    this.#life.unref();
  }

  /** The log has changed, or the lease is lost. */
  judge(change: LogChange | undefined): void {
    if (!this.#isGood()) return;
    // What the person may see is judged by groups, which may be others now.
    const own = sessionKey(this.#actor.session);
    if (change?.kind === 'identity-changed' && change.key === own) this.end('identity_changed');
  }

  /** @returns false once it is over */
  async send(text: string): Promise<boolean> {
    if (this.signal.aborted || !this.#isGood()) return false;
    this.#saidAt = performance.now();
    if (this.#res.write(text)) return true;
    if (await this.#drained()) return true;
    if (!this.signal.aborted) this.#giveUp();
    return false;
  }

  /** Says this much where nothing has been said for a while. @returns false once it is over */
  async beat(text = ': nothing for now\n\n'): Promise<boolean> {
    if (performance.now() - this.#saidAt >= this.#limits.beatMs) return this.send(text);
    return !this.signal.aborted && this.#isGood();
  }

  /** From here on nothing is sent but `finish`. */
  end(reason: EndReason): void {
    if (this.signal.aborted) return;
    this.#reason = reason;
    this.#ending.abort();
  }

  /** Says why it is over, to whom may still be told anything. */
  finish(): void {
    if (this.#res.destroyed || this.#res.writableEnded || !this.#isGood()) return;
    this.#res.end(frame('end', { reason: this.#reason }));
  }

  close(): void {
    clearTimeout(this.#life);
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
    setTimeout(() => this.#res.destroy(), this.#limits.lastWordsMs).unref();
  }

  /** No byte more for whom the gate is shut: a reset, which cannot be taken for an end. */
  #isGood(): boolean {
    try {
      this.#actor.assertGood();
      return true;
    } catch {
      this.#ending.abort();
      if (this.#res.headersSent) this.#res.destroy();
      return false;
    }
  }
}
