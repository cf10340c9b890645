/**
 * Delivers batches to a server that collects audit events, as kube-apiserver's own webhook backend sends them: one
 * `EventList` of `audit.k8s.io/v1` per request, in order, at least once.
 *
 * @see https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#webhook-backend
 */
import type { Logger } from '../../contracts/logger.ts';
import type { AuditMetrics, SinkGap, WebhookSinkSettings } from '../types.ts';
import { callWebhook, isAccepted, webhookFailure } from '../../egress/webhook.ts';
import { Connection } from './webhook-connection.ts';
import { headOf, positionOf } from './webhook-head.ts';
import { codeOf, type LineTarget } from './target.ts';

export interface DeliveryParts {
  readonly metrics?: AuditMetrics | undefined;
  readonly logger?: Logger | undefined;
  readonly onGap?: ((gap: SinkGap) => void) | undefined;
  /** Only tests have others. */
  readonly requests?: Partial<RequestLimits> | undefined;
}

/** What one request holds, and how long it takes at most. */
export interface RequestLimits {
  readonly events: number;
  readonly bytes: number;
  /** Milliseconds that an event may wait for others to be sent with it. */
  readonly waitMs: number;
  /** Milliseconds after which a request without a response has failed. */
  readonly timeoutMs: number;
}

const REQUEST_LIMITS: RequestLimits = {
  // As kube-apiserver's `--audit-webhook-batch-max-size`.
  events: 400,
  bytes: 1024 * 1024,
  waitMs: 1000,
  timeoutMs: 10_000,
};

export const requestLimits = ({ requests }: Pick<DeliveryParts, 'requests'>): RequestLimits => ({
  ...REQUEST_LIMITS,
  ...requests,
});
/** Codes of undici and of the system: the connection ended before a response came. */
const STALE = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

const NEWLINE = 0x0a;
const COMMA = 0x2c;
const HEAD = Buffer.from('{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[');
const TAIL = Buffer.from(']}');

interface Post {
  /** Whole lines, newlines included. */
  readonly bytes: Buffer;
  /** Offsets just behind each line. */
  readonly ends: readonly number[];
}

/** Returns the location of a webhook. Its path and its query may hold a secret, and are never logged. */
export const originOf = ({ url }: WebhookSinkSettings): string => new URL(url).origin;

export class Delivery {
  readonly #settings: WebhookSinkSettings;
  readonly #parts: DeliveryParts;
  readonly #closing = new AbortController();
  readonly #connection: Connection;
  readonly #limits: RequestLimits;
  /** Events that the server accepts in one request: fewer after each 413, more again after each success. */
  #most: number;

  constructor(settings: WebhookSinkSettings, parts: DeliveryParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#limits = requestLimits(parts);
    this.#connection = new Connection(settings, this.#limits.timeoutMs);
    this.#most = this.#limits.events;
  }

  /**
   * Delivers as many lines from the front as one request may hold. A single event that is too large for the server
   * is dropped, counted and logged, because all others would wait behind it forever.
   * @param lines whole lines
   * @returns bytes that need not be sent again
   * @throws if the server did not accept them; `RetryLater` if it says when to retry
   */
  async deliver(lines: Uint8Array): Promise<number> {
    for (;;) {
      const post = frontOf(lines, { events: this.#most, bytes: this.#limits.bytes });
      const code = await this.#sendOnce(post).catch((error: unknown) => {
        // The server closed an idle connection just then. That is no failure of the server, so a new connection is
        // tried before it counts as down.
        if (this.#closing.signal.aborted || !STALE.has(codeOf(error))) throw error;
        return this.#sendOnce(post);
      });
      if (code === 413 && post.ends.length > 1) {
        this.#most = Math.floor(post.ends.length / 2);
        continue;
      }
      if (code === 413) this.#tooLarge(post.bytes);
      else this.#taken(post.ends.length);
      return post.bytes.length;
    }
  }

  /** Aborts a request in flight: it is unknown then whether the server accepted it. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connection.close();
  }

  #taken(events: number): void {
    this.#most = Math.min(this.#most * 2, this.#limits.events);
    this.#parts.metrics?.auditEvent('webhook', 'written', events);
  }

  #tooLarge(line: Buffer): void {
    const sink = originOf(this.#settings);
    this.#parts.metrics?.auditEvent('webhook', 'dropped', 1);
    const message =
      'the audit webhook rejected an event as too large; it was dropped: let the server accept larger bodies';
    this.#parts.logger?.error({ sink, bytes: line.length }, message);
    const position = positionOf(line);
    if (position === undefined) return;
    const { chain, seq } = position;
    this.#parts.onGap?.({ sink, chain, first: seq, last: seq, count: 1 });
  }

  /** @returns 413, or a status of success */
  async #sendOnce(post: Post): Promise<number> {
    const { egress, headers } = await this.#connection.ready();
    const head = headOf(post.bytes.subarray(post.ends.at(-2) ?? 0));
    const response = await callWebhook(egress, {
      url: this.#settings.url,
      headers: { ...(head === undefined ? {} : { 'portcullis-audit-head': head }), ...headers },
      body: eventList(post),
      timeoutMs: this.#limits.timeoutMs,
      closing: this.#closing.signal,
    });
    if (isAccepted(response) || response.code === 413) return response.code;
    throw webhookFailure(response);
  }
}

/** A webhook without a spool: events wait in memory, and the sink fails with the webhook. */
export function webhookTarget(settings: WebhookSinkSettings, parts: DeliveryParts): LineTarget {
  const delivery = new Delivery(settings, parts);
  return {
    type: 'webhook',
    location: originOf(settings),
    readyImmediately: true,
    remote: true,
    reportsOutcomes: true,
    gatherMs: requestLimits(parts).waitMs,
    prepare: async () => 'same',
    write: (bytes) => delivery.deliver(bytes),
    close: () => delivery.close(),
  };
}

function frontOf(lines: Uint8Array, most: { readonly events: number; readonly bytes: number }): Post {
  const all = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
  const ends: number[] = [];
  for (let end = 0; ends.length < most.events;) {
    end = all.indexOf(NEWLINE, end) + 1;
    if (end === 0 || (end > most.bytes && ends.length > 0)) break;
    ends.push(end);
  }
  return { bytes: all.subarray(0, ends.at(-1) ?? 0), ends };
}

/** Lines become items byte for byte, so that the server's copy can be compared with the chain. */
function eventList({ bytes, ends }: Post): Buffer {
  const items = Buffer.from(bytes.subarray(0, -1));
  for (const end of ends.slice(0, -1)) items[end - 1] = COMMA;
  return Buffer.concat([HEAD, items, TAIL]);
}
