/**
 * A rolling update from this version to one that adds whatever it may add (docs/upgrade.md, "Two versions side by side"), and back, under load:
 * replicas of both are separate processes on one Redis, behind a balancer that assigns connections as a Service does.
 */
import { once } from 'node:events';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { Redis } from 'ioredis';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ADMIN_AUDIENCE } from '../../src/core/core.ts';
import { ROOT, type BrokenCopy } from '../chaos/broken-copy.ts';
import { startFront, type Backend } from '../fixtures/front.ts';
import { pairsOf, PREFIX } from '../fixtures/frozen-store.ts';
import { writeInstanceFile } from '../fixtures/instance-file.ts';
import { copyOfNextVersion, NEXT } from '../fixtures/next-version.ts';
import { startServing, type Serving } from '../fixtures/serving.ts';
import { CookieBrowser } from '../support/cookie-browser.ts';
import { freePortBase, startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey, OAuthClient, type Answer, type ClientKey, type SignedIn } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { startRefreshing, type RefreshingLoad } from '../support/refreshing-load.ts';
import { startLoad, type Load } from '../support/steady-load.ts';

const PODS = '/api/v1/namespaces/default/pods';
const PATIENCE = { timeout: 60_000, interval: 100 };
/** Replicas come and go in it, on a machine that is busy with the load. */
const LONG = { timeout: 180_000 };

interface Replica extends Backend, Serving {}

let redis: RedisServer;
let bare: Redis;
let instance: TestInstance;
let next: BrokenCopy;
let front: AsyncDisposable;
let ca: string;
let key: ClientKey;
let alice: OAuthClient;
let signedIn: SignedIn;
let browser: CookieBrowser;
let loads: Load[] = [];
let refreshing: RefreshingLoad;
let watching: Watching;
/** Those that take connections. */
let replicas: readonly Replica[] = [];
let started = 0;

async function startReplica(root: string): Promise<Replica> {
  started += 1;
  const base = await freePortBase();
  const ports = { api: base, web: base + 1, ops: base + 2 };
  const shutdown = { delay: '1s', grace: '20s' };
  const file = await writeInstanceFile(instance.files, `replica-${started}`, { ports, shutdown });
  return { ...(await startServing({ root, file, opsPort: ports.ops })), ports };
}

/** As a Deployment does: the new one is ready before the old one gets the signal to stop. */
async function replaceOldest(root: string): Promise<void> {
  const fresh = await startReplica(root);
  const [old, ...others] = replicas;
  replicas = [...replicas, fresh];
  const ended = await old?.stop();
  expect(ended?.code, ended?.said).toBe(0);
  replicas = [...others, fresh];
}

interface Watching {
  readonly opened: () => number;
  readonly failures: readonly string[];
  stop(): Promise<void>;
}

/** A watch as clients keep it: one that ends in good order is begun again. */
function startWatching(token: string): Watching {
  const failures: string[] = [];
  const stopping = new AbortController();
  let opened = 0;
  const watch = async (): Promise<void> => {
    const { close, ended } = await openWatch(token, key);
    stopping.signal.addEventListener('abort', close);
    opened += 1;
    if (!(await ended) && !stopping.signal.aborted) failures.push('a watch was cut');
    stopping.signal.removeEventListener('abort', close);
  };
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      await watch().catch((error: unknown) => stopping.signal.aborted || failures.push(String(error)));
    }
  })();
  return {
    opened: () => opened,
    failures,
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}

interface OpenWatch {
  /** Whether it ended in good order: else it was cut. */
  readonly ended: Promise<boolean>;
  readonly close: () => void;
}

async function openWatch(token: string, certificate: ClientKey): Promise<OpenWatch> {
  const headers = { authorization: `Bearer ${token}` };
  const asked = request(`${instance.urls.api}${PODS}?watch=1`, { agent: false, ca, ...certificate, headers });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  // Each of the two reports what it has cut.
  for (const emitter of [asked, answer]) emitter.on('error', () => {});
  if (answer.statusCode !== 200) throw new Error(`a watch was answered ${answer.statusCode}`);
  const ended = new Promise<boolean>((resolve) => answer.once('close', () => resolve(answer.complete)));
  answer.resume();
  return { ended, close: () => void asked.destroy() };
}

