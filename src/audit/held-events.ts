/**
 * Events that wait until the sinks have space, as what they are and not as lines.
 *
 * What a request will write when it ends is owed from the moment in which the API server gets it, and many end
 * together: a fence cuts thousands, and one user closes connections with four hundred requests. Each line repeats up to
 * a thousand groups of its user, 60 kB, so that 395 of them were more than the queue of a sink may have, and 50 acts
 * were in no audit log. An event shares its groups with the others of its session: held, it takes what its request took
 * while it was in flight. So there are never more of them than requests were: an account that has to wait is admitted
 * nothing meanwhile.
 */
import type { AuditEvent } from '../core/audit/event.ts';
import { EXTRA_DOMAIN } from '../core/core.ts';

export interface HeldEventsOptions {
  /** Returns whether the next event of an account (undefined: of none) has to wait. */
  readonly mustWait: (account: string | undefined) => boolean;
  readonly write: (event: AuditEvent) => void;
}

/** Says to who reads a file that the lines before are not all of earlier events. */
export const HELD = `${EXTRA_DOMAIN}/held-ms`;
/** Beyond it they are written at once, which a full sink counts as dropped. No replica has so many in flight. */
const MOST_HELD = 20_000;
/** Each takes up to half a millisecond to write. */
const AT_ONCE = 32;

interface Held {
  readonly event: AuditEvent;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
}

export class HeldEvents {
  readonly #options: HeldEventsOptions;
  /** By account, in the order of their end. */
  readonly #waiting = new Map<string | undefined, Held[]>();
  readonly #emptied: (() => void)[] = [];
  #size = 0;
  #soon: NodeJS.Immediate | undefined;

  constructor(options: HeldEventsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  has(account: string): boolean {
    return this.#waiting.has(account);
  }

  /** Writes an event, now or when there is space; those of an account in their order. */
  add(event: AuditEvent, account: string | undefined): void {
    const own = this.#waiting.get(account);
    const waits = own !== undefined || this.#options.mustWait(account);
    if (!waits || this.#size >= MOST_HELD) return this.#options.write(event);
    const held = { event, sinceMs: performance.now() };
    if (own === undefined) this.#waiting.set(account, [held]);
    else own.push(held);
    this.#size += 1;
  }

  /** To be called when a sink has written something: one of each account in turn, as long as there is space. */
  release(): void {
    if (this.#size === 0 || this.#soon !== undefined) return;
    let left = AT_ONCE;
    let wrote = true;
    while (wrote && left > 0) {
      wrote = false;
      for (const [account, own] of this.#waiting) {
        if (left === 0) break;
        if (this.#options.mustWait(account)) continue;
        this.#writeFirst(account, own);
        wrote = true;
        left -= 1;
      }
    }
    // Between two turns others are served. If none may be written, a sink has enough to write, and calls again.
    if (wrote && this.#size > 0) this.#soon = setImmediate(() => ((this.#soon = undefined), this.release()));
    if (this.#size === 0) for (const resolve of this.#emptied.splice(0)) resolve();
  }

  /** Resolves when none waits, those included that come meanwhile. */
  async emptied(): Promise<void> {
    if (this.#size > 0) await new Promise<void>((resolve) => void this.#emptied.push(resolve));
  }

  /** Writes all of them at once. */
  giveUp(): void {
    clearImmediate(this.#soon);
    for (const [account, own] of this.#waiting) while (own.length > 0) this.#writeFirst(account, own);
    for (const resolve of this.#emptied.splice(0)) resolve();
  }

  #writeFirst(account: string | undefined, own: Held[]): void {
    const held = own.shift();
    if (own.length === 0) this.#waiting.delete(account);
    if (held === undefined) return;
    this.#size -= 1;
    const { event, sinceMs } = held;
    const heldMs = String(Math.round(performance.now() - sinceMs));
    this.#options.write({ ...event, annotations: { ...event.annotations, [HELD]: heldMs } });
  }
}
