/** Sessions in memory. */
import { type Account } from '../../core/identity/identity.ts';
import { cacheKey, sessionKey, targets, type RevocationTarget } from '../../core/credential/revocation.ts';
import type { SessionGrant } from '../../core/access/request.ts';
import type { Clock } from '../../contracts/clock.ts';
import { sessionExists } from '../errors.ts';
import { MOST_SESSIONS_OF_AN_ACCOUNT } from '../lifetimes.ts';
import { isPossible, withAncestors } from '../delegated.ts';
import { changesBy } from '../session-change.ts';
import type { GrantInSession } from '../granted.ts';
import { lastUseOf, USE_SECONDS } from '../last-use.ts';
import { isAscending, lastUseScore, orderOf, MOST_TALLIED, Page } from '../pages.ts';
import type {
  MintOutcome,
  MintRejection,
  NewSession,
  ProviderSession,
  SessionOrder,
  SessionPage,
  SessionQuery,
  SessionRecord,
  SessionChange,
  SessionGroup,
  SessionSecret,
  SessionStore,
  SessionTally,
} from '../store.ts';
import { ClosedProviderSessions } from './closed-provider-sessions.ts';
import type { FreshMarks } from './fresh-marks.ts';
import { createJanitor } from './janitor.ts';
import type { MemoryLocks } from './locks.ts';
import type { MemoryLog } from './log.ts';
import { defined } from '../../core/defined.ts';

interface Session {
  record: SessionRecord;
  secret: SessionSecret;
  /** By id; those that are over among them. */
  readonly grants: Map<string, GrantInSession>;
  /** Increases with each session opened; pages are sorted by it. */
  readonly order: number;
}

interface Claim {
  readonly holder: string;
  readonly expiresAtMs: number;
}

interface Parts {
  readonly clock: Clock;
  /** A function, because the log and the sessions refer to each other. */
  readonly log: () => MemoryLog;
  readonly locks: MemoryLocks;
  readonly fresh: FreshMarks;
  /** Deletes whatever lives only as long as the session. */
  readonly dropBelongings: (session: string) => void;
}

const isBeneath = ({ delegation }: SessionRecord, ancestor: string): boolean =>
  delegation?.ancestors.includes(ancestor) === true;

const isAskedFor = ({ account, only, providerSession, ancestor }: SessionQuery, record: SessionRecord): boolean =>
  (account === undefined || only === undefined || (only === 'delegated') === (record.delegation !== undefined)) &&
  (ancestor === undefined || isBeneath(record, ancestor)) &&
  (account ?? record.account) === record.account &&
  (providerSession === undefined || isOfProviderSession(providerSession, record));

const positionIn = (order: SessionOrder, { record, order: opened }: Session): number =>
  order === 'newest' || order === 'oldest' ? opened : lastUseScore(lastUseOf(record), opened);

const isOfProviderSession = (
  { provider, sid }: ProviderSession,
  record: Pick<SessionRecord, 'provider' | 'providerSid'>,
): boolean => record.provider === provider && record.providerSid === sid;

