/** Sessions in Redis. */
import { sessionExists } from '../errors.ts';
import { FRESH_TOLERANCE_SECONDS, PROVIDER_SESSION_CLOSED_SECONDS } from '../lifetimes.ts';
import { isAscending, orderOf, MOST_TALLIED, Page } from '../pages.ts';
import { isPossible, labelOf, withAncestors } from '../delegated.ts';
import { changesBy } from '../session-change.ts';
import type {
  DelegatedLabel,
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
import { openGrants } from './access-fields.ts';
import { accountDigest, cacheDigest, digest, providerSessionDigest, sessionDigest } from './keys.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, number, text } from './reply.ts';
import type { Script } from './lua.ts';
import * as scripts from './scripts.ts';
import {
  ancestorDigests,
  openRecord,
  readAbove,
  readFields,
  sealedPart,
  viaDigest,
  type FieldsByDigest,
  type SealedRecord,
  type SessionFields,
} from './session-fields.ts';
import { unavailable } from './unavailable.ts';

/** Two concurrent re-checks of one session are rare (there is a claim); more than this many in a row are an error. */
const UPDATE_ATTEMPTS = 5;

/** So many are counted in one script, then Redis has its turn for others. */
const TALLY_BATCH = 200;

/** Returns the name of the index for a query. */
function indexOf(
  {
    account,
    ancestor,
    username,
    providerSession,
  }: Pick<SessionQuery, 'account' | 'ancestor' | 'username' | 'providerSession'>,
  order: SessionOrder,
): string {
  if (ancestor !== undefined) return `beneath:${sessionDigest(ancestor)}`;
  if (account !== undefined) return `account:${accountDigest(account)}`;
  if (providerSession !== undefined) {
    return `provider-session:${providerSessionDigest(providerSession.provider, providerSession.sid)}`;
  }
  if (username !== undefined) return `user:${digest(username)}`;
  return order === 'newest' || order === 'oldest' ? 'sessions' : 'used';
}

/** Sessions above others that one call has opened, by their digests. */
type OpenedParents = Map<string, Promise<SessionRecord | undefined>>;

export class RedisSessions implements SessionStore {
  readonly #parts: RedisParts;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  async open(
    session: NewSession,
    secret: SessionSecret,
    { mostDelegations = 0 }: { readonly mostDelegations?: number } = {},
  ): Promise<MintOutcome> {
    const hash = sessionDigest(session.id);
    const { delegation } = session;
    if (delegation !== undefined && !isPossible(delegation)) return { ok: false, reason: 'parent_over' };
    const reply = await this.#run(scripts.openSession, [
      hash,
      accountDigest(session.account),
      session.provider,
      session.startedAt.epoch,
      session.startedAt.number,
      session.expiresAt,
      session.idleSeconds,
      session.createdAt,
      cleanUpAfter(session.expiresAt - this.#seconds()),
      await this.#sealRecord(hash, { ...session, version: 1 }),
      await this.#sealSecret(hash, secret),
      digest(session.identity.username),
      viaDigest(session.via),
      session.authTime ?? '',
      providerSessionDigest(session.provider, session.providerSid),
      FRESH_TOLERANCE_SECONDS,
      session.thumbprint ?? '',
      ancestorDigests(delegation),
      delegation === undefined ? '' : await this.#sealLabel(hash, labelOf(session.id, delegation)),
      mostDelegations,
    ]);
    if (reply[0] === 'EXISTS') throw sessionExists();
    return await this.#outcome(hash, reply);
  }

  async mint(id: string, { thumbprint }: { readonly thumbprint?: string }): Promise<MintOutcome> {
    const hash = sessionDigest(id);
    return await this.#outcome(hash, await this.#run(scripts.mintSession, [hash, thumbprint ?? '']));
  }

  async read(id: string): Promise<SessionRecord | undefined> {
    const hash = sessionDigest(id);
    const outcome = await this.#outcome(hash, await this.#run(scripts.readSession, [hash]));
    return outcome.ok ? outcome.record : undefined;
  }

  async readSecret(id: string): Promise<SessionSecret | undefined> {
    const hash = sessionDigest(id);
    const reply = await this.#run(scripts.readSession, [hash]);
    if (reply[0] !== 'OK') return undefined;
    const secret = await this.#parts.sealer.open(readFields(reply[3]).secret, this.#parts.keys.sealedSecret(hash));
    if (secret === undefined) this.#parts.reportTampered('session secret');
    return secret as SessionSecret | undefined;
  }

  async update(id: string, change: SessionChange): Promise<SessionRecord | undefined> {
    const hash = sessionDigest(id);
    for (let attempt = 0; attempt < UPDATE_ATTEMPTS; attempt += 1) {
      const record = await this.read(id);
      if (record === undefined) return undefined;
      const changes = changesBy(record, change);
      const reply = await this.#run(scripts.updateSession, [
        hash,
        record.version,
        await this.#sealSecret(hash, change.secret),
        ...(await this.#changedRecord(hash, record, changes?.parts)),
        change.checked === false ? 'no' : 'yes',
        changes?.isIdentity === true ? hash : cacheDigest(id),
      ]);
      if (reply[0] === 'STALE') continue;
      const outcome = await this.#outcome(hash, reply);
      return outcome.ok ? outcome.record : undefined;
    }
    throw unavailable('redis_error', new Error('a session changed faster than it could be updated'));
  }

  async prove(id: string, authTime: number): Promise<SessionRecord | undefined> {
    const hash = sessionDigest(id);
    for (let attempt = 0; attempt < UPDATE_ATTEMPTS; attempt += 1) {
      const record = await this.read(id);
      if (record === undefined || record.delegation !== undefined) return undefined;
      if ((record.authTime ?? 0) >= authTime) return record;
      const reply = await this.#run(scripts.updateSession, [
        hash,
        record.version,
        '',
        await this.#sealRecord(hash, { ...sealedPart(record), authTime, version: record.version + 1 }),
        digest(record.identity.username),
        cleanUpAfter(record.expiresAt - this.#seconds()),
        'no',
        cacheDigest(id),
      ]);
      if (reply[0] === 'STALE') continue;
      const outcome = await this.#outcome(hash, reply);
      return outcome.ok ? outcome.record : undefined;
    }
    throw unavailable('redis_error', new Error('a session changed faster than it could be updated'));
  }

  async list(query: SessionQuery): Promise<SessionPage> {
    const page = new Page<SessionRecord>(query, orderOf(query));
    const index = indexOf(query, page.order);
    const direction = isAscending(page.order) ? 'up' : 'down';
    const only = query.account === undefined ? '' : (query.only ?? '');
    let from: number | string = page.after ?? '';
    let more = true;
    while (more && page.remaining > 0) {
      const reply = await this.#run(scripts.listSessions, [index, from, page.remaining, direction, only]);
      const above = readAbove(reply[3]);
      // Hundreds may be beneath one session, which is opened once.
      const parents: OpenedParents = new Map();
      const found = list(reply[2]).map((item) => this.#listed(item, above, parents));
      for (const { record, position } of await Promise.all(found)) page.add(record, position);
      more = reply[0] === 'MORE';
      from = text(reply[1]);
    }
    const { items, ...end } = page.end(more);
    return { sessions: items, ...end };
  }

  async closeProviderSession({ provider, sid }: ProviderSession): Promise<void> {
    const until = this.#parts.clock.nowMs() + PROVIDER_SESSION_CLOSED_SECONDS * 1000;
    const args = [providerSessionDigest(provider, sid), until, cleanUpAfter(PROVIDER_SESSION_CLOSED_SECONDS)];
    await this.#run(scripts.closeProviderSession, args);
  }

  async count(): Promise<number> {
    return number((await this.#run(scripts.countSessions, []))[1]);
  }

  async tally({ provider, ...group }: SessionGroup): Promise<SessionTally> {
    const index = provider === undefined ? indexOf(group, 'newest') : `ends:${provider}`;
    const accounts = new Set<string>();
    let [sessions, delegated, more] = [0, 0, true];
    for (let first = 0; more && first < MOST_TALLIED; first += TALLY_BATCH) {
      const reply = await this.#run(scripts.tallySessions, [index, first, TALLY_BATCH]);
      sessions += number(reply[1]);
      delegated += number(reply[2]);
      for (const account of list(reply[3])) accounts.add(text(account));
      more = reply[0] === 'MORE';
    }
    return { sessions, delegated, users: accounts.size, more };
  }

  async claimRecheck(id: string, holder: string, ttlSeconds: number): Promise<boolean> {
    const until = this.#parts.clock.nowMs() + Math.round(ttlSeconds * 1000);
    const args = [sessionDigest(id), holder, until, cleanUpAfter(ttlSeconds)];
    return number((await this.#run(scripts.claimRecheck, args))[1]) === 1;
  }

  async releaseRecheck(id: string, holder: string): Promise<void> {
    await this.#run(scripts.releaseRecheck, [sessionDigest(id), holder]);
  }

  async #run(script: Script, args: readonly (string | number)[]): Promise<readonly unknown[]> {
    return await this.#parts.runner.run(this.#parts.main, script, args);
  }

  async #outcome(hash: string, reply: readonly unknown[]): Promise<MintOutcome> {
    if (reply[0] === 'UNSETTLED') throw unavailable('epoch_unsettled');
    if (reply[0] !== 'OK') return { ok: false, reason: text(reply[1]) as MintRejection };
    const record = await this.#open(hash, readFields(reply[3]), readAbove(reply[4]));
    if (record === undefined) return { ok: false, reason: 'session_unknown' };
    // safeguard: MINTED_AT
    const mintedAt = number(reply[2]);
    return { ok: true, position: { epoch: text(reply[1]), number: mintedAt }, record };
  }

  async #listed(
    item: unknown,
    above: FieldsByDigest,
    parents: OpenedParents,
  ): Promise<{ readonly record: SessionRecord | undefined; readonly position: number }> {
    const [hash, fields, position] = list(item);
    return { record: await this.#open(text(hash), readFields(fields), above, parents), position: number(position) };
  }

  /** Opens a session. A delegated one has the identity of its user's own session, and ends when one above it is idle. */
  async #open(
    hash: string,
    fields: SessionFields,
    above: FieldsByDigest,
    parents: OpenedParents = new Map(),
  ): Promise<SessionRecord | undefined> {
    const record = await this.#openAlone(hash, fields);
    if (record === undefined) return undefined;
    if (record.delegation === undefined) {
      const grants = await openGrants(this.#parts, hash, fields.grants);
      return grants.length === 0 ? record : { ...record, grants };
    }
    const ancestors = await Promise.all(
      record.delegation.ancestors.map(async (ancestor) => {
        const itsHash = sessionDigest(ancestor);
        const itsFields = above.get(itsHash);
        if (itsFields === undefined) return undefined;
        const opened = parents.get(itsHash) ?? this.#openAlone(itsHash, itsFields);
        parents.set(itsHash, opened);
        return await opened;
      }),
    );
    return withAncestors(record, ancestors);
  }

  async #openAlone(hash: string, fields: SessionFields): Promise<SessionRecord | undefined> {
    const sealed = await this.#parts.sealer.open(fields.record, this.#parts.keys.sealedRecord(hash));
    const record = openRecord(sealed as SealedRecord | undefined, fields);
    if (record === undefined) this.#parts.reportTampered('session record');
    return record;
  }

  /** Returns the arguments of an update that depend on what has changed. */
  async #changedRecord(
    hash: string,
    record: SessionRecord,
    parts: Partial<SessionRecord> | undefined,
  ): Promise<(string | number)[]> {
    if (parts === undefined) return ['', '', 0];
    const changed = { ...sealedPart(record), ...parts };
    return [
      await this.#sealRecord(hash, changed),
      digest(changed.identity.username),
      cleanUpAfter(record.expiresAt - this.#seconds()),
    ];
  }

  async #sealRecord(hash: string, record: SealedRecord): Promise<string> {
    return await this.#parts.sealer.seal(record, this.#parts.keys.sealedRecord(hash));
  }

  async #sealLabel(hash: string, label: DelegatedLabel): Promise<string> {
    return await this.#parts.sealer.seal(label, this.#parts.keys.sealedLabel(hash));
  }

  async #sealSecret(hash: string, secret: SessionSecret): Promise<string> {
    return await this.#parts.sealer.seal(secret, this.#parts.keys.sealedSecret(hash));
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock.nowMs() / 1000);
  }
}
