/** What is stored where an attacker has filled everything that has a limit, opened in the store itself. */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { RunningDemo } from '../../../demo/launch.ts';
import { BROWSER_CLIENT, PLUGIN_CLIENT_ID } from '../../../src/core/core.ts';
import {
  MOST_GRANTS,
  MOST_GRANTS_OF_SESSION,
  MOST_OPEN,
  MOST_OPEN_OF_ACCOUNT,
  MOST_REASON,
  OPEN_SECONDS,
  type AccessRequest,
  MOST_DAILY_OF_ACCOUNT,
} from '../../../src/core/access/request.ts';
import { MOST_LEVELS, MOST_LIMIT_BYTES, type Delegation } from '../../../src/core/delegation/delegation.ts';
import { AppError } from '../../../src/core/errors.ts';
import type { RightsLimit } from '../../../src/core/delegation/rights.ts';
import type { NewSession } from '../../../src/store/store.ts';

type Server = Pick<RunningDemo['server'], 'store' | 'guard'>;

/** Live sessions of one account, as many as it may have. Some are left for what a test opens, or opens twice on a busy machine. */
const MOST_SESSIONS = 880;
const CROWD = MOST_GRANTS / MOST_GRANTS_OF_SESSION;
const AT_ONCE = 16;
/** Accounts that sign out everywhere, with so many sessions each. */
const LEAVERS = 24;
const OF_LEAVER = 20;
/** Accounts that are revoked by their username, with so many sessions each. */
const REVOKED = 13;
/** The last of them, for what is shown of a revocation. */
export const ENDED = `revoked-${REVOKED - 1}`;
export const OF_REVOKED = 100;
/** Accounts that hold something open, and the sessions of each. */
const HOLDERS = 28;
export const OF_HOLDER = 5;
export const LAST_HOLDER = `holder-${HOLDERS - 1}`;

const newId = (): string => randomBytes(16).toString('base64url');

/** A user's groups: more than most have, and each as long as names of groups are. */
export const GROUPS = Array.from({ length: 100 }, (_, index) => `demo:${'g'.repeat(50)}-${index}`);