beforeAll(async () => {
  redis = await startRedis();
  bare = new Redis(redis.url);
  instance = await startTestInstance({ redis: redis.url });
  // Its provider and its cluster stay; the balancer in front of the replicas takes its address.
  await instance.server.stop();
  next = await copyOfNextVersion();
  replicas = [await startReplica(ROOT), await startReplica(ROOT)];
  const portOf = (url: string): number => Number(new URL(url).port);
  front = await startFront({ api: portOf(instance.urls.api), web: portOf(instance.urls.web) }, () => replicas);
  ({ ca } = instance);
  key = await newClientKey();
  const endpoints = instance;
  alice = new OAuthClient(endpoints, key);
  signedIn = await signInPatiently(alice, 'alice');
  browser = await vi.waitFor(signInAtPages, PATIENCE);
  const headers = { authorization: `Bearer ${signedIn.accessToken}` };
  const backends = { ca, certificate: key, path: PODS, headers, ports: () => [portOf(instance.urls.api)], pauseMs: 50 };
  loads = (['http/1.1', 'h2'] as const).map((protocol) => startLoad(backends, protocol));
  const there = new OAuthClient(endpoints, key);
  refreshing = startRefreshing(alice, there, { refreshToken: signedIn.refreshToken, path: PODS });
  watching = startWatching(signedIn.accessToken);
});
afterAll(async () => {
  await Promise.all([...loads.map((load) => load.stop()), refreshing.stop(), watching.stop()]);
  await alice.close();
  await front[Symbol.asyncDispose]();
  await Promise.all(replicas.map((replica) => replica.stop()));
  await next[Symbol.asyncDispose]();
  await instance.stop();
  bare.disconnect();
  await redis.stop();
});

async function signInAtPages(): Promise<CookieBrowser> {
  const user = new CookieBrowser();
  const form = await user.follow(`${instance.urls.web}/login/start?provider=demo`);
  let action = /action="([^"]+)"/.exec(form.html)?.[1];
  let at = form.url;
  while (action !== undefined && !at.startsWith(instance.urls.web)) {
    const sent = await user.post(new URL(action, at).href, { login: 'vera', password: 'vera-demo' });
    const page = await user.follow(new URL(sent.location, at).href);
    action = /action="([^"]+)"/.exec(page.html)?.[1];
    at = page.url;
  }
  if (!at.endsWith('/me')) throw new Error(`no user is signed in at ${at}`);
  return user;
}

/** Every user has been served since; none was rejected, and none was signed out. */
async function expectNoFailure(): Promise<void> {
  const before = loads.map((load) => load.done());
  const turns = refreshing.done();
  await expect.poll(() => refreshing.done(), PATIENCE).toBeGreaterThan(turns + 5);
  for (const [index, load] of loads.entries()) {
    await expect.poll(() => load.done(), PATIENCE).toBeGreaterThan((before[index] ?? 0) + 20);
  }
  expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
  expect(refreshing.failures).toEqual([]);
  expect(watching.failures).toEqual([]);
  await expect.poll(async () => (await browser.get(`${instance.urls.web}/me`)).html, PATIENCE).toContain('demo:vera');
}

/** How many of the live replicas report what only the next version reports. */
async function nextOnes(): Promise<readonly [next: number, all: number]> {
  const states = pairsOf(Object.entries(await bare.hgetall(`${PREFIX}live`)).flat()).map(([, state]) => state);
  return [states.filter((state) => state.includes(NEXT)).length, states.length];
}

interface Other extends SignedIn {
  readonly client: OAuthClient;
  /** Opened by the next version. */
  readonly byNext: boolean;
}

const others: Other[] = [];

/** All share a machine that is busy with other things: a Redis that took longer than a quarter of a second is asked again, as users do. */
const signInPatiently = (client: OAuthClient, user: string, extra: Record<string, string> = {}): Promise<SignedIn> =>
  vi.waitFor(() => client.signIn(user, extra), PATIENCE);

async function refreshPatiently(client: OAuthClient, refreshToken: string): Promise<Answer> {
  const answer = await client.refresh(refreshToken);
  return answer.status === 503 ? refreshPatiently(client, refreshToken) : answer;
}

