/** The web module on the memory store and the real revocation guard; provider and authorization server are in memory. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import supertest from 'supertest';
import { configuration } from '../../../src/config/schema.ts';
import type { Account } from '../../../src/core/identity/identity.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import { AppError } from '../../../src/core/errors.ts';
import { createTally } from '../../../src/core/rate-limit.ts';
import type { Caller } from '../../../src/core/credential/credential.ts';
import { no, ok } from '../../../src/core/result.ts';
import { createRevocationGuard } from '../../../src/revocation/guard.ts';
import type { RevocationGuard } from '../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { Store } from '../../../src/store/store.ts';
import type { WebConfig, WebDeps } from '../../../src/web/dependencies.ts';
import type { Clock } from '../../../src/contracts/clock.ts';
import type { Authorizations, PendingAuthorization } from '../../../src/contracts/authorization.ts';
import { createWeb, type Web } from '../../../src/web/web.ts';
import { DELEGATION } from '../../support/delegation-settings.ts';
import { emptySeen, watched } from './admin-answers.ts';
import { namesOf, TestProvider, users } from './test-provider.ts';

export const PUBLIC_URL = 'http://localhost:7444';

interface TestClock extends Clock {
  advance(seconds: number): void;
}

function testClock(): TestClock {
  let time = Date.parse('2026-11-25T12:00:00Z');
  return {
    nowMs: () => time,
    advance(seconds) {
      time += seconds * 1000;
    },
  };
}

/** The authorization server's side: a pending request per uid, known by a cookie of the browser that began it. */
class TestAuthorizations implements Authorizations {
  readonly waiting = new Map<string, PendingAuthorization>();
  readonly granted: { readonly id: string; readonly account: string }[] = [];
  readonly refused: { readonly error: string; readonly description: string }[] = [];
  failGrant = false;

  async pending(req: IncomingMessage): Promise<PendingAuthorization> {
    const uid = /(?:^|; )interaction=([^;]+)/.exec(req.headers.cookie ?? '')?.[1];
    const pending = uid === undefined ? undefined : this.waiting.get(uid);
    if (pending === undefined) throw new AppError('sign_in_expired', 'This sign-in is not known here.');
    return pending;
  }

  async grant(_req: IncomingMessage, res: ServerResponse, session: { id: string; account: string }): Promise<void> {
    if (this.failGrant) throw new Error('the grant could not be saved');
    this.granted.push(session);
    res.writeHead(303, { Location: 'http://127.0.0.1:51234/callback?code=canary-code' }).end();
  }

  async refuse(
    _req: IncomingMessage,
    res: ServerResponse,
    error: { error: string; description: string },
  ): Promise<void> {
    this.refused.push(error);
    res.writeHead(303, { Location: `http://127.0.0.1:51234/callback?error=${error.error}` }).end();
  }
}

/** The defaults. */
export const LIMITS = configuration.shape.limits.parse({});

const cluster = (name: string, allow: string): WebConfig['clusters'][number] => ({
  name,
  hosts: [`${name}.k8s.example.com`],
  publicUrl: `https://${name}.k8s.example.com:6443`,
  server: 'https://127.0.0.1:1',
  tokenFile: '/nowhere',
  allow,
  impersonate: { groups: '*', extra: [], constrained: 'off' },
  serviceAccountPassthrough: false,
});

function testConfig(change: Partial<WebConfig> = {}): WebConfig {
  return {
    publicUrl: PUBLIC_URL,
    clusters: [cluster('prod', '"corp:platform" in user.groups'), cluster('staging', 'true')],
    clockSkew: 60,
    contact: '#platform-help',
    providers: [
      { name: 'corp', type: 'okta', freshness: 'login' },
      { name: 'lab', type: 'github', freshness: 'none' },
    ],
    admin: { groups: ['corp:platform'], auditors: ['corp:security'], freshness: 900, dualControl: 'off' },
    workload: [],
    access: { roles: [], freshness: 900 },
    delegation: DELEGATION,
    sessions: configuration.shape.sessions.parse({}),
    limits: LIMITS,
    ...change,
  };
}