/** One limit that has nearly as many bytes as all limits of a session may have. */
export const largestLimit = (seed: string): RightsLimit => {
  const names = Array.from({ length: 100 }, (_, index) => `${'n'.repeat(52)}-${seed}-${index}`);
  const limit = { rules: [{ verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'], resourceNames: names }] };
  const excess = Math.ceil((JSON.stringify(limit).length - MOST_LIMIT_BYTES) / 64);
  return { rules: limit.rules.map((rule) => ({ ...rule, resourceNames: names.slice(Math.max(0, excess)) })) };
};

const CHAIN = Array.from({ length: 28 }, (_, index) => `${'n'.repeat(52)}-${index}`);
/** The one thing that the lowest session of a chain may read. */
export const CHAIN_NAME = CHAIN.at(-1) ?? '';

/** Of one level of a chain, a share of the bytes of all: what the level above it has, but for one name. */
export const chainLimit = (level: number): RightsLimit => ({
  rules: [{ verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'], resourceNames: CHAIN.slice(level) }],
});

export interface Browser {
  /** As a `Cookie` header. */
  readonly cookie: string;
  readonly csrf: string;
}

/** The store of a server, to fill it. */
export class State {
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  async open(
    subject: string,
    change: Partial<NewSession> = {},
    options: { readonly mostDelegations?: number } = {},
  ): Promise<string> {
    const { store, guard } = this.#server;
    const { position } = guard;
    if (position === undefined) throw new Error('the server has no lease');
    const now = Math.floor(Date.now() / 1000);
    const session: Omit<NewSession, 'id'> = {
      account: `demo/${subject}`,
      provider: 'demo',
      subject,
      client: PLUGIN_CLIENT_ID,
      identity: { username: `demo:${subject}`, uid: `demo/${subject}`, groups: GROUPS, extra: {} },
      createdAt: now,
      expiresAt: now + 3600,
      idleSeconds: 3600,
      address: '2001:db8:1234:5678:9abc:def0:1234:5678',
      userAgent: `portcullis/0.1.0-${'x'.repeat(200)}`,
      deviceName: 'w'.repeat(64),
      startedAt: position,
      authTime: now,
      knownAs: [`${subject}@example.com`],
      ...change,
    };
    // Another id each time: the one before may have been opened although its response came too late.
    return patiently(async () => {
      const id = newId();
      const opened = await store.sessions.open({ ...session, id }, {}, options);
      if (!opened.ok) throw new Error(`the session was refused: ${opened.reason}`);
      return id;
    });
  }

  /**
   * A delegated session.
   * @param limits by default as large as they may be
   */
  async delegate(
    subject: string,
    ancestors: readonly string[],
    seed: string,
    limits: readonly RightsLimit[] = [largestLimit(seed)],
  ): Promise<string> {
    const actors = ancestors.map(() => ({ name: 'a'.repeat(63) }));
    const delegation: Delegation = { ancestors, actors, clusters: ['demo'], limits };
    // Not later than any of those above it.
    const expiresAt = Math.floor(Date.now() / 1000) + 3600 - 60 * ancestors.length;
    return this.open(subject, { delegation, expiresAt }, { mostDelegations: 1000 });
  }

  /** As many sessions beneath one another as there may be, all limits together as large as they may be. @returns the last two */
  async chain(subject: string, own: string): Promise<{ readonly parent: string; readonly last: string }> {
    const ids = [own];
    for (let level = 1; level <= MOST_LEVELS; level += 1) {
      const limits = Array.from({ length: level }, (_, index) => chainLimit(index));
      ids.push(await this.delegate(subject, ids, '', limits));
    }
    return { parent: ids.at(-2) ?? '', last: ids.at(-1) ?? '' };
  }

  /** A browser in which this user is signed in. */
  async browser(subject: string, groups: readonly string[]): Promise<Browser> {
    const { store, guard } = this.#server;
    const identity = { username: `demo:${subject}`, uid: `demo/${subject}`, groups: [...groups, ...GROUPS], extra: {} };
    const session = await this.open(subject, { client: BROWSER_CLIENT, identity });
    const [value, csrf] = [randomBytes(32).toString('base64url'), newId()];
    const payload = { session, csrf, position: { ...guard.position } };
    await store.artefacts.save('BrowserCookie', value, payload, { ttlSeconds: 3600, session });
    return { cookie: `portcullis=${value}`, csrf };
  }

  /** Sessions of accounts that may do everything, five of each. @returns ids */
  openHolders(): Promise<readonly string[]> {
    const groups = ['demo:admins', 'demo:developers', ...GROUPS];
    return inTurns(numbers(HOLDERS * OF_HOLDER), (index) => {
      const subject = `holder-${Math.floor(index / OF_HOLDER)}`;
      const identity = { username: `demo:${subject}`, uid: `demo/${subject}`, groups, extra: {} };
      return this.open(subject, { identity });
    });
  }

  /** Requests of one account, all of them open, or granted or withdrawn at once. @returns ids */
  async ask(
    subject: string,
    session: string,
    count: number,
    {
      granted,
      withdrawn = false,
      group,
    }: { readonly granted: boolean; readonly withdrawn?: boolean; readonly group: string },
  ): Promise<readonly string[]> {
    const now = Math.floor(Date.now() / 1000);
    const ids: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const id = newId();
      const role = granted ? 'break-glass' : 'shop-admins';
      const request: AccessRequest = {
        id,
        session,
        account: `demo/${subject}`,
        provider: 'demo',
        username: `demo:${subject}`,
        knownAs: [subject],
        terms: {
          name: granted ? `${role}-${index}` : role,
          description: 'w'.repeat(200),
          groups: [`granted:${'g'.repeat(120)}`],
          requesters: [group],
          approval: granted ? 'none' : { groups: ['demo:admins'], count: 1 },
        },
        reason: 'r'.repeat(MOST_REASON),
        seconds: 3600,
        requestedAt: now,
        openUntil: now + OPEN_SECONDS,
        address: '2001:db8:1234:5678:9abc:def0:1234:5678',
        deviceName: 'w'.repeat(64),
        state: granted ? 'granted' : 'open',
        decisions: [],
      };
      const options = granted ? { grantSeconds: 3600 } : {};
      const write = await patiently(() => this.#server.store.access.create(request, options));
      // One that was written although its response came too late is there twice.
      if (!write.ok) break;
      if (withdrawn)
        await patiently(() => this.#server.store.access.change(write.stored, { ...request, state: 'withdrawn' }));
      // Or the server would be busy for seconds with auditing that they began.
      if (granted) await patiently(() => this.#server.store.access.note(id, { audited: true }));
      ids.push(id);
    }
    return ids;
  }
}

/** Tries again where a busy machine has let a command of the store take too long. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 20 || !(error instanceof AppError)) throw error;
      await pause(200);
    }
  }
}

async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE)
    results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(work))));
  return results;
}

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

export interface Filled {
  /** root's own. */
  readonly own: readonly string[];
  /** Beneath alice's. */
  readonly delegated: readonly string[];
  /** Sessions of as many accounts. */
  readonly crowd: readonly string[];
  /** Access requests that wait for root. */
  readonly waiting: readonly string[];
  readonly rootBrowser: Browser;
  readonly aliceBrowser: Browser;
  /** Each of an account of its own, which has twenty other sessions. */
  readonly leavers: readonly Browser[];
}

/** @param alice her session, which has the delegated ones beneath it */
export async function fill(state: State, alice: string): Promise<Filled> {
  const [rootBrowser, aliceBrowser] = [
    await state.browser('root', ['demo:admins']),
    await state.browser('alice', ['demo:developers']),
  ];
  const own = await inTurns(numbers(MOST_SESSIONS), () => state.open('root'));
  const delegated = await inTurns(numbers(MOST_SESSIONS), (index) => state.delegate('alice', [alice], String(index)));
  const asked = { granted: false, withdrawn: true, group: 'demo:developers' };
  await state.ask('alice', alice, MOST_DAILY_OF_ACCOUNT, asked);
  const crowd = await inTurns(numbers(CROWD), (index) => state.open(`crowd-${index}`));
  await inTurns(numbers(CROWD), (index) =>
    state.ask(`crowd-${index}`, crowd[index] ?? '', MOST_GRANTS_OF_SESSION, { granted: true, group: GROUPS[0] ?? '' }),
  );
  const waiting = await inTurns(numbers(MOST_OPEN / MOST_OPEN_OF_ACCOUNT), (index) =>
    state.ask(`crowd-${index}`, crowd[index] ?? '', MOST_OPEN_OF_ACCOUNT, { granted: false, group: GROUPS[0] ?? '' }),
  );
  await inTurns(numbers(REVOKED * OF_REVOKED), (index) => state.open(`revoked-${index % REVOKED}`));
  await inTurns(numbers(LEAVERS * OF_LEAVER), (index) => state.open(`leaver-${index % LEAVERS}`));
  const leavers = await inTurns(numbers(LEAVERS), (index) => state.browser(`leaver-${index}`, []));
  return { own, delegated, crowd, waiting: waiting.flat(), rootBrowser, aliceBrowser, leavers };
}