/** Users sign in until both versions have signed a user in. */
async function signInAtBoth(): Promise<void> {
  for (let count = 0; count < 20; count += 1) {
    const client = new OAuthClient(alice.endpoints, await newClientKey());
    const user = await signInPatiently(client, 'alice');
    const [newest = ''] = await bare.zrevrange(`${PREFIX}sessions`, 0, 0);
    others.push({ ...user, client, byNext: (await bare.hget(`${PREFIX}session:${newest}`, NEXT)) !== null });
    if (new Set(others.map(({ byNext }) => byNext)).size === 2) return;
  }
  throw new Error('all of them were signed in by one version');
}

/** Each of them goes on, whichever version opened their session and whichever serves them now. */
async function expectOthersServed(): Promise<ReadonlySet<boolean>> {
  const mintedByNext = new Set<boolean>();
  for (const { client, refreshToken } of others) {
    for (let count = 0; count < 2; count += 1) {
      // Three connections, so that the first one is at the other replica the next time.
      const here = new OAuthClient(client.endpoints, client.key);
      const answer = await refreshPatiently(here, refreshToken);
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
      const token = String(answer.body['access_token']);
      mintedByNext.add(decodeJwt(token)[NEXT] !== undefined);
      for (const there of [0, 1].map(() => new OAuthClient(client.endpoints, client.key))) {
        expect((await there.get(PODS, token)).status).toBe(200);
        await there.close();
      }
      await here.close();
    }
  }
  return mintedByNext;
}

it(
  'a replica of the next version replaces one of this version, and both serve the sessions of both',
  LONG,
  async () => {
    await expectNoFailure();
    expect(await nextOnes()).toEqual([0, 2]);
    const watches = watching.opened();
    await replaceOldest(next.root);
    expect(await nextOnes()).toEqual([1, 2]);
    await signInAtBoth();
    expect(await expectOthersServed()).toEqual(new Set([true, false]));
    await expectNoFailure();
    expect(watching.opened()).toBeGreaterThanOrEqual(watches);
  },
);

it('a revocation is complete when both have applied it, wherever the streams are', LONG, async () => {
  const root = new OAuthClient(alice.endpoints, await newClientKey());
  const admin = (await signInPatiently(root, 'root', { resource: ADMIN_AUDIENCE })).accessToken;
  for (const byNext of [true, false]) {
    const index = others.findIndex((one) => one.byNext === byNext);
    const [revoked] = others.splice(index, 1);
    if (revoked?.client.key === undefined) throw new Error('there is no user to revoke');
    const { accessToken, session, client } = revoked;
    const certificate = client.key ?? key;
    // Two at each replica.
    const watches = await Promise.all([0, 1, 2, 3].map(() => openWatch(accessToken, certificate)));
    const answered = await root.postJson('/-/admin/api/v1/revocations', admin, {
      session,
      reason: 'in the middle of an update',
    });
    expect(answered.status, JSON.stringify(answered.body)).toBe(200);
    expect(answered.body).toMatchObject({
      complete: true,
      streamsClosed: 4,
      replicas: [{ state: 'applied' }, { state: 'applied' }],
    });
    expect(await Promise.all(watches.map(({ ended }) => ended))).toEqual([false, false, false, false]);
    expect((await client.get(PODS, accessToken)).status).toBe(401);
    expect((await refreshPatiently(client, revoked.refreshToken)).status).toBe(400);
    await client.close();
  }
  await root.close();
  await expectNoFailure();
});

it('the other replica is replaced as well', LONG, async () => {
  await signInAtBoth();
  await replaceOldest(next.root);
  expect(await nextOnes()).toEqual([2, 2]);
  expect(await expectOthersServed()).toEqual(new Set([true]));
  await expectNoFailure();
});

it('and back again: this version reads what the next one wrote', LONG, async () => {
  for (const mixed of [true, false]) {
    await replaceOldest(ROOT);
    expect(await nextOnes()).toEqual(mixed ? [1, 2] : [0, 2]);
    await expectOthersServed();
    await expectNoFailure();
  }
  // Every watch that was ended by a replica that went was begun again elsewhere.
  expect(watching.opened()).toBeGreaterThan(1);
  await Promise.all(others.map(({ client }) => client.close()));
});
