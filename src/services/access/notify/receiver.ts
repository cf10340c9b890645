/**
 * Delivers notices to one receiver: from memory, several at a time, again and again for minutes, at least once.
 *
 * A receiver that is down costs its own notices and nothing else: no caller waits for it, and its queue has an end.
 */
import type { Logger } from '../../../contracts/logger.ts';
import { webhookHeaders, webhookSecretsIn } from '../../../core/access/webhook-signature.ts';
import { createEgress, type Egress, type EgressProxy } from '../../../egress/egress.ts';
import { callWebhook, isAccepted, retryDelay, webhookFailure, type RetryLimits } from '../../../egress/webhook.ts';
import { defined } from '../../../core/defined.ts';

/** One of `access.notify`, with what its files hold now. */
export interface ReceiverSettings {
  /** In logs and metrics. */
  readonly name: string;
  /** Called for each attempt. Its path and query may be a secret. */
  readonly url: () => string;
  /** The text of the file; called for each attempt. Absent: nothing is signed. */
  readonly secrets?: () => string;
  /** PEM; called for each attempt. The system's CAs when absent. */
  readonly ca?: () => string;
  /** Absent: directly. */
  readonly proxy?: EgressProxy;
  /** Seconds. */
  readonly timeout: number;
}

export interface ReceiverLimits extends RetryLimits {
  /** Notices of one receiver that wait or are on their way. */
  readonly mostQueued: number;
  /** On their way at once. */
  readonly mostAtOnce: number;
  /** After which a notice is dropped: it says what is long past. */
  readonly giveUpMs: number;
  /** How long `close` delivers what waits. */
  readonly closeTimeoutMs: number;
}

export const RECEIVER_LIMITS: ReceiverLimits = {
  mostQueued: 1000,
  mostAtOnce: 4,
  retryMs: 1000,
  retryMaxMs: 60_000,
  giveUpMs: 15 * 60_000,
  closeTimeoutMs: 3000,
};

/** `failed` counts attempts, the others notices. */
export type DeliveryOutcome = 'delivered' | 'failed' | 'dropped';

export interface ReceiverDeps {
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly count: (outcome: DeliveryOutcome) => void;
  readonly limits: ReceiverLimits;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}

export interface Message {
  readonly id: string;
  readonly body: string;
}

interface Waiting extends Message {
  readonly since: number;
  readonly failures: number;
  /** By the monotonic clock. */
  readonly notBefore: number;
}

/** A response that is about this one notice, and says nothing of others. */
const ABOUT_NOTICE: ReadonlySet<number> = new Set([400, 413, 422]);

class Rejected extends Error {}

export class Receiver {
  readonly #settings: ReceiverSettings;
  readonly #deps: ReceiverDeps;
  readonly #waiting: Waiting[] = [];
  readonly #closing = new AbortController();
  #atOnce = 0;
  /** Consecutive failures of the receiver. */
  #failures = 0;
  #pausedUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void) | undefined;
  #held: { readonly ca: string | undefined; readonly egress: Egress } | undefined;

  constructor(settings: ReceiverSettings, deps: ReceiverDeps) {
    this.#settings = settings;
    this.#deps = deps;
  }

