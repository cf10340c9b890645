/**
 * Limits the audit events that unauthenticated clients can cause: a number per minute from one address, ten times
 * as many from all addresses together. Further ones are counted, and the counts are audited too.
 *
 * An attacker without a credential sends requests as fast as they are rejected, until the audit log or the disk is
 * full. So rejections get short events, and only some of them. An attacker with many addresses (an IPv6 /64 counts
 * as one) meets the total limit. Such an attacker can still use up the minute's events of all clients without a
 * session: other rejections in that minute are then a number and not an event. Sessions of ours that have ended have a
 * total of their own: a user opens ten, signs out, and goes on with their tokens, so that nothing of others is written.
 *
 * Each replica limits separately, in memory, by windows of a minute that a timer ends. `core/rate-limit.ts` does not
 * fit: here the windows of all sources end together, because each then gets an event with its count, and a source
 * beyond the bound is omitted, where a rate limiter would forget another one.
 */
import { randomUUID } from 'node:crypto';
import { defined } from '../../core/defined.ts';
import { bucketOf } from '../../core/http/address.ts';
import { portcullisEvent, type AuditEvent, type AuditFacts } from '../../core/audit/event.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { isRejection, shortened } from '../../core/audit/rejected-event.ts';
import type { AuditTrail } from '../types.ts';

export interface RejectionsOptions {
  /** Events from one address. */
  readonly perMinute: number;
  readonly metrics: { rejectionOmitted(): void };
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** Duration of a window. Default: a minute. */
  readonly windowMs?: number;
}

const WINDOW_MS = 60_000;
/** All addresses together may cause this many times the events of one. */
const ALL_ADDRESSES_FACTOR = 10;
/** Further addresses only count in the total. This bounds the memory that an attacker can make a replica use. */
const MOST_SOURCES = 10_000;
/** Sources whose counts get an event of their own at the end of a window. */
const MOST_NAMED = 50;

/**
 * The source of rejections: an address, or one of our sessions that is no longer valid, so that neither hides
 * behind the other.
 */
interface Source {
  readonly address: string;
  readonly session: string | undefined;
  readonly account: string | undefined;
  written: number;
  omitted: number;
}

/** @returns the wrapped trail, which shortens and limits rejections; its `close` writes the remaining counts */
export function limitRejections(trail: AuditTrail, options: RejectionsOptions): AuditTrail {
  const sessions = new Limiter(trail, options);
  const addresses = new Limiter(trail, options);
  return {
    record: (event) => {
      if (isRejection(event)) (sessionOf(event) === undefined ? addresses : sessions).take(event);
      else trail.record(event);
    },
    recordAhead: (event) => trail.recordAhead(event),
    get blocked() {
      return trail.blocked;
    },
    backlogged: (account) => trail.backlogged(account),
    flush: () => trail.flush(),
    close: () => {
      sessions.close();
      addresses.close();
      return trail.close();
    },
  };
}

const sessionOf = ({ annotations }: AuditEvent): string | undefined => annotations[`${EXTRA_DOMAIN}/session`];

class Limiter {
  readonly #trail: AuditTrail;
  readonly #options: RejectionsOptions;
  readonly #sources = new Map<string, Source>();
  #written = 0;
  /** From addresses that are not tracked. */
  #unnamed = 0;
  #window: NodeJS.Timeout | undefined;

  constructor(trail: AuditTrail, options: RejectionsOptions) {
    this.#trail = trail;
    this.#options = options;
  }

  take(event: AuditEvent): void {
    const { perMinute, metrics, windowMs = WINDOW_MS } = this.#options;
    this.#window ??= setTimeout(() => this.#endWindow(), windowMs).unref();
    const source = this.#sourceOf(event);
    const isTooMuch = (source?.written ?? Infinity) >= perMinute || this.#written >= perMinute * ALL_ADDRESSES_FACTOR;
    if (isTooMuch) {
      metrics.rejectionOmitted();
      if (source === undefined) this.#unnamed += 1;
      else source.omitted += 1;
      return;
    }
    this.#written += 1;
    if (source !== undefined) source.written += 1;
    this.#trail.record(shortened(event));
  }

  close(): void {
    clearTimeout(this.#window);
    this.#endWindow();
  }

  #sourceOf(event: AuditEvent): Source | undefined {
    const {
      sourceIPs: [address = ''],
      annotations,
    } = event;
    const session = sessionOf(event);
    const account = annotations[`${EXTRA_DOMAIN}/account`];
    const key = session ?? bucketOf(address);
    const known = this.#sources.get(key);
    if (known !== undefined || this.#sources.size >= MOST_SOURCES) return known;
    const source = { address, session, account, written: 0, omitted: 0 };
    this.#sources.set(key, source);
    return source;
  }

  /** Records the sources with the most omitted events by name, and all others as one number. */
  #endWindow(): void {
    const over = [...this.#sources.values()]
      .filter(({ omitted }) => omitted > 0)
      .toSorted((one, other) => other.omitted - one.omitted);
    for (const source of over.slice(0, MOST_NAMED)) {
      this.#recordOmitted(source, { omitted: String(source.omitted) });
    }
    const others = over.slice(MOST_NAMED);
    const omitted = others.reduce((sum, source) => sum + source.omitted, this.#unnamed);
    if (omitted > 0) this.#recordOmitted({}, { omitted: String(omitted), addresses: String(others.length) });
    this.#window = undefined;
    this.#sources.clear();
    this.#written = 0;
    this.#unnamed = 0;
  }

  #recordOmitted({ address, session, account }: Partial<Source>, details: AuditFacts): void {
    this.#trail.record(
      portcullisEvent({
        event: 'rejections-omitted',
        auditId: randomUUID(),
        at: this.#options.nowMs(),
        requestUri: '',
        sourceIps: address === undefined || address === '' ? [] : [address],
        code: 200,
        ...defined({ session, account }),
        details,
      }),
    );
  }
}