export class MemorySessions implements SessionStore {
  readonly #parts: Parts;
  readonly #sessions = new Map<string, Session>();
  readonly #claims = new Map<string, Claim>();
  readonly #closed: ClosedProviderSessions;
  readonly #tidySessions: () => void;
  readonly #tidyClaims: () => void;
  #opened = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#closed = new ClosedProviderSessions(parts.clock);
    this.#tidySessions = createJanitor(
      this.#sessions,
      ({ record }) => this.#pastAnEnd(record),
      (id) => this.#end(id),
    );
    this.#tidyClaims = createJanitor(
      this.#claims,
      (claim) => parts.clock.nowMs() >= claim.expiresAtMs,
      (id) => this.#claims.delete(id),
    );
  }

  async open(
    session: NewSession,
    secret: SessionSecret,
    { mostDelegations = 0 }: { readonly mostDelegations?: number } = {},
  ): Promise<MintOutcome> {
    this.#tidySessions();
    if (this.#sessions.has(session.id)) throw sessionExists();
    const { createdAt } = session;
    const record = structuredClone({ ...session, version: 1, lastUsedAt: createdAt, checkedAt: createdAt });
    const reason = this.#openRejection(record, mostDelegations);
    if (reason !== undefined) return { ok: false, reason };
    this.#opened += 1;
    this.#sessions.set(session.id, { record, secret: structuredClone(secret), grants: new Map(), order: this.#opened });
    return this.#granted(record);
  }

  async mint(id: string, { thumbprint }: { readonly thumbprint?: string }): Promise<MintOutcome> {
    const session = this.#sessions.get(id);
    if (session === undefined) return { ok: false, reason: 'session_unknown' };
    const reason = this.#rejection(session.record);
    if (reason !== undefined) return { ok: false, reason };
    const bound = session.record.thumbprint;
    // A binding is permanent: a client without the certificate is rejected like one with another certificate.
    if (bound !== undefined && bound !== thumbprint) return { ok: false, reason: 'certificate_mismatch' };
    if (this.#parts.locks.has(session.record.account)) return { ok: false, reason: 'account_locked' };
    const binding = defined({ thumbprint });
    session.record = { ...session.record, lastUsedAt: this.#seconds(), ...binding };
    return this.#granted(session.record);
  }

  async read(id: string): Promise<SessionRecord | undefined> {
    const session = this.#live(id);
    return session === undefined ? undefined : this.#withAncestors(session.record);
  }

  async readSecret(id: string): Promise<SessionSecret | undefined> {
    return structuredClone(this.#live(id)?.secret);
  }

  async update(id: string, change: SessionChange): Promise<SessionRecord | undefined> {
    const session = this.#live(id);
    if (session === undefined) return undefined;
    session.secret = structuredClone(change.secret);
    if (change.checked !== false) session.record = { ...session.record, checkedAt: this.#seconds() };
    const changes = changesBy(session.record, change);
    if (changes !== undefined) {
      session.record = { ...session.record, ...structuredClone(changes.parts) };
      this.#parts.log().notify({ kind: 'identity-changed', key: changes.isIdentity ? sessionKey(id) : cacheKey(id) });
    }
    return this.#withAncestors(session.record);
  }

  async prove(id: string, authTime: number): Promise<SessionRecord | undefined> {
    const session = this.#live(id);
    if (session === undefined || session.record.delegation !== undefined) return undefined;
    if ((session.record.authTime ?? 0) < authTime) {
      session.record = { ...session.record, authTime, version: session.record.version + 1 };
      this.#parts.log().notify({ kind: 'identity-changed', key: cacheKey(id) });
    }
    return this.#withAncestors(session.record);
  }

  async list(query: SessionQuery): Promise<SessionPage> {
    const page = new Page<SessionRecord>(query, orderOf(query));
    const { username } = query;
    const [front, direction] = isAscending(page.order) ? [-Infinity, 1] : [Infinity, -1];
    const start = page.after ?? front;
    const matches = [...this.#sessions.values()]
      .filter(({ record }) => isAskedFor(query, record) && this.#rejection(record) === undefined)
      .filter(({ record }) => username === undefined || this.#withAncestors(record).identity.username === username)
      .map((session) => ({ record: session.record, current: positionIn(page.order, session) }))
      .filter(({ current }) => (current - start) * direction > 0)
      .toSorted((left, right) => (left.current - right.current) * direction);
    let examined = 0;
    for (const { record, current } of matches) {
      if (page.remaining === 0) break;
      page.add(this.#withAncestors(record), current);
      examined += 1;
    }
    const { items, ...end } = page.end(examined < matches.length);
    return { sessions: items, ...end };
  }

  async closeProviderSession(session: ProviderSession): Promise<void> {
    this.#closed.close(session);
  }

  async count(): Promise<number> {
    return [...this.#sessions.values()].filter(({ record }) => this.#rejection(record) === undefined).length;
  }

  async tally({ provider, username, ...group }: SessionGroup): Promise<SessionTally> {
    const found = [...this.#sessions.values()]
      .map(({ record }) => record)
      .filter((record) => isAskedFor({ ...group, limit: 1 }, record) && this.#rejection(record) === undefined)
      .filter((record) => (provider ?? record.provider) === record.provider)
      .filter((record) => username === undefined || this.#withAncestors(record).identity.username === username);
    const counted = found.slice(0, MOST_TALLIED);
    return {
      sessions: counted.length,
      delegated: counted.filter(({ delegation }) => delegation !== undefined).length,
      users: new Set(counted.map(({ account }) => account)).size,
      more: found.length >= MOST_TALLIED,
    };
  }

  async claimRecheck(id: string, holder: string, ttlSeconds: number): Promise<boolean> {
    this.#tidyClaims();
    const now = this.#parts.clock.nowMs();
    const claim = this.#claims.get(id);
    if (claim !== undefined && claim.holder !== holder && now < claim.expiresAtMs) return false;
    this.#claims.set(id, { holder, expiresAtMs: now + ttlSeconds * 1000 });
    return true;
  }

  async releaseRecheck(id: string, holder: string): Promise<void> {
    if (this.#claims.get(id)?.holder === holder) this.#claims.delete(id);
  }

  /** Returns the session under this id, whether it has expired or not, within the caller's tick. */
  recordOf(id: string): SessionRecord | undefined {
    return this.#sessions.get(id)?.record;
  }

  /** Returns a session that has not ended, within the caller's tick. */
  liveRecordOf(id: string): SessionRecord | undefined {
    return this.#live(id)?.record;
  }

  /** Within the caller's tick. */
  isAlive(id: string): boolean {
    return this.#live(id) !== undefined;
  }

  /** Returns the grants of a session that are not over, within the caller's tick. */
  grantsOf(id: string): readonly SessionGrant[] {
    const nowMs = this.#parts.clock.nowMs();
    return [...(this.#sessions.get(id)?.grants.values() ?? [])]
      .map((grant) => ({ ...grant, leftMs: grant.endsAt - nowMs }))
      .filter(({ leftMs }) => leftMs > 0);
  }

  /** Puts a grant into a session, in place of those that are over; within the caller's tick. */
  addGrant(id: string, grant: GrantInSession): void {
    const grants = this.#sessions.get(id)?.grants;
    for (const { id: other, endsAt } of grants?.values() ?? []) {
      if (endsAt <= this.#parts.clock.nowMs()) grants?.delete(other);
    }
    grants?.set(grant.id, structuredClone(grant));
  }

  /** Within the caller's tick. */
  dropGrant(id: string, grant: string): void {
    this.#sessions.get(id)?.grants.delete(grant);
  }

  /**
   * Moves `lastRequestAt` of a live session, at most once a minute, within the caller's tick.
   * @param at epoch seconds
   */
  requested(id: string, at: number): void {
    const session = this.#live(id);
    if (session === undefined || at - lastUseOf(session.record) < USE_SECONDS) return;
    session.record = { ...session.record, lastRequestAt: at };
  }

  /**
   * Ends the covered sessions, within the caller's tick.
   * @returns those that were alive
   */
  endCovered(target: RevocationTarget): readonly SessionRecord[] {
    const ended: SessionRecord[] = [];
    for (const { record } of this.#sessions.values()) {
      const { account, provider, delegation } = record;
      if (!targets(target, { session: record.id, account, provider, ancestors: delegation?.ancestors })) continue;
      if (!this.#pastAnEnd(record)) ended.push(record);
      this.#end(record.id);
    }
    // Artefacts may have been saved although the session itself never was.
    if (target.kind === 'session') this.#end(target.session);
    return ended;
  }

  #openRejection(record: SessionRecord, mostDelegations: number): MintRejection | undefined {
    const { log, locks, fresh } = this.#parts;
    const { epoch, number } = log().current;
    if (record.startedAt.epoch !== epoch || record.startedAt.number > number) return 'epoch_changed';
    if (locks.has(record.account)) return 'account_locked';
    const reason = this.#rejection(record);
    if (reason !== undefined) return reason;
    if (record.delegation !== undefined) {
      const [root = '', parent = ''] = [record.delegation.ancestors[0], record.delegation.ancestors.at(-1)];
      if (!this.#isInPlace(record) || record.expiresAt > (this.recordOf(parent)?.expiresAt ?? 0)) return 'parent_over';
      if (this.#beneath(root).length >= mostDelegations) return 'delegations_too_many';
      return this.#liveOf(record.account) >= MOST_SESSIONS_OF_AN_ACCOUNT ? 'sessions_too_many' : undefined;
    }
    if (this.#closed.has(record)) return 'session_revoked';
    if (fresh.rejects(record.account, record.authTime)) return 'fresh_sign_in_needed';
    return this.#liveOf(record.account) >= MOST_SESSIONS_OF_AN_ACCOUNT ? 'sessions_too_many' : undefined;
  }

  #liveOf(account: Account): number {
    let count = 0;
    for (const { record } of this.#sessions.values()) {
      if (record.account === account && this.#rejection(record) === undefined) count += 1;
    }
    return count;
  }

  #rejection(record: SessionRecord): MintRejection | undefined {
    const log = this.#parts.log();
    if (record.startedAt.epoch !== log.current.epoch) return 'epoch_changed';
    if (log.watermarks.covers(record.account, record.provider, record.startedAt.number)) return 'session_revoked';
    if (this.#pastAnEnd(record)) return 'session_expired';
    const above = record.delegation?.ancestors.map((id) => this.recordOf(id)) ?? [];
    return above.every((each) => each !== undefined && this.#rejection(each) === undefined) ? undefined : 'parent_over';
  }

  #beneath(ancestor: string): readonly SessionRecord[] {
    return [...this.#sessions.values()]
      .map(({ record }) => record)
      .filter((record) => isBeneath(record, ancestor) && this.#rejection(record) === undefined);
  }

  /** Returns it with its grants, or with what it has from the sessions above it now: the user's identity, and their idle ends. */
  #withAncestors(record: SessionRecord): SessionRecord {
    if (record.delegation === undefined) {
      const grants = this.grantsOf(record.id);
      return structuredClone(grants.length === 0 ? record : { ...record, grants });
    }
    const above = record.delegation.ancestors.map((id) => this.recordOf(id));
    return structuredClone(withAncestors(record, above) ?? record);
  }

  /** Whether each session above it is of the same account, and stands where the session says. */
  #isInPlace({ account, provider, delegation }: SessionRecord): boolean {
    const ancestors = delegation?.ancestors ?? [];
    if (delegation !== undefined && !isPossible(delegation)) return false;
    return ancestors.every((id, index) => {
      const above = this.recordOf(id);
      const its = above?.delegation?.ancestors ?? [];
      const same = its.length === index && its.every((each, at) => each === ancestors[at]);
      return same && above?.account === account && above.provider === provider;
    });
  }

  #pastAnEnd(record: SessionRecord): boolean {
    return this.#seconds() >= Math.min(record.expiresAt, record.lastUsedAt + record.idleSeconds);
  }

  #live(id: string): Session | undefined {
    const session = this.#sessions.get(id);
    return session !== undefined && this.#rejection(session.record) === undefined ? session : undefined;
  }

  #granted(record: SessionRecord): MintOutcome {
    return { ok: true, position: this.#parts.log().current, record: this.#withAncestors(record) };
  }

  #end(id: string): void {
    this.#sessions.delete(id);
    this.#claims.delete(id);
    this.#parts.dropBelongings(id);
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock.nowMs() / 1000);
  }
}
