/**
 * Finds grants that are over, requests that no one decided about or whose session has ended, and approvals that count no longer, and writes that down. Each replica looks every two
 * seconds, by what the store has then, and never relies on an event that could be lost: an event only makes it look sooner.
 *
 * No right depends on this. Each replica knows by itself when a grant is over (`src/proxy`); what is found here is proven and
 * audited.
 */
import { cacheKey, sessionKey, type LogChange, type TargetKey } from '../../core/credential/revocation.ts';
import { approvalsOf, withSessionEnded, type AccessRequest, type GrantEnding } from '../../core/access/request.ts';
import { mayRequest } from '../../core/access/role.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { everyPage, type AccessQuery, type ActiveGrant, type StoredRequest } from '../../store/store.ts';
import { auditDenied, NO_REQUEST } from './audit-events.ts';
import type { AccessDeps } from './dependencies.ts';
import { auditIfFound } from './grant-begin.ts';
import { CLAIM_SECONDS, type EndGrant } from './end-grant.ts';
import { roleNamed } from './judge.ts';
import { auditLapses, withLapses } from './lapses.ts';
import { LostGrants } from './lost-grants.ts';

const EVERY_MS = 2000;
/** Whether a user is still in the groups that may ask is read from their session: at once where it changed, else this often. */
const GROUPS_EVERY_MS = 30_000;
/** An event makes it look sooner, but not more often than this, however many events there are. */
const SOON_MS = 100;
/** The replica that has begun a grant audits that at once; no one else does before this time is over. */
const FOUND_AFTER_MS = 5000;
const PAGE = 200;
/** Ends that are written at the same time: each waits for the proof of its revocation. */
const CONCURRENT = 16;

export interface Endings {
  start(): void;
  /** Looks once. Resolves when all that it found is written. Never rejects. */
  check(): Promise<void>;
  /** Looks now, because a replica has seen a grant of this session that does not count any more. */
  suspect(session: string): void;
  /** Resolves when nothing is being written any more. */
  stop(): Promise<void>;
}

export function createEndings(deps: AccessDeps, endGrant: EndGrant): Endings {
  return new Sweeper(deps, endGrant);
}

interface OverGrant {
  readonly request: AccessRequest;
  readonly ending: GrantEnding;
  readonly isLost?: true;
}

class Sweeper implements Endings {
  readonly #deps: AccessDeps;
  readonly #endGrant: EndGrant;
  /** When the groups of each active grant's user were read, by the grant; monotonic milliseconds. */
  readonly #groupsReadAt = new Map<string, number>();
  /** When each active grant is over, as this replica has known it first; monotonic milliseconds. */
  readonly #endsAt = new Map<string, number>();
  readonly #lost = new LostGrants();
  readonly #sessionOf = new Map<TargetKey, Set<string>>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #isSoon = false;
  #stopped = false;

  constructor(deps: AccessDeps, endGrant: EndGrant) {
    this.#deps = deps;
    this.#endGrant = endGrant;
    deps.guard.onChange((change) => this.#changed(change));
  }

  start(): void {
    this.#schedule(EVERY_MS);
  }

  check(): Promise<void> {
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    const run = this.#rounds().finally(() => (this.#running = undefined));
    this.#running = run;
    return run;
  }

  suspect(session: string): void {
    this.#forget(sessionKey(session));
    this.#soon();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#isSoon = false;
      void this.check().finally(() => this.#schedule(EVERY_MS));
    }, afterMs).unref();
  }

  /** Only once it was started. */
  #soon(): void {
    if (this.#timer === undefined || this.#isSoon) return;
    this.#isSoon = true;
    this.#schedule(SOON_MS);
  }

  #changed(change: LogChange | undefined): void {
    if (change === undefined) return this.#groupsReadAt.clear();
    if (change.kind !== 'identity-changed' && change.kind !== 'revoked') return;
    if (this.#forget(change.key)) this.#soon();
  }

