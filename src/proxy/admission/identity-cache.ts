/**
 * The impersonation credential of each session, so that a request does not cost a round trip to the store.
 *
 * Every log entry that concerns a session drops it here. A read that was under way when such an entry came may
 * return the state before it, so its result is not kept, and the session is read again.
 */
import { LRUCache } from 'lru-cache';
import { AppError } from '../../core/errors.ts';
import type { Awaitable } from '../../core/awaitable.ts';
import type { Credential } from '../../core/credential/credential.ts';
import {
  cacheKey,
  coveringKeys,
  type CoveringKeys,
  type LogChange,
  type TargetKey,
} from '../../core/credential/revocation.ts';
import type { SessionRecord, SessionStore } from '../../store/store.ts';

const MAX_SESSIONS = 20_000;
/** Entries for one session do not come faster than reads end, unless something is wrong. */
const MAX_READS = 5;

interface Read {
  /** An entry that may concern this session came after the read was sent. */
  stale: boolean;
  /** Further keys whose entries concern it (`alsoUnder`); those of the sessions above it are of its token, which we signed. */
  readonly under: readonly TargetKey[];
  readonly record: Promise<SessionRecord | undefined>;
}

interface Kept {
  readonly record: SessionRecord;
  /** Keys of the session record itself: entries are not matched against what a token contains. */
  readonly keys: CoveringKeys;
  readonly under: readonly TargetKey[];
}

/** Returns the keys by which an entry drops a session here, besides its own: of each one above it, and of its cached state alone. */
const alsoUnder = (session: string, ancestors: readonly TargetKey[] = []): readonly TargetKey[] => [
  ...ancestors,
  cacheKey(session),
];

/** Everything is indexed by the session's key, because log entries name that. */
export class IdentityCache {
  readonly #sessions: Pick<SessionStore, 'read'>;
  readonly #records = new LRUCache<TargetKey, Kept>({
    max: MAX_SESSIONS,
    dispose: ({ under }, key) => this.#removeBeneath(key, under),
  });
  /** The sessions that are kept, by each of their further keys. */
  readonly #beneath = new Map<TargetKey, Set<TargetKey>>();
  readonly #reads = new Map<TargetKey, Read>();

  constructor(sessions: Pick<SessionStore, 'read'>) {
    this.#sessions = sessions;
  }

  /**
   * @param nowSeconds epoch seconds
   * @returns the session's record; undefined if there is no such session
   * @throws AppError `store_unavailable` if it cannot be read: no request is admitted because a check could not be
   *   made
   */
  get(credential: Pick<Credential, 'session' | 'keys'>, nowSeconds: number): Awaitable<SessionRecord | undefined> {
    return this.#known(credential.keys.session, nowSeconds) ?? this.#read(credential, nowSeconds);
  }

  /**
   * A user's own session becomes idle while the token of a delegated one is valid for minutes yet. No entry says so, and
   * it may have been used since: the store knows.
   */
  #known(key: TargetKey, nowSeconds: number): SessionRecord | undefined {
    const record = this.#records.get(key)?.record;
    if (record?.parentIdleAt === undefined || record.parentIdleAt > nowSeconds) return record;
    this.#records.delete(key);
    return undefined;
  }

  async #read(
    credential: Pick<Credential, 'session' | 'keys'>,
    nowSeconds: number,
  ): Promise<SessionRecord | undefined> {
    const key = credential.keys.session;
    for (let attempt = 0; attempt < MAX_READS; attempt += 1) {
      const known = this.#known(key, nowSeconds);
      if (known !== undefined) return known;
      const read = this.#reads.get(key) ?? this.#begin(key, credential);
      const record = await read.record;
      if (!read.stale) return record;
    }
    throw new AppError('store_unavailable', 'Your session is changing too fast to be read. Try again.', {
      reason: 'session_unsettled',
    });
  }

  /** Drops what the change concerns. @param change undefined: everything */
  drop(change: LogChange | undefined): void {
    if (change === undefined) return this.#dropWhere(() => true);
    switch (change.kind) {
      case 'identity-changed':
        return this.#dropSession(change.key);
      case 'revoked':
        return this.#dropTarget(change.key);
      case 'unlocked':
      case 'drill':
        // Neither takes a right away.
        return;
    }
  }

  #begin(key: TargetKey, { session, keys }: Pick<Credential, 'session' | 'keys'>): Read {
    const under = alsoUnder(session, keys.ancestors);
    const read: Read = { stale: false, under, record: this.#sessions.read(session) };
    this.#reads.set(key, read);
    void this.#keep(key, read);
    return read;
  }

  async #keep(key: TargetKey, read: Read): Promise<void> {
    try {
      const record = await read.record;
      // Absence is not cached: it costs the store one look-up each time, and only for tokens that we did sign.
      if (record !== undefined && !read.stale) {
        const keys = coveringKeys({ ...record, session: record.id, ancestors: record.delegation?.ancestors });
        const under = alsoUnder(record.id, keys.ancestors);
        this.#records.set(key, { record, keys, under });
        this.#addBeneath(key, under);
      }
    } catch {
      // Every caller that waits for this read gets the error; there is nothing to keep.
    } finally {
      if (this.#reads.get(key) === read) this.#reads.delete(key);
    }
  }

  #dropTarget(key: TargetKey): void {
    if (key === 'all') return this.#dropWhere(() => true);
    if (key.startsWith('session:')) return this.#dropSession(key);
    this.#dropWhere(({ account, provider }) => account === key || provider === key);
  }

  /**
   * Also drops what is beneath it: a delegated session has the identity of its user's own session, and ends with it.
   * @param key of a session, or `cacheKey` of one: its grants have changed, or its last proof, and nothing beneath it has
   */
  #dropSession(key: TargetKey): void {
    this.#records.delete(key);
    for (const beneath of this.#beneath.get(key) ?? []) this.#records.delete(beneath);
    for (const [session, { under }] of this.#reads) {
      if (session === key || under.includes(key)) this.#outdate(session);
    }
  }

  #addBeneath(key: TargetKey, under: readonly TargetKey[]): void {
    for (const ancestor of under) {
      const beneath = this.#beneath.get(ancestor) ?? new Set();
      this.#beneath.set(ancestor, beneath.add(key));
    }
  }

  #removeBeneath(key: TargetKey, under: readonly TargetKey[]): void {
    for (const ancestor of under) {
      const beneath = this.#beneath.get(ancestor);
      if (beneath?.delete(key) === true && beneath.size === 0) this.#beneath.delete(ancestor);
    }
  }

  /** It is not known yet which account a read under way is about, so every one of them is outdated. */
  #dropWhere(concerns: (keys: CoveringKeys) => boolean): void {
    for (const [key, kept] of this.#records.entries()) if (concerns(kept.keys)) this.#records.delete(key);
    for (const key of this.#reads.keys()) this.#outdate(key);
  }

  #outdate(key: TargetKey): void {
    const read = this.#reads.get(key);
    if (read === undefined) return;
    read.stale = true;
    // The next caller starts its own read.
    this.#reads.delete(key);
  }
}
