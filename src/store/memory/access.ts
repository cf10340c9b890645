/** Access requests in memory. */
import {
  HISTORY_SECONDS,
  approvalsOf,
  isOpen,
  MOST_DAILY_OF_ACCOUNT,
  MOST_GRANTS,
  MOST_GRANTS_OF_ACCOUNT,
  MOST_GRANTS_OF_SESSION,
  MOST_KEPT,
  MOST_OPEN,
  MOST_OPEN_OF_ACCOUNT,
  mostOfRole,
  type AccessRequest,
  type GrantPeriod,
} from '../../core/access/request.ts';
import { cacheKey, type LogChange } from '../../core/credential/revocation.ts';
import type { Account } from '../../core/identity/identity.ts';
import type { Clock } from '../../contracts/clock.ts';
import { changedTo, checkedChange, endedWith, grantedFrom, grantInSession, notedWith } from '../granted.ts';
import { decodeCursor, encodeCursor, Page } from '../pages.ts';
import type {
  AccessQuery,
  AccessStore,
  AccessWrite,
  AccessWriteRejection,
  ActiveGrant,
  GrantNote,
  StoredRequest,
} from '../store.ts';
import { createJanitor } from './janitor.ts';
import type { MemoryLocks } from './locks.ts';
import type { MemorySessions } from './sessions.ts';

/** Grants of one page. */
const ACTIVE_PAGE = 50;

interface Kept {
  stored: StoredRequest;
  /** Increases with each request; pages are sorted by it. */
  readonly order: number;
  /** Epoch seconds. */
  readonly createdAt: number;
  /** Epoch seconds. */
  keptUntil: number;
}

interface Claim {
  readonly holder: string;
  readonly expiresAtMs: number;
}

interface Parts {
  readonly clock: Clock;
  readonly sessions: Pick<MemorySessions, 'liveRecordOf' | 'grantsOf' | 'addGrant'>;
  readonly locks: Pick<MemoryLocks, 'has'>;
  /** Writes an entry within the caller's tick. */
  notify(change: LogChange): void;
}

const DAY_SECONDS = 86_400;
const no = (reason: AccessWriteRejection): AccessWrite => ({ ok: false, reason });