export interface Stage {
  readonly web: Web;
  readonly store: Store;
  readonly guard: RevocationGuard;
  readonly clock: TestClock;
  readonly corp: TestProvider;
  readonly lab: TestProvider;
  readonly authorizations: TestAuthorizations;
  readonly events: AuditEvent[];
  readonly logged: object[];
  readonly counted: string[];
  /** Tokens that the Bearer path accepts, and their callers. */
  readonly callers: Map<string, Caller>;
  readonly audit: { blocked: boolean };
  /** The store does not respond to renewals any more, and the lease runs out. */
  lapse(): void;
  /** The events of one name, in order. */
  named(event: string): readonly AuditEvent[];
}

export interface StageOptions {
  readonly config?: Partial<WebConfig>;
  readonly providers?: readonly TestProvider[];
  /** False: the revocation guard has not started, so this replica is fenced. */
  readonly leased?: boolean;
  readonly change?: (deps: WebDeps) => WebDeps;
  /** Another replica of this server, on the same store. */
  readonly beside?: Stage;
}

const opened: RevocationGuard[] = [];

/** The responses of the admin API in this file. */
export const seen = emptySeen();

/** Call it after each test: leaves no timer, and throws for responses that differ from the admin API's description. */
export async function closeStages(): Promise<void> {
  await Promise.all(opened.splice(0).map((guard) => guard.stop()));
  const errors = seen.errors.splice(0);
  if (errors.length > 0) throw new Error(`answers of the admin API that are not as described:\n${errors.join('\n')}`);
}

export const annotation = (event: AuditEvent | undefined, name: string): string | undefined =>
  event?.annotations[`portcullis.dev/${name}`];

async function startInstance(
  parts: { readonly store: Store; readonly clock: TestClock; readonly stall: { ms: number }; readonly name: string },
  leased: boolean,
): Promise<RevocationGuard> {
  const { store, clock, stall, name } = parts;
  const guard = createRevocationGuard({
    log: store.log,
    sessions: store.sessions,
    stalenessSeconds: 20,
    replicaName: name,
    monotonicMs: () => performance.now() + stall.ms,
    clock,
    longestTokenSeconds: 300,
    isFirstGeneration: true,
  });
  if (leased) {
    await guard.start();
    opened.push(guard);
  }
  return guard;
}

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const clock = options.beside?.clock ?? testClock();
  const store = options.beside?.store ?? createMemoryStore({ clock });
  const stall = { ms: 0 };
  const name = options.beside === undefined ? 'portcullis-0' : 'portcullis-1';
  const guard = await startInstance({ store, clock, stall, name }, options.leased ?? true);
  const [corp, lab] = [new TestProvider('corp'), new TestProvider('lab', { provesFreshness: false })];
  // Users have just authenticated, until a test says otherwise.
  corp.authTime = Math.floor(clock.nowMs() / 1000);
  const authorizations = new TestAuthorizations();
  const tally = createTally(clock);
  const [events, logged, counted]: [AuditEvent[], object[], string[]] = [[], [], []];
  const callers = new Map<string, Caller>();
  const audit = {
    blocked: false,
    record: (event: AuditEvent) => void events.push(event),
    recordAhead: async (event: AuditEvent) => events.push(event) > 0,
  };
  const log = (facts: object): void => void logged.push(facts);
  const deps: WebDeps = {
    config: testConfig(options.config),
    store,
    providers: new Map((options.providers ?? [corp, lab]).map((provider) => [provider.name, provider])),
    authorizations,
    cookieKeys: () => ['the key of this stage'],
    guard,
    audit,
    logger: { info: log, warn: log, error: log },
    metrics: {
      signIn: (provider, outcome) => void counted.push(`${provider} ${outcome}`),
      logoutRefused: (provider, reason) => void counted.push(`${provider} ${reason}`),
    },
    tooManySignIns: (address) => tally.add(address),
    clock,
    authenticate: async ({ token }) => {
      const caller = callers.get(token);
      return caller === undefined ? no('foreign_token') : ok(caller);
    },
    // Each user is there still.
    recheckUser: async (session) => {
      const record = await store.sessions.read(session);
      const checkedAt = Math.floor(clock.nowMs() / 1000);
      return record === undefined ? { kind: 'gone' } : { kind: 'same', record: { ...record, checkedAt } };
    },
    oauthHandler: (req, res) => void res.end(`oauth ${req.url ?? ''}`),
    apiCa: () => '-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n',
  };
  const web = watched(createWeb(options.change?.(deps) ?? deps), seen);
  const named = (event: string): readonly AuditEvent[] => events.filter((one) => annotation(one, 'event') === event);
  const parts = { web, store, guard, clock, corp, lab, authorizations, events, logged, counted, callers, audit };
  const lapse = (): void => {
    store.log.renew = async () => new Promise(() => {});
    stall.ms += 60_000;
  };
  return { ...parts, named, lapse };
}