  /** Forgets when the groups of this session's user were read. @returns whether it has a grant */
  #forget(key: TargetKey): boolean {
    const grants = this.#sessionOf.get(key) ?? new Set();
    for (const grant of grants) this.#groupsReadAt.delete(grant);
    return grants.size > 0;
  }

  async #rounds(): Promise<void> {
    do {
      this.#again = false;
      await this.#once().catch((err: unknown) => {
        this.#deps.logger.warn({ err }, 'grants that are over could not be looked for');
      });
    } while (this.#again && !this.#stopped);
  }

  async #once(): Promise<void> {
    // A fenced replica rejects everything, and what it knows may be old: another one writes the ends.
    if (this.#deps.guard.fenced || this.#deps.audit.blocked) return;
    const askedAt = performance.now();
    const active = await this.#deps.store.access.active();
    this.#note(active, askedAt);
    const over: OverGrant[] = [];
    for (const grant of active) {
      await this.#findBegin(grant);
      const ending = await this.#endingOf(grant);
      if (ending !== undefined) over.push({ request: grant.stored.request, ending });
    }
    for (const lost of await this.#lost.find(active, this.#deps.store)) over.push({ ...lost, isLost: true } as const);
    const queue = over.values();
    await Promise.all(
      Array.from({ length: CONCURRENT }, async () => {
        for (const end of queue) await this.#end(end);
      }),
    );
    await this.#reviewOpen();
  }

  #note(active: readonly ActiveGrant[], askedAt: number): void {
    const grants = new Set(active.map(({ stored }) => stored.request.id));
    for (const times of [this.#groupsReadAt, this.#endsAt]) {
      for (const id of times.keys()) if (!grants.has(id)) times.delete(id);
    }
    for (const { stored, leftMs } of active) {
      const { id } = stored.request;
      // The store's clock may be set back, and a replica that starts then has the grant for longer: until this one ends it.
      // safeguard: GRANT_END_KNOWN
      this.#endsAt.set(id, Math.min(this.#endsAt.get(id) ?? Number.POSITIVE_INFINITY, askedAt + leftMs));
    }
    this.#sessionOf.clear();
    const counts = new Map(this.#deps.config.access.roles.map(({ name }) => [name, 0]));
    for (const { stored } of active) {
      const { id, session, terms } = stored.request;
      for (const key of [sessionKey(session), cacheKey(session)]) {
        this.#sessionOf.set(key, (this.#sessionOf.get(key) ?? new Set()).add(id));
      }
      const count = counts.get(terms.name);
      if (count !== undefined) counts.set(terms.name, count + 1);
    }
    this.#deps.observeActive?.(counts);
  }

  /** @returns undefined for a grant that goes on */
  async #endingOf({ stored: { request }, sessionActive }: ActiveGrant): Promise<GrantEnding | undefined> {
    // The replica that was ending it has died, or got no response.
    if (request.grant?.ending !== undefined) return request.grant.ending;
    if ((this.#endsAt.get(request.id) ?? 0) <= performance.now()) return 'expired';
    if (!sessionActive) return 'session';
    const role = roleNamed(this.#deps, request.terms.name);
    if (role === undefined) return 'role';
    const now = performance.now();
    if (now - (this.#groupsReadAt.get(request.id) ?? Number.NEGATIVE_INFINITY) < GROUPS_EVERY_MS) return undefined;
    const record = await this.#deps.store.sessions.read(request.session);
    // It ended since: the next round knows.
    if (record === undefined) return undefined;
    if (!mayRequest(role, record.identity)) return 'group';
    this.#groupsReadAt.set(request.id, now);
    return undefined;
  }

  /** Audits a begin that no one has audited. One whose end is due is audited with that. */
  async #findBegin({ stored: { request }, leftMs }: ActiveGrant): Promise<void> {
    const { id, grant } = request;
    if (grant === undefined || grant.audited === true || leftMs <= 0) return;
    if (grant.endsAt - grant.beganAt - leftMs < FOUND_AFTER_MS) return;
    const { store, guard } = this.#deps;
    if (await store.access.claimEnding(id, guard.incarnation, CLAIM_SECONDS)) await auditIfFound(this.#deps, request);
  }

  async #end({ request, ...end }: OverGrant): Promise<void> {
    const by = { reason: '', context: NO_REQUEST(), path: '', isSweep: true } as const;
    // Not held up by one that cannot be written: it is found again in the next round.
    await this.#endGrant(request, { ...end, ...by }).catch((err: unknown) => {
      if (end.isLost === true) this.#lost.again(request);
      const facts = { err, grant: request.id, ending: end.ending };
      this.#deps.logger.warn(facts, 'the end of a grant could not be written');
    });
  }

  /**
   * Marks requests whose session has ended, those that no one decided about in time, and approvals that count no longer. Of
   * several replicas one writes each, and audits it. No right waits for this: who looks at a request sees it as it is, and
   * the approver who gives the last approval judges those before again.
   */
  async #reviewOpen(): Promise<void> {
    const { access } = this.#deps.store;
    const isLate = ({ openUntil }: AccessRequest): boolean => openUntil <= nowSeconds(this.#deps);
    const where: AccessQuery['where'] = (request, { sessionOver }) =>
      isLate(request) || sessionOver === true || approvalsOf(request).length > 0;
    for await (const { requests } of everyPage(access, { open: true, where, limit: PAGE })) {
      for (const stored of requests) {
        if (isLate(stored.request)) await this.#close(stored, { ...stored.request, state: 'expired' }, 'expired');
        else if (stored.sessionOver === true) await this.#close(stored, withSessionEnded(stored.request), 'session');
        else await this.#lapse(stored);
      }
    }
  }

  async #close(stored: StoredRequest, next: AccessRequest, ending: 'expired' | 'session'): Promise<void> {
    const written = await this.#deps.store.access.change(stored, next);
    if (!written.ok) return;
    const { request } = written.stored;
    const kind = ending === 'expired' ? 'expired' : 'withdrawn';
    auditDenied(this.#deps, request, { ending });
    this.#deps.countRequest?.(request.terms.name, kind);
    this.#deps.notify?.({ kind, request });
  }

  async #lapse(stored: StoredRequest): Promise<void> {
    const next = await withLapses(this.#deps, stored.request, { asksProvider: false });
    if (next === stored.request) return;
    const written = await this.#deps.store.access.change(stored, next);
    if (written.ok) auditLapses(this.#deps, stored.request, written.stored.request);
  }
}