export class MemoryAccess implements AccessStore {
  readonly #parts: Parts;
  /** In the order in which they were created. */
  readonly #requests = new Map<string, Kept>();
  readonly #claims = new Map<string, Claim>();
  readonly #tidyRequests: () => void;
  readonly #tidyClaims: () => void;
  #created = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#tidyRequests = createJanitor(
      this.#requests,
      ({ keptUntil }) => this.#seconds() >= keptUntil,
      (id) => this.#requests.delete(id),
    );
    this.#tidyClaims = createJanitor(
      this.#claims,
      ({ expiresAtMs }) => parts.clock.nowMs() >= expiresAtMs,
      (id) => this.#claims.delete(id),
    );
  }

  async create(
    request: AccessRequest,
    { grantSeconds }: { readonly grantSeconds?: number } = {},
  ): Promise<AccessWrite> {
    this.#tidyRequests();
    if (this.#find(request.id) !== undefined) return no('request_changed');
    const written =
      grantSeconds === undefined ? request : grantedFrom(request, this.#parts.clock.nowMs(), grantSeconds);
    const reason = this.#createRejection(written);
    if (reason !== undefined) return no(reason);
    this.#created += 1;
    const kept = {
      stored: { request: written, version: 0 },
      order: this.#created,
      createdAt: this.#seconds(),
      keptUntil: 0,
    };
    this.#requests.set(request.id, kept);
    this.#trim();
    return this.#write(kept, written);
  }

  async find(id: string): Promise<StoredRequest | undefined> {
    const stored = this.#find(id)?.stored;
    return stored === undefined ? undefined : this.#shown(stored);
  }

  async list({ account, open, where, ...query }: AccessQuery): ReturnType<AccessStore['list']> {
    const page = new Page<StoredRequest>(
      { ...query, ...(where === undefined ? {} : { where: (stored: StoredRequest) => where(stored.request, stored) }) },
      'newest',
    );
    const matches = this.#all()
      .filter(({ stored: { request } }) => (account ?? request.account) === request.account)
      .filter(({ stored: { request } }) => open === undefined || request.state === 'open')
      .filter(({ order }) => order < (page.after ?? Number.POSITIVE_INFINITY))
      .toReversed();
    let examined = 0;
    for (const { stored, order } of matches) {
      if (page.remaining === 0) break;
      page.add(this.#shown(stored), order);
      examined += 1;
    }
    const { items, ...end } = page.end(examined < matches.length);
    return { requests: items, ...end };
  }

  async change(read: StoredRequest, next: AccessRequest): Promise<AccessWrite> {
    checkedChange(next);
    const kept = this.#find(read.request.id);
    if (kept === undefined) return no('request_unknown');
    if (kept.stored.version !== read.version) return no('request_changed');
    const { request } = kept.stored;
    if (!isOpen(request, this.#seconds()) && !(request.state === 'open' && next.state === 'expired')) {
      return no('request_over');
    }
    return this.#write(kept, changedTo(request, next));
  }

  async begin(read: StoredRequest, next: AccessRequest, grantSeconds: number): Promise<AccessWrite> {
    const kept = this.#find(read.request.id);
    if (kept === undefined) return no('request_unknown');
    if (kept.stored.version !== read.version) return no('request_changed');
    if (!isOpen(kept.stored.request, this.#seconds())) return no('request_over');
    const changed = changedTo(kept.stored.request, next);
    const request = grantedFrom(changed, this.#parts.clock.nowMs(), grantSeconds);
    const isOver = approvalsOf(request).some(
      ({ session, account }) => session !== undefined && this.#sessionRejection({ session, account }) !== undefined,
    );
    const reason =
      this.#sessionRejection(request) ?? (isOver ? 'approver_over' : undefined) ?? this.#grantRejection(request);
    return reason === undefined ? this.#write(kept, request) : no(reason);
  }

  async note(id: string, note: GrantNote): Promise<StoredRequest | undefined> {
    const kept = this.#find(id);
    if (kept === undefined) return undefined;
    const noted = notedWith(kept.stored.request, note);
    if (noted !== undefined) this.#keep(kept, noted);
    return structuredClone(kept.stored);
  }

  async ended(
    id: string,
    ending: Pick<GrantPeriod, 'ending' | 'endedBy' | 'revocation'>,
  ): Promise<StoredRequest | undefined> {
    const kept = this.#find(id);
    if (kept === undefined) return undefined;
    const ended = endedWith(kept.stored.request, ending, this.#seconds());
    if (ended !== undefined) this.#write(kept, ended);
    return structuredClone(kept.stored);
  }

  async active(): Promise<readonly ActiveGrant[]> {
    return this.#active().map(({ grant }) => grant);
  }

  async activePage(cursor?: string): ReturnType<AccessStore['activePage']> {
    const after = cursor === undefined ? 0 : decodeCursor('oldest', cursor);
    const left = this.#active().filter(({ order }) => order > after);
    const shown = left.slice(0, ACTIVE_PAGE);
    const last = left.length > shown.length ? shown.at(-1) : undefined;
    return {
      grants: shown.map(({ grant }) => grant),
      ...(last === undefined ? {} : { cursor: encodeCursor('oldest', last.order) }),
    };
  }

  #active(): readonly { readonly grant: ActiveGrant; readonly order: number }[] {
    const { clock, sessions } = this.#parts;
    return this.#granted().map(({ stored, order }) => ({
      order,
      grant: {
        stored: structuredClone(stored),
        leftMs: (stored.request.grant?.endsAt ?? 0) - clock.nowMs(),
        sessionActive: sessions.liveRecordOf(stored.request.session) !== undefined,
      },
    }));
  }

  async claimEnding(id: string, holder: string, ttlSeconds: number): Promise<boolean> {
    this.#tidyClaims();
    const now = this.#parts.clock.nowMs();
    const claim = this.#claims.get(id);
    if (claim !== undefined && claim.holder !== holder && now < claim.expiresAtMs) return false;
    this.#claims.set(id, { holder, expiresAtMs: now + ttlSeconds * 1000 });
    return true;
  }

  /** Returns the milliseconds that a grant has left, within the caller's tick. */
  leftOf(id: string): number | undefined {
    const endsAt = this.#find(id)?.stored.request.grant?.endsAt;
    return endsAt === undefined ? undefined : endsAt - this.#parts.clock.nowMs();
  }

  #shown(stored: StoredRequest): StoredRequest {
    const { session, state } = stored.request;
    const isOver = state === 'open' && this.#parts.sessions.liveRecordOf(session) === undefined;
    return { ...structuredClone(stored), ...(isOver ? { sessionOver: true } : {}) };
  }

  /** Returns how many requests of this session wait for approvals, within the caller's tick. */
  countOpen(session: string): number {
    const isOfIt = ({ stored: { request } }: Kept): boolean =>
      request.session === session && isOpen(request, this.#seconds());
    return this.#all().filter(isOfIt).length;
  }

  #keep(kept: Kept, request: AccessRequest): void {
    kept.stored = structuredClone({ request, version: kept.stored.version + 1 });
    kept.keptUntil = this.#seconds() + HISTORY_SECONDS;
  }

  /** Puts the grant of a request that is granted by this write into its session. */
  #write(kept: Kept, request: AccessRequest): AccessWrite {
    this.#keep(kept, request);
    const grant = grantInSession(request);
    if (request.state === 'granted' && grant !== undefined) {
      this.#parts.sessions.addGrant(request.session, grant);
      this.#parts.notify({ kind: 'identity-changed', key: cacheKey(request.session) });
    }
    return { ok: true, stored: structuredClone(kept.stored) };
  }

  #createRejection(request: AccessRequest): AccessWriteRejection | undefined {
    if (this.#seconds() >= request.openUntil) return 'request_over';
    const reason = this.#sessionRejection(request);
    if (reason !== undefined) return reason;
    if (this.#isAskedTooOften(request.account)) return 'requests_of_account_too_many';
    if (request.state === 'granted') return this.#grantRejection(request);
    const open = this.#all().filter(({ stored }) => isOpen(stored.request, this.#seconds()));
    const own = open.filter(({ stored }) => stored.request.account === request.account);
    if (own.length >= MOST_OPEN_OF_ACCOUNT) return 'requests_of_account_too_many';
    const ofRole = open.filter(({ stored }) => stored.request.terms.name === request.terms.name);
    return ofRole.length >= mostOfRole(MOST_OPEN, open.length) ? 'requests_too_many' : undefined;
  }

  #isAskedTooOften(account: Account): boolean {
    const since = this.#seconds() - DAY_SECONDS;
    const ofToday = this.#all().filter(
      ({ stored: { request }, createdAt }) => request.account === account && createdAt > since,
    );
    return ofToday.length >= MOST_DAILY_OF_ACCOUNT;
  }

  #sessionRejection({
    session,
    account,
  }: Pick<AccessRequest, 'session' | 'account'>): AccessWriteRejection | undefined {
    if (this.#parts.locks.has(account)) return 'account_locked';
    const record = this.#parts.sessions.liveRecordOf(session);
    if (record?.account !== account) return 'session_over';
    return record.delegation === undefined ? undefined : 'session_delegated';
  }

  #grantRejection({ session, account, terms }: AccessRequest): AccessWriteRejection | undefined {
    if (this.#parts.sessions.grantsOf(session).length >= MOST_GRANTS_OF_SESSION) return 'grants_of_session_too_many';
    const granted = this.#granted().map(({ stored }) => stored.request);
    const own = granted.filter((request) => request.account === account);
    if (own.length >= MOST_GRANTS_OF_ACCOUNT) return 'grants_of_account_too_many';
    const ofRole = granted.filter((request) => request.terms.name === terms.name);
    return ofRole.length >= mostOfRole(MOST_GRANTS, granted.length) ? 'grants_too_many' : undefined;
  }

  /** Drops the oldest of those that are over. */
  #trim(): void {
    for (const [id, { stored }] of this.#requests) {
      if (this.#requests.size <= MOST_KEPT) return;
      const { request } = stored;
      if (request.state !== 'granted' && !isOpen(request, this.#seconds())) this.#requests.delete(id);
    }
  }

  #granted(): readonly Kept[] {
    return this.#all().filter(({ stored: { request } }) => request.state === 'granted');
  }

  #all(): readonly Kept[] {
    return [...this.#requests.values()].filter(({ keptUntil }) => this.#seconds() < keptUntil);
  }

  #find(id: string): Kept | undefined {
    const kept = this.#requests.get(id);
    return kept !== undefined && this.#seconds() < kept.keptUntil ? kept : undefined;
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock.nowMs() / 1000);
  }
}
