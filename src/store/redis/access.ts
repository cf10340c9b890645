/** Access requests in Redis. */
import { approvalsOf, isOpen, type AccessRequest, type GrantPeriod } from '../../core/access/request.ts';
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
import { endText, openRequest, readStored, sealGrant, sealRequest, type ReadRequest } from './access-fields.ts';
import { accountDigest, cacheDigest, digest, grantDigest, sessionDigest } from './keys.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, number, text } from './reply.ts';
import type { Script } from './lua.ts';
import * as scripts from './scripts.ts';
import { unavailable } from './unavailable.ts';

/** The time is read just before it is sealed, and few write of one grant at once: its begin, and two ends. */
const ATTEMPTS = 5;
/** Grants of one script of `active`: about a millisecond. */
const PAGE = 50;

type Reply = readonly unknown[];

interface ActivePage {
  readonly grants: readonly ActiveGrant[];
  /** The place of the last one that was looked at; '' where there are no more. */
  readonly last: string;
}

/** A request that was opened: it is the same for as long as its fields are. */
interface Opened {
  /** Of the fields as Redis had them. */
  readonly digest: string;
  readonly stored: StoredRequest;
}

export class RedisAccess implements AccessStore {
  readonly #parts: RedisParts;
  /**
   * Those that were active at the last look, by their hash. Each replica looks every two seconds: to open each of a
   * thousand takes three times the processor's time that it takes to see that it is as it was.
   */
  #opened: ReadonlyMap<string, Opened> = new Map();

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  async create(
    request: AccessRequest,
    { grantSeconds }: { readonly grantSeconds?: number } = {},
  ): Promise<AccessWrite> {
    return await this.#write(request.id, async ({ epoch, servedMs }) => {
      const written = grantSeconds === undefined ? request : grantedFrom(request, servedMs, grantSeconds);
      const next = { request: written, version: 1 };
      const args = [
        epoch,
        grantDigest(request.id),
        accountDigest(request.account),
        sessionDigest(request.session),
        cacheDigest(request.session),
        request.openUntil,
        await sealRequest(this.#parts, epoch, next),
        digest(request.terms.name),
        ...(await this.#grant(written)),
      ];
      return { next, reply: await this.#run(scripts.createRequest, args) };
    });
  }

  async find(id: string): Promise<StoredRequest | undefined> {
    return (await readStored(this.#parts, id)).stored;
  }

  async list({ account, open, where, ...query }: AccessQuery): ReturnType<AccessStore['list']> {
    const page = new Page<StoredRequest>(
      { ...query, ...(where === undefined ? {} : { where: (stored: StoredRequest) => where(stored.request, stored) }) },
      'newest',
    );
    const [of, state] = [account === undefined ? '' : accountDigest(account), open === undefined ? '' : 'open'];
    let from: number | string = page.after ?? '';
    let more = true;
    while (more && page.remaining > 0) {
      const reply = await this.#run(scripts.listRequests, [of, state, from, page.remaining]);
      const found = list(reply[2]).map(async (item) => {
        const [hash, fields, place, left] = list(item);
        return { stored: await openRequest(this.#parts, text(hash), fields, left), place: number(place) };
      });
      for (const { stored, place } of await Promise.all(found)) page.add(stored, place);
      more = reply[0] === 'MORE';
      from = text(reply[1]);
    }
    const { items, ...end } = page.end(more);
    return { requests: items, ...end };
  }

  async change(read: StoredRequest, changed: AccessRequest): Promise<AccessWrite> {
    checkedChange(changed);
    const { id } = read.request;
    return await this.#write(id, async ({ epoch }) => {
      const next = { request: changedTo(read.request, changed), version: read.version + 1 };
      const sealed = await sealRequest(this.#parts, epoch, next);
      const args = [epoch, grantDigest(id), read.version, next.request.state, sealed];
      return { next, reply: await this.#run(scripts.changeRequest, args) };
    });
  }

  async begin(read: StoredRequest, changed: AccessRequest, grantSeconds: number): Promise<AccessWrite> {
    const { id, account, session } = read.request;
    // By what is sealed as well: an attacker who can write to Redis gives a request back its time.
    if (!isOpen(read.request, this.#seconds())) return { ok: false, reason: 'request_over' };
    return await this.#write(id, async ({ epoch, servedMs }) => {
      const request = grantedFrom(changedTo(read.request, changed), servedMs, grantSeconds);
      const next = { request, version: read.version + 1 };
      const args = [
        epoch,
        grantDigest(id),
        read.version,
        accountDigest(account),
        sessionDigest(session),
        cacheDigest(session),
        await sealRequest(this.#parts, epoch, next),
        digest(request.terms.name),
        ...(await this.#grant(request)),
        ...approvalsOf(request).flatMap(({ account: by, session: own }) =>
          own === undefined ? [] : [accountDigest(by), sessionDigest(own)],
        ),
      ];
      return { next, reply: await this.#run(scripts.beginGrant, args) };
    });
  }

  async note(id: string, note: GrantNote): Promise<StoredRequest | undefined> {
    return await this.#update(id, scripts.noteGrant, (request) => notedWith(request, note));
  }

  async ended(
    id: string,
    ending: Pick<GrantPeriod, 'ending' | 'endedBy' | 'revocation'>,
  ): Promise<StoredRequest | undefined> {
    return await this.#update(id, scripts.endGrant, (request) => endedWith(request, ending, this.#seconds()));
  }

  async active(): Promise<readonly ActiveGrant[]> {
    const grants: ActiveGrant[] = [];
    const opened = new Map<string, Opened>();
    for (let from: string | undefined = ''; from !== undefined;) {
      const page: ActivePage = await this.#activeAfter(from, opened);
      grants.push(...page.grants);
      from = page.last || undefined;
    }
    this.#opened = opened;
    return grants;
  }

  async activePage(cursor?: string): ReturnType<AccessStore['activePage']> {
    const after = cursor === undefined ? '' : String(decodeCursor('oldest', cursor));
    const { grants, last } = await this.#activeAfter(after);
    return { grants, ...(last === '' ? {} : { cursor: encodeCursor('oldest', Number(last)) }) };
  }

  /**
   * @param from a place after which to begin, or ''
   * @param opened is given those that are active
   */
  async #activeAfter(from: string, opened?: Map<string, Opened>): Promise<ActivePage> {
    const reply = await this.#run(scripts.activeGrants, [from, PAGE]);
    const servedMs = number(reply[1]);
    const found = list(reply[3]).map(async (item) => {
      const [hash, fields, active] = list(item);
      const read = await this.#open(text(hash), list(fields));
      const endsAt = read?.stored.request.grant?.endsAt;
      if (read === undefined || endsAt === undefined) return [];
      const { stored } = read;
      opened?.set(text(hash), read);
      return { stored, leftMs: endsAt - servedMs, sessionActive: number(active) === 1 };
    });
    return { grants: (await Promise.all(found)).flat(), last: text(reply[2]) };
  }

  async #open(hash: string, fields: readonly unknown[]): Promise<Opened | undefined> {
    const of = digest(JSON.stringify(fields));
    const known = this.#opened.get(hash);
    if (known?.digest === of) return known;
    const stored = await openRequest(this.#parts, hash, fields);
    return stored && { digest: of, stored };
  }

  async claimEnding(id: string, holder: string, ttlSeconds: number): Promise<boolean> {
    const until = this.#parts.clock.nowMs() + Math.round(ttlSeconds * 1000);
    const args = [grantDigest(id), holder, until, cleanUpAfter(ttlSeconds)];
    return number((await this.#run(scripts.claimEnding, args))[1]) === 1;
  }

  /** @param change returns undefined where nothing is to be written */
  async #update(
    id: string,
    script: Script,
    change: (request: AccessRequest) => AccessRequest | undefined,
  ): Promise<StoredRequest | undefined> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const { stored, epoch } = await readStored(this.#parts, id);
      if (stored === undefined) return undefined;
      const request = change(stored.request);
      if (request === undefined) return stored;
      const next = { request, version: stored.version + 1 };
      const sealed = await sealRequest(this.#parts, epoch, next);
      const args = [epoch, grantDigest(id), stored.version, sessionDigest(request.session), sealed];
      const reply = await this.#run(script, args);
      if (reply[0] === 'OK') return next;
    }
    throw unavailable('redis_error', new Error('a request changed faster than it could be written'));
  }

  /** Reads the epoch and the time, then writes what is sealed for them. */
  async #write(
    id: string,
    attempt: (read: ReadRequest) => Promise<{ readonly next: StoredRequest; readonly reply: Reply }>,
  ): Promise<AccessWrite> {
    for (let left = ATTEMPTS; left > 0; left -= 1) {
      const { next, reply } = await attempt(await readStored(this.#parts, id));
      if (reply[0] === 'OK') return { ok: true, stored: structuredClone(next) };
      if (reply[0] === 'NO') return { ok: false, reason: text(reply[1]) as AccessWriteRejection };
    }
    throw unavailable('redis_error', new Error('the time of Redis moved while a grant began'));
  }

  /** Returns what only a request with a grant has: when it began and ends, and the sealed grant. */
  async #grant(request: AccessRequest): Promise<readonly (string | number)[]> {
    const grant = grantInSession(request);
    if (grant === undefined || request.grant === undefined) return ['', '', ''];
    return [request.grant.beganAt, endText(request), await sealGrant(this.#parts, request.session, grant)];
  }

  async #run(script: Script, args: readonly (string | number)[]): Promise<Reply> {
    return await this.#parts.runner.run(this.#parts.main, script, args);
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock.nowMs() / 1000);
  }
}
