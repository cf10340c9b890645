/**
 * Ends the sessions that have something in flight here: no one asks for a check when a session of eight hours ends
 * under a quiet watch.
 *
 * The absolute end is fixed. The idle end moves with each token that any replica mints, so the store is asked
 * before anything is cut for it. Unless the store says that the session lives, it is cut.
 */
import type { Clock } from '../contracts/clock.ts';
import type { FlightCredential } from '../core/credential/credential.ts';
import type { TargetKey } from '../core/credential/revocation.ts';
import { idleEndOf, type SessionRecord, type SessionStore } from '../store/store.ts';
import type { EndedSession } from './types.ts';
import type { SessionEnds } from './types.ts';

/**
 * Longest wait of one timer (setTimeout overflows at 24.8 days). Waking up early costs one pass through the list.
 */
const MAX_TIMER_MS = 3_600_000;

interface Watched {
  readonly credential: Pick<FlightCredential, 'session' | 'account' | 'provider' | 'keys' | 'ancestors' | 'actor'>;
  /** Epoch seconds. */
  expiresAt: number;
  idleAt: number;
  isReading: boolean;
}

export interface SessionEndingsOptions {
  /** Wall clock, epoch milliseconds. */
  readonly clock: Clock;
  readonly sessions: Pick<SessionStore, 'read'>;
  /** Cuts the session's flights. @returns how many */
  readonly cut: (session: TargetKey) => number;
  /** The session has ended by itself, and has been cut. */
  readonly ended: (session: EndedSession) => void;
}

export class SessionEndings {
  readonly #options: SessionEndingsOptions;
  readonly #watched = new Map<TargetKey, Watched>();
  #timer: NodeJS.Timeout | undefined;
  /** Epoch seconds at which the timer goes off. */
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(options: SessionEndingsOptions) {
    this.#options = options;
  }

  watch(credential: FlightCredential, { expiresAt, idleAt }: SessionEnds): void {
    const key = credential.keys.session;
    const known = this.#watched.get(key) ?? { credential, expiresAt, idleAt, isReading: false };
    known.expiresAt = Math.min(known.expiresAt, expiresAt);
    known.idleAt = Math.max(known.idleAt, idleAt);
    this.#watched.set(key, known);
    this.#checkAt(nextEnd(known));
  }

  forget(key: TargetKey): void {
    this.#watched.delete(key);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#watched.clear();
  }

  /** Sets the one timer that serves all sessions: to the earliest end. When it goes off, the list is checked. */
  #checkAt(end: number): void {
    if (end >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = end;
    const wait = Math.min(Math.max(end * 1000 - this.#options.clock.nowMs(), 0), MAX_TIMER_MS);
    this.#timer = setTimeout(() => this.#check(), wait);
    this.#timer.unref();
  }

  #check(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const nowSeconds = this.#nowSeconds();
    let next = Number.POSITIVE_INFINITY;
    for (const watched of this.#watched.values()) {
      if (watched.expiresAt <= nowSeconds) {
        this.#end(watched, 'expired');
        continue;
      }
      if (watched.idleAt <= nowSeconds && !watched.isReading) void this.#checkIdle(watched);
      next = Math.min(next, watched.isReading ? watched.expiresAt : nextEnd(watched));
    }
    if (next !== Number.POSITIVE_INFINITY) this.#checkAt(next);
  }

  async #checkIdle(watched: Watched): Promise<void> {
    const { session, keys } = watched.credential;
    watched.isReading = true;
    let record: SessionRecord | undefined;
    try {
      record = await this.#options.sessions.read(session);
    } catch {
      // Fail closed. No one knows whether the session has ended, so nothing is written to the log.
      if (this.#watched.get(keys.session) === watched) this.#options.cut(keys.session);
      return;
    } finally {
      watched.isReading = false;
    }
    if (this.#watched.get(keys.session) !== watched) return;
    const idleAt = record === undefined ? 0 : idleEndOf(record);
    if (idleAt <= this.#nowSeconds()) return this.#end(watched, 'idle');
    watched.idleAt = idleAt;
    this.#checkAt(nextEnd(watched));
  }

  #end({ credential }: Watched, how: EndedSession['how']): void {
    const { session, account, provider, keys, ancestors, actor } = credential;
    this.#watched.delete(keys.session);
    const streamsCut = this.#options.cut(keys.session);
    const own = ancestors?.[0];
    const delegated = own === undefined ? {} : { delegated: { own, actor } };
    this.#options.ended({ session, ...delegated, account, provider, how, streamsCut });
  }

  #nowSeconds(): number {
    return this.#options.clock.nowMs() / 1000;
  }
}

const nextEnd = ({ expiresAt, idleAt }: Watched): number => Math.min(expiresAt, idleAt);
