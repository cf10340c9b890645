/**
 * Ends of sessions that have something in flight here: nobody asks for a check when a session of eight hours ends under a quiet watch.
 *
 * The absolute end stands. The idle end moves with each mint, on whatever replica, so the store is asked before anything is cut for it; where
 * the store does not say that the session lives, it is cut.
 */
import type { Clock } from '../contracts/clock.ts';
import type { Credential } from '../core/credential/credential.ts';
import type { TargetKey } from '../core/credential/revocation.ts';
import type { SessionRecord, SessionStore } from '../store/store.ts';
import type { EndedSession } from './types.ts';
import type { SessionEnds } from './types.ts';

/** Longest wait that one timer may have (setTimeout overflows at 24.8 days); waking up early costs one look at the list. */
const LONGEST_TIMER_MS = 3_600_000;

interface Watched {
  readonly credential: Pick<Credential, 'session' | 'account' | 'provider' | 'keys'>;
  /** Epoch seconds. */
  expiresAt: number;
  idleAt: number;
  asking: boolean;
}

export interface SessionEndingsOptions {
  /** Wall clock, epoch milliseconds. */
  readonly clock: Clock;
  readonly sessions: Pick<SessionStore, 'read'>;
  /** Cuts the session's flights. @returns how many */
  readonly cut: (session: TargetKey) => number;
  /** The session is over by itself, and has been cut. */
  readonly ended: (session: EndedSession) => void;
}

export class SessionEndings {
  readonly #options: SessionEndingsOptions;
  readonly #watched = new Map<TargetKey, Watched>();
  #timer: NodeJS.Timeout | undefined;
  /** Epoch seconds at which the timer will look for ends. */
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(options: SessionEndingsOptions) {
    this.#options = options;
  }

  watch(credential: Credential, { expiresAt, idleAt }: SessionEnds): void {
    const key = credential.keys.session;
    const known = this.#watched.get(key) ?? { credential, expiresAt, idleAt, asking: false };
    known.expiresAt = Math.min(known.expiresAt, expiresAt);
    known.idleAt = Math.max(known.idleAt, idleAt);
    this.#watched.set(key, known);
    this.#lookAt(nextEnd(known));
  }

  forget(key: TargetKey): void {
    this.#watched.delete(key);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#watched.clear();
  }

  /** One timer serves all: it stands at the earliest end there is, and looks through the list when it goes off. */
  #lookAt(end: number): void {
    if (end >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = end;
    const wait = Math.min(Math.max(end * 1000 - this.#options.clock.now(), 0), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => this.#look(), wait);
    this.#timer.unref();
  }

  #look(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#now();
    let next = Number.POSITIVE_INFINITY;
    for (const watched of this.#watched.values()) {
      if (watched.expiresAt <= now) {
        this.#end(watched, 'expired');
        continue;
      }
      if (watched.idleAt <= now && !watched.asking) void this.#ask(watched);
      next = Math.min(next, watched.asking ? watched.expiresAt : nextEnd(watched));
    }
    if (next !== Number.POSITIVE_INFINITY) this.#lookAt(next);
  }

  async #ask(watched: Watched): Promise<void> {
    const { session, keys } = watched.credential;
    watched.asking = true;
    let record: SessionRecord | undefined;
    try {
      record = await this.#options.sessions.read(session);
    } catch {
      // Fail closed. Whether it is over nobody knows, so the log is left alone.
      if (this.#watched.get(keys.session) === watched) this.#options.cut(keys.session);
      return;
    } finally {
      watched.asking = false;
    }
    if (this.#watched.get(keys.session) !== watched) return;
    const idleAt = record === undefined ? 0 : record.lastUsedAt + record.idleSeconds;
    if (idleAt <= this.#now()) return this.#end(watched, 'idle');
    watched.idleAt = idleAt;
    this.#lookAt(nextEnd(watched));
  }

  #end({ credential }: Watched, how: EndedSession['how']): void {
    const { session, account, provider, keys } = credential;
    this.#watched.delete(keys.session);
    const streamsCut = this.#options.cut(keys.session);
    this.#options.ended({ session, account, provider, how, streamsCut });
  }

  #now(): number {
    return this.#options.clock.now() / 1000;
  }
}

const nextEnd = ({ expiresAt, idleAt }: Watched): number => Math.min(expiresAt, idleAt);
