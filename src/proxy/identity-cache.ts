/**
 * The impersonation credential of each session, so that a request does not cost a round trip to the store.
 *
 * Every entry of the log that touches a session drops it here. A read that was under way when such an entry came may bring what was true
 * before it: it is not kept, and read again.
 */
import { LRUCache } from 'lru-cache';
import { AppError } from '../core/errors.ts';
import type { LogChange, RevocationTarget } from '../core/revocation.ts';
import type { SessionRecord, SessionStore } from '../store/store.ts';

const MOST_SESSIONS = 20_000;
/** Entries for one session do not come faster than reads end, unless something is wrong. */
const MOST_READS = 5;

interface Read {
  /** An entry that may concern this session came since the read was sent. */
  stale: boolean;
  readonly record: Promise<SessionRecord | undefined>;
}

export class IdentityCache {
  readonly #sessions: Pick<SessionStore, 'read'>;
  readonly #records = new LRUCache<string, SessionRecord>({ max: MOST_SESSIONS });
  readonly #reads = new Map<string, Read>();

  constructor(sessions: Pick<SessionStore, 'read'>) {
    this.#sessions = sessions;
  }

  /**
   * @returns the session's record; undefined where there is no such session
   * @throws AppError `store_unavailable` where it cannot be read: nobody is let in because a check could not be made
   */
  async get(session: string): Promise<SessionRecord | undefined> {
    for (let attempt = 0; attempt < MOST_READS; attempt += 1) {
      const known = this.#records.get(session);
      if (known !== undefined) return known;
      const read = this.#reads.get(session) ?? this.#begin(session);
      const record = await read.record;
      if (!read.stale) return record;
    }
    throw new AppError('store_unavailable', 'Your session is changing too fast to be read. Try again.', {
      reason: 'session_unsettled',
    });
  }

  /** Drops what the change concerns. @param change undefined: everything */
  drop(change: LogChange | undefined): void {
    if (change === undefined) this.#dropWhere(() => true);
    else if (change.kind === 'identity-changed') this.#dropSession(change.session);
    else this.#dropTarget(change.target);
  }

  #begin(session: string): Read {
    const read: Read = { stale: false, record: this.#sessions.read(session) };
    this.#reads.set(session, read);
    void this.#keep(session, read);
    return read;
  }

  async #keep(session: string, read: Read): Promise<void> {
    try {
      const record = await read.record;
      // Absence is not remembered: it costs the store one look-up each time, and only for tokens that we did sign.
      if (record !== undefined && !read.stale) this.#records.set(session, record);
    } catch {
      // Whoever waits for this read gets the error; there is nothing to keep.
    } finally {
      if (this.#reads.get(session) === read) this.#reads.delete(session);
    }
  }

  #dropTarget(target: RevocationTarget): void {
    switch (target.kind) {
      case 'session':
        return this.#dropSession(target.session);
      case 'account':
        return this.#dropWhere((record) => record.account === target.account);
      case 'provider':
        return this.#dropWhere((record) => record.provider === target.provider);
      case 'all':
        return this.#dropWhere(() => true);
    }
  }

  #dropSession(session: string): void {
    this.#records.delete(session);
    this.#outdate(session);
  }

  /** Whose session a read under way is about is not known yet, so every one of them is outdated. */
  #dropWhere(concerns: (record: SessionRecord) => boolean): void {
    for (const [session, record] of this.#records.entries()) if (concerns(record)) this.#records.delete(session);
    for (const session of this.#reads.keys()) this.#outdate(session);
  }

  #outdate(session: string): void {
    const read = this.#reads.get(session);
    if (read === undefined) return;
    read.stale = true;
    // The next to ask begins a read of its own.
    this.#reads.delete(session);
  }
}
