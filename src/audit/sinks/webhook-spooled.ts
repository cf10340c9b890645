/** A webhook behind a spool: an event is safe once it is on the disk, and is delivered from there in the background. */
import type { WebhookSinkSettings } from '../types.ts';
import { retryDelay, type RetryLimits } from '../../egress/webhook.ts';
import { Spool } from './spool.ts';
import type { LineTarget } from './target.ts';
import { Delivery, originOf, requestLimits, type DeliveryParts, type RequestLimits } from './webhook.ts';

export interface SpooledParts extends DeliveryParts {
  readonly limits: RetryLimits;
  /** How long `close` continues to deliver. The rest is delivered after the next start. */
  readonly closeTimeoutMs: number;
}

const SPOOL_MB = 256;
/** After an hour of a server that is down, it need not be called twice a second. */
const RETRY_MAX_MS = 30_000;
const SOON_MS = 100;

export class SpooledWebhook implements LineTarget {
  readonly type = 'webhook';
  readonly readyImmediately = false;
  readonly reportsOutcomes = true;
  readonly location: string;
  readonly #requests: RequestLimits;
  readonly #parts: SpooledParts;
  readonly #spool: Spool;
  readonly #delivery: Delivery;
  #sending: Promise<void> | undefined;
  #failures = 0;
  #closing = false;
  /** Waits for lines, and not for an unavailable server. */
  #idle = false;
  #wake: (() => void) | undefined;

  constructor(settings: WebhookSinkSettings & { readonly spoolDir: string }, parts: SpooledParts) {
    this.location = originOf(settings);
    this.#requests = requestLimits(parts);
    this.#parts = parts;
    this.#spool = new Spool(settings.spoolDir, settings.spoolMaxMb ?? SPOOL_MB, parts.logger);
    this.#delivery = new Delivery(settings, parts);
  }

  get batchBytes(): number {
    return this.#spool.batchBytes;
  }

  get heldBytes(): number {
    return this.#spool.bytes;
  }

  get behind(): boolean {
    return this.#failures > 0 && this.#spool.bytes > 0;
  }

  async prepare(): Promise<'same' | 'fresh'> {
    const location = await this.#spool.prepare();
    this.#sending ??= this.#send();
    return location;
  }

  async write(bytes: Uint8Array, sync = false): Promise<number> {
    const taken = await this.#spool.append(bytes, sync);
    if (this.#idle) this.#wake?.();
    return taken;
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#wake?.();
    const limit = setTimeout(() => void this.#delivery.close(), this.#parts.closeTimeoutMs);
    await this.#sending;
    clearTimeout(limit);
    await this.#delivery.close();
    await this.#spool.close();
    if (this.#spool.bytes > 0) {
      this.#parts.logger?.info(
        { sink: this.location, bytes: this.#spool.bytes },
        'audit events wait in the spool for the next start',
      );
    }
  }

  async #send(): Promise<void> {
    for (;;) {
      try {
        const lines = await this.#spool.front(this.#requests.bytes);
        if (lines === undefined) {
          if (this.#closing) return;
          this.#idle = true;
          await this.#more();
          this.#idle = false;
          continue;
        }
        await this.#spool.remove(await this.#delivery.deliver(lines));
        this.#delivered();
      } catch (error) {
        // Undelivered lines are on the disk: the end of the process need not wait for the server.
        if (this.#closing) return;
        await this.#failed(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  /** Waits for a line, and then a moment for others. */
  async #more(): Promise<void> {
    // Lines that arrived during the check have woken no one; and half a line may wait for space on the disk.
    await this.#pause(this.#spool.bytes === 0 ? undefined : SOON_MS);
    const { bytes: enough, waitMs } = this.#requests;
    const until = performance.now() + waitMs;
    while (!this.#closing && this.#spool.bytes < enough && performance.now() < until) {
      await this.#pause(until - performance.now());
    }
  }

  #delivered(): void {
    if (this.#failures > 0)
      this.#parts.logger?.info(
        { sink: this.location, bytes: this.#spool.bytes },
        'the audit webhook accepts events again',
      );
    this.#failures = 0;
  }

  async #failed(error: Error): Promise<void> {
    if (this.#failures === 0) {
      const message =
        'the audit webhook does not accept events; they wait in the spool, and delivery is retried until it works';
      this.#parts.logger?.error({ sink: this.location, err: error }, message);
    }
    const limits = { ...this.#parts.limits, retryMaxMs: Math.max(this.#parts.limits.retryMaxMs, RETRY_MAX_MS) };
    const wait = retryDelay(limits, this.#failures, error);
    this.#failures += 1;
    await this.#pause(wait);
  }

  /** @param ms how long to wait unless it is woken; absent: until it is woken */
  #pause(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      timer?.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