export type Browser = ReturnType<typeof supertest.agent>;

export const browserAt = (stage: Stage): Browser => supertest.agent(stage.web.app);

export const locationOf = (response: { readonly headers: Record<string, string> }): string =>
  response.headers['location'] ?? '';

/** From the front page to the identity provider. @returns the state that the provider was given */
export async function beginAt(browser: Browser, provider = 'corp', to = 'me'): Promise<string> {
  const started = await browser.get(`/login/start?provider=${provider}&to=${to}`).expect(303);
  return new URL(locationOf(started)).searchParams.get('state') ?? '';
}

/** A complete browser sign-in, to My sessions. */
export async function signIn(browser: Browser, user: string, provider = 'corp'): Promise<void> {
  const state = await beginAt(browser, provider);
  const back = await browser.get(`/callback/${provider}?code=${user}&state=${state}`).expect(303);
  await browser.get(locationOf(back)).expect(303).expect('Location', '/me');
}

/** The CSRF token as a page carries it. */
export async function csrfOf(browser: Browser, page = '/me'): Promise<string> {
  const { text } = await browser.get(page).expect(200);
  return /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? '';
}

/** An authorization request that waits, and a browser that holds its cookie. */
export function pendingAt(stage: Stage, uid: string, hint?: string): Browser {
  stage.authorizations.waiting.set(uid, {
    uid,
    clientId: 'portcullis-cli',
    clientName: 'kubectl',
    ...(hint === undefined ? {} : { providerHint: hint }),
  });
  const browser = browserAt(stage);
  browser.jar.setCookie(`interaction=${uid}`, '127.0.0.1', '/');
  return browser;
}

/** Opens a kubectl session for one of the harness' users, or for another account with the same username. */
export async function openSession(stage: Stage, id: string, who: string, account?: Account): Promise<void> {
  const user = users[who];
  const { position } = stage.guard;
  if (user === undefined || position === undefined) throw new Error('no such user, or no lease');
  const now = Math.floor(stage.clock.nowMs() / 1000);
  const opened = await stage.store.sessions.open(
    {
      id,
      account: account ?? `corp/${user.subject}`,
      provider: 'corp',
      subject: user.subject,
      client: 'portcullis-cli',
      identity: user.identity,
      createdAt: now,
      expiresAt: now + 3600,
      idleSeconds: 3600,
      address: '203.0.113.7',
      userAgent: 'portcullis/0.1.0 (linux; x64)',
      startedAt: position,
      authTime: now,
      knownAs: namesOf(user),
    },
    { refreshToken: 'canary-provider-token' },
  );
  if (!opened.ok) throw new Error(`the session was refused: ${opened.reason}`);
}

/** A signed-in user, with the CSRF token for changes. */
export interface AdminAt {
  readonly stage: Stage;
  readonly browser: Browser;
  readonly csrf: string;
}

export async function signedInAs(who: string, options: StageOptions = {}): Promise<AdminAt> {
  const stage = await openStage(options);
  const browser = browserAt(stage);
  await signIn(browser, who);
  return { stage, browser, csrf: await csrfOf(browser) };
}

export const sessionsOf = (stage: Stage): Promise<number> => stage.store.sessions.count();
