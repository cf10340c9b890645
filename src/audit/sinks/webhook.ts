/**
 * Batches to a server that collects audit events, as kube-apiserver's own webhook backend sends them: one `EventList` of
 * `audit.k8s.io/v1` per request, in order, at least once.
 *
 * @see https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#webhook-backend
 */
import { request } from 'undici';
import type { AuditLog, AuditMetrics, SinkGap, WebhookSinkSettings } from '../types.ts';
import { timeoutSignal } from '../../timing/timing.ts';
import { Connection, timeoutMs } from './webhook-connection.ts';
import { headOf, placeOf } from './webhook-head.ts';
import { codeOf, TryLater, type LineTarget } from './target.ts';

export interface DeliveryParts {
  readonly metrics?: AuditMetrics | undefined;
  readonly log?: AuditLog | undefined;
  readonly onGap?: ((gap: SinkGap) => void) | undefined;
}

/** As kube-apiserver's `--audit-webhook-batch-max-size`. */
const BATCH_EVENTS = 400;
export const BATCH_BYTES = 1024 * 1024;
/** Seconds. */
export const BATCH_WAIT = 1;
/** A server that asks for more patience than this is asked again all the same. */
const LONGEST_WAIT_MS = 5 * 60 * 1000;
/** Of an answer nothing is read but its head; so much is let through for the connection's sake. */
const MOST_OF_ANSWER = 16 * 1024;

/** Of undici and of the system: the connection ended before an answer came. */
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

/** The place of a webhook: its path and its query may hold a secret, and are never said. */
export const originOf = ({ url }: WebhookSinkSettings): string => new URL(url).origin;

export class Delivery {
  readonly #settings: WebhookSinkSettings;
  readonly #parts: DeliveryParts;
  readonly #closing = new AbortController();
  readonly #connection: Connection;
  /** Events that the server lets one request have: less after each 413, more again after each success. */
  #most: number;

  constructor(settings: WebhookSinkSettings, parts: DeliveryParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#connection = new Connection(settings);
    this.#most = settings.batchEvents ?? BATCH_EVENTS;
  }

  /**
   * Delivers as many lines from the front as one request may hold. A single event that is too large for the server is dropped, counted and
   * said: all others would wait behind it for ever.
   * @param lines whole lines
   * @returns bytes that are done with
   * @throws where the server did not take them; `TryLater` where it says until when
   */
  async deliver(lines: Uint8Array): Promise<number> {
    for (;;) {
      const post = frontOf(lines, { events: this.#most, bytes: this.#settings.batchBytes ?? BATCH_BYTES });
      const code = await this.#sendOnce(post).catch((error: unknown) => {
        // The server had closed an idle connection just then: nothing is wrong with it, so a new one is tried before it counts as down.
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

  /** Ends a request that is under way: whether the server took it nobody knows then. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connection.close();
  }

  #taken(events: number): void {
    this.#most = Math.min(this.#most * 2, this.#settings.batchEvents ?? BATCH_EVENTS);
    this.#parts.metrics?.auditEvent('webhook', 'written', events);
  }

  #tooLarge(line: Buffer): void {
    const sink = originOf(this.#settings);
    this.#parts.metrics?.auditEvent('webhook', 'dropped', 1);
    const message = 'the webhook takes no event of this size: it was dropped; let the server accept larger bodies';
    this.#parts.log?.error({ sink, bytes: line.length }, message);
    const place = placeOf(line);
    if (place === undefined) return;
    const { chain, seq } = place;
    this.#parts.onGap?.({ sink, chain, first: seq, last: seq, count: 1 });
  }

  /** @returns 413, or a status that says that the server has it */
  async #sendOnce(post: Post): Promise<number> {
    const { dispatcher, headers } = await this.#connection.ready();
    const limit = timeoutSignal(timeoutMs(this.#settings));
    const head = headOf(post.bytes.subarray(post.ends.at(-2) ?? 0));
    const {
      statusCode,
      headers: answered,
      body,
    } = await request(this.#settings.url, {
      method: 'POST',
      dispatcher,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'portcullis',
        ...(head === undefined ? {} : { 'portcullis-audit-head': head }),
        ...headers,
      },
      body: eventList(post),
      signal: AbortSignal.any([limit, this.#closing.signal]),
    });
    await body.dump({ limit: MOST_OF_ANSWER }).catch(() => {});
    if ((statusCode >= 200 && statusCode < 300) || statusCode === 413) return statusCode;
    throw rejection(statusCode, answered['retry-after']);
  }
}

/** Without a spool: events wait in memory, and the sink fails with the webhook. */
export function webhookTarget(settings: WebhookSinkSettings, parts: DeliveryParts): LineTarget {
  const delivery = new Delivery(settings, parts);
  return {
    type: 'webhook',
    place: originOf(settings),
    readyAtOnce: true,
    remote: true,
    tellsOutcomes: true,
    gatherMs: (settings.batchWait ?? BATCH_WAIT) * 1000,
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

/** Lines become items byte for byte, so that what the server keeps can be held against the chain. */
function eventList({ bytes, ends }: Post): Buffer {
  const items = Buffer.from(bytes.subarray(0, -1));
  for (const end of ends.slice(0, -1)) items[end - 1] = COMMA;
  return Buffer.concat([HEAD, items, TAIL]);
}

function rejection(code: number, retryAfter: string | string[] | undefined): Error {
  const message = `the webhook answered ${code}${code >= 300 && code < 400 ? ': redirects are not followed, name the final URL' : ''}`;
  const wait = typeof retryAfter === 'string' ? waitOf(retryAfter) : undefined;
  return wait === undefined ? new Error(message) : new TryLater(message, Math.min(wait, LONGEST_WAIT_MS));
}

/** RFC 9110 §10.2.3: seconds, or a date. @returns milliseconds */
function waitOf(retryAfter: string): number | undefined {
  const wait = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now();
  return wait >= 0 ? wait : undefined;
}