  /** Takes a message; returns at once. The oldest that waits is dropped where there are too many. */
  take(message: Message): void {
    if (this.#closing.signal.aborted) return this.#drop(message, 'the server is shutting down');
    if (this.#waiting.length + this.#atOnce >= this.#deps.limits.mostQueued) {
      const oldest = this.#waiting.shift();
      this.#drop(oldest ?? message, 'too many notices wait for this receiver');
      if (oldest === undefined) return;
    }
    const now = this.#deps.monotonicMs();
    this.#waiting.push({ ...message, since: now, failures: 0, notBefore: now });
    this.#deliver();
  }

  /** Delivers what waits, for a few seconds; then drops the rest. */
  async close(): Promise<void> {
    if (this.#waiting.length + this.#atOnce > 0) {
      const limit = setTimeout(() => this.#closing.abort(), this.#deps.limits.closeTimeoutMs);
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
        this.#closing.signal.addEventListener('abort', () => resolve());
        this.#deliver();
      });
      clearTimeout(limit);
    }
    this.#closing.abort();
    clearTimeout(this.#timer);
    for (const message of this.#waiting.splice(0)) this.#drop(message, 'the server is shutting down');
    await this.#held?.egress.dispatcher.destroy();
  }

  #deliver(): void {
    clearTimeout(this.#timer);
    const { limits, monotonicMs } = this.#deps;
    const now = monotonicMs();
    for (const message of this.#waiting.filter(({ since }) => now - since >= limits.giveUpMs)) {
      this.#waiting.splice(this.#waiting.indexOf(message), 1);
      this.#drop(message, 'the receiver has not accepted it for too long');
    }
    // One attempt shows whether a receiver that was down is back.
    const most = this.#failures > 0 ? 1 : limits.mostAtOnce;
    while (now >= this.#pausedUntil && this.#atOnce < most && !this.#closing.signal.aborted) {
      const next = this.#waiting.findIndex(({ notBefore }) => notBefore <= now);
      const [message] = next === -1 ? [] : this.#waiting.splice(next, 1);
      if (message === undefined) break;
      void this.#attempt(message);
    }
    if (this.#waiting.length === 0) {
      if (this.#atOnce === 0) this.#idle?.();
      return;
    }
    const soonest = Math.min(...this.#waiting.map(({ notBefore }) => notBefore));
    const oldest = Math.min(...this.#waiting.map(({ since }) => since));
    const at = Math.min(Math.max(soonest, this.#pausedUntil), oldest + limits.giveUpMs);
    // What is on its way comes back here by itself.
    if (at > now) this.#timer = setTimeout(() => this.#deliver(), at - now).unref();
  }

  async #attempt(message: Waiting): Promise<void> {
    this.#atOnce += 1;
    try {
      await this.#send(message);
      this.#accepted();
    } catch (error) {
      this.#failed(message, error instanceof Error ? error : new Error(String(error)));
    }
    this.#atOnce -= 1;
    this.#deliver();
  }

  #accepted(): void {
    this.#deps.count('delivered');
    if (this.#failures > 0) this.#deps.logger.info(this.#facts, 'the receiver of access notices accepts them again');
    this.#failures = 0;
    this.#pausedUntil = 0;
  }

  #failed(message: Waiting, error: Error): void {
    const { count, logger, limits, monotonicMs } = this.#deps;
    if (this.#closing.signal.aborted) return this.#drop(message, 'the server is shutting down');
    count('failed');
    if (error instanceof Rejected) {
      logger.warn({ ...this.#facts, notice: message.id, err: error }, 'the receiver rejected an access notice');
    } else {
      if (this.#failures === 0)
        logger.error(
          { ...this.#facts, err: error },
          'access notices are not accepted; delivery is retried for minutes',
        );
      this.#pausedUntil = monotonicMs() + retryDelay(limits, this.#failures, error);
      this.#failures += 1;
    }
    const notBefore = monotonicMs() + retryDelay(limits, message.failures, error);
    this.#waiting.unshift({ ...message, failures: message.failures + 1, notBefore });
  }

  #drop({ id }: Message, why: string): void {
    this.#deps.count('dropped');
    this.#deps.logger.error({ ...this.#facts, notice: id, why }, 'an access notice was dropped');
  }

  get #facts(): { readonly receiver: string } {
    return { receiver: this.#settings.name };
  }

  /** @throws unless the receiver has accepted it */
  async #send({ id, body }: Message): Promise<void> {
    const { url, secrets, timeout } = this.#settings;
    const seconds = Math.floor(this.#deps.nowMs() / 1000);
    const response = await callWebhook(this.#egress(), {
      url: url(),
      headers: webhookHeaders({ id, seconds, body }, secrets === undefined ? [] : webhookSecretsIn(secrets())),
      body,
      timeoutMs: timeout * 1000,
      closing: this.#closing.signal,
    });
    if (isAccepted(response)) return;
    const { code } = response;
    throw ABOUT_NOTICE.has(code) ? new Rejected(`the webhook answered ${code}`) : webhookFailure(response);
  }

  /** Connections under other CAs are made again: a resumed handshake verifies no certificate. */
  #egress(): Egress {
    const { ca: caNow, proxy, timeout } = this.#settings;
    const ca = caNow?.();
    if (this.#held !== undefined && this.#held.ca === ca) return this.#held.egress;
    void this.#held?.egress.dispatcher.close();
    const connect = { ...defined({ ca }), timeout: timeout * 1000 };
    // Notices are rare: a connection that is kept would be closed by the receiver just when it is used.
    const egress = createEgress({ connections: this.#deps.limits.mostAtOnce, pipelining: 0, connect }, proxy);
    this.#held = { ca, egress };
    return egress;
  }
}
