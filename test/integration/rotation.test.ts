/** Keys are rotated on two replicas under a steady load: not one request fails. */
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { verifyAudit } from '../../src/commands/audit-commands.ts';
import { keyText, makeKey } from '../../src/config/generate-keys.ts';
import type { KeyKind } from '../../src/config/key-files.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { startTestInstance } from '../support/instance.ts';
import { metric } from '../support/metric.ts';
import {
  AUTHORIZATION,
  newClientKey,
  OAuthClient,
  type ClientKey,
  type Endpoints,
  type SignedIn,
} from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { startRefreshing, type RefreshingLoad } from '../support/refreshing-load.ts';
import { startSecondReplica } from '../support/second-replica.ts';
import { startLoad, type Load } from '../support/steady-load.ts';

const PODS = '/api/v1/namespaces/default/pods';
/** Seconds after `iat` at which a key begins to sign. */
const SIGNS_AFTER = 600;
/** For a key that is published and does not sign or encrypt yet: ten minutes in production. Long enough for both replicas to see it. */
const OVERLAP_SECONDS = 4;
const PATIENCE = { timeout: 60_000, interval: 100 };

let redis: RedisServer;
let instance: RunningDemo;
let other: RunningServer;
let key: ClientKey;
let here: OAuthClient;
let there: OAuthClient;
let alice: SignedIn;
let loads: Load[] = [];
let refreshing: RefreshingLoad;

beforeAll(async () => {
  redis = await startRedis();
  instance = await startTestInstance({ redis: redis.url });
  // Those of the demo are new. These have signed for hours, as in a server that has run for a while.
  for (const kind of ['signing', 'sealing'] as const) await removeOthers(kind, await addKey(kind, -7000));
  // What a key of the audit log has signed is verified by its file.
  await addKey('audit', -7000);
  const taken = (kind: KeyKind) =>
    metric(instance.server, `portcullis_key_changes_total{kind="${kind}",outcome="taken"}`);
  for (const kind of ['signing', 'sealing', 'audit'] as const) {
    await vi.waitUntil(async () => (await taken(kind)) !== undefined, PATIENCE);
  }
  other = await startSecondReplica(instance);
  await other.ready;
  const ca = await readFile(join(instance.files.directory, 'ca.crt'), 'utf8');
  const at: Endpoints = { web: instance.urls.web, api: instance.urls.api, ca };
  key = await newClientKey();
  here = new OAuthClient(at, key);
  there = new OAuthClient({ ...at, api: `https://localhost:${other.ports.api}` }, key);
  alice = await here.signIn('alice');
  const ports = [instance.server.ports.api, other.ports.api];
  const headers = { authorization: `Bearer ${alice.accessToken}` };
  const backends = { ca, certificate: key, path: PODS, headers, pauseMs: 50 };
  loads = [
    startLoad({ ...backends, ports: () => ports }, 'http/1.1'),
    startLoad({ ...backends, ports: () => ports.toReversed() }, 'h2'),
  ];
  refreshing = startRefreshing(here, there, { refreshToken: alice.refreshToken, path: PODS });
});
afterAll(async () => {
  await Promise.all([...loads.map((load) => load.stop()), refreshing.stop()]);
  await Promise.all([here.close(), there.close()]);
  await other.stop();
  await instance.stop();
  await redis.stop();
});

const keysOf = (kind: KeyKind): string => join(instance.files.directory, 'keys', kind);

/** A new key, as a Secret's new version brings it. @param signsIn seconds */
async function addKey(kind: KeyKind, signsIn: number): Promise<string> {
  const made = await makeKey(kind, Math.floor(Date.now() / 1000) - SIGNS_AFTER + signsIn);
  const file = join(keysOf(kind), `${made.kid}.json`);
  await writeFile(`${file}.new`, keyText(made));
  await rename(`${file}.new`, file);
  return made.kid;
}

async function removeOthers(kind: KeyKind, kid: string): Promise<void> {
  const names = await readdir(keysOf(kind));
  await Promise.all(names.filter((name) => name !== `${kid}.json`).map((name) => rm(join(keysOf(kind), name))));
}

const publicKids = (port: number) => async (): Promise<readonly string[]> => {
  const { keys } = (await (await fetch(`http://localhost:${port}/oauth/jwks`)).json()) as { keys: { kid: string }[] };
  expect(JSON.stringify(keys)).not.toContain('"d"');
  return keys.map(({ kid }) => kid);
};

/** Does something, and waits until both replicas have seen it. */
async function seen<T>(kind: KeyKind, change: () => Promise<T>): Promise<T> {
  const changes = async (): Promise<readonly number[]> =>
    Promise.all(
      [instance.server, other].map(async (server) =>
        Number((await metric(server, `portcullis_key_changes_total{kind="${kind}",outcome="taken"}`)) ?? 0),
      ),
    );
  const before = await changes();
  const done = await change();
  await vi.waitUntil(async () => (await changes()).every((count, index) => count > (before[index] ?? 0)), PATIENCE);
  return done;
}

/** A new key that is in use when this resolves: every replica has had it before. */
async function rotated(kind: KeyKind): Promise<string> {
  const kid = await seen(kind, () => addKey(kind, OVERLAP_SECONDS));
  const usedFrom = Date.now() + OVERLAP_SECONDS * 1000;
  await vi.waitUntil(() => Date.now() >= usedFrom, PATIENCE);
  return kid;
}

/** Every user has been served since, and no user was rejected. */
async function expectNoFailure(): Promise<void> {
  const before = loads.map((load) => load.done());
  const turns = refreshing.done();
  await expect.poll(() => refreshing.done(), PATIENCE).toBeGreaterThan(turns + 5);
  for (const [index, load] of loads.entries()) {
    await expect.poll(() => load.done(), PATIENCE).toBeGreaterThan((before[index] ?? 0) + 10);
  }
  expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
  expect(refreshing.failures).toEqual([]);
}

it('every replica publishes a signing key before it signs, and accepts it for a while after it was removed', async () => {
  await expectNoFailure();
  const old = refreshing.signedBy() ?? '';
  const kid = await addKey('signing', 2 * OVERLAP_SECONDS);
  for (const { web } of [instance.server.ports, other.ports]) {
    await expect.poll(async () => (await publicKids(web)()).slice(0, 2), PATIENCE).toEqual([old, kid]);
  }
  expect(refreshing.signedBy()).toBe(old);
  await expect.poll(() => refreshing.signedBy(), PATIENCE).toBe(kid);
  await expectNoFailure();
  await seen('signing', () => removeOthers('signing', kid));
  // The steady load has a token of the key that is gone.
  for (const { web } of [instance.server.ports, other.ports]) {
    const kids = await publicKids(web)();
    expect(kids[0]).toBe(kid);
    expect(kids).toContain(old);
  }
  await expectNoFailure();
});

it('a sign-in that began before a rotation is finished after it', async () => {
  const begun = await fetch(`${instance.urls.web}/oauth/authorize?${new URLSearchParams(AUTHORIZATION).toString()}`, {
    redirect: 'manual',
  });
  // Signed by a key that is derived from the sealing key.
  const cookies = begun.headers.getSetCookie().map((cookie) => cookie.split(';', 1)[0] ?? '');
  const page = new URL(begun.headers.get('location') ?? '', instance.urls.web);
  expect(page.pathname).toMatch(/^\/login\//);
  const open = async (cookie: string): Promise<number> =>
    (await fetch(page, { headers: { cookie }, redirect: 'manual' })).status;
  const signing = await rotated('signing');
  await rotated('sealing');
  expect(await publicKids(instance.server.ports.web)()).toContain(signing);
  expect(await open(cookies.join('; '))).toBeLessThan(400);
  expect(await open(cookies.map((cookie) => cookie.replace(/(\.sig=)./, '$1-')).join('; '))).toBeGreaterThanOrEqual(
    400,
  );
  await expectNoFailure();
});

it('what an older sealing key encrypted is re-encrypted, and a replica without that key serves every session', async () => {
  const kid = await rotated('sealing');
  // Once a minute by itself; here immediately.
  const rounds: number[] = [];
  const look = async (): Promise<number | undefined> => {
    const outcome = await instance.server.store.sealed.reencrypt('test', async () => {});
    if (outcome.kind === 'done') rounds.push(outcome.found);
    return rounds.at(-1);
  };
  await expect.poll(look, PATIENCE).toBe(0);
  expect(Math.max(...rounds)).toBeGreaterThan(3);
  await removeOthers('sealing', kid);
  const fresh = await startSecondReplica(instance);
  await fresh.ready;
  const client = new OAuthClient({ ...here.endpoints, api: `https://localhost:${fresh.ports.api}` }, key);
  const answer = await client.refresh(alice.refreshToken);
  expect(answer.status).toBe(200);
  expect((await client.get(PODS, String(answer.body['access_token']))).status).toBe(200);
  expect(await metric(fresh, 'portcullis_sealed_with_old_key')).toBe('0');
  await client.close();
  await fresh.stop();
  await expectNoFailure();
});

it('the audit log is signed by the new key, in the same chain, and verifies as a whole', async () => {
  const kid = await addKey('audit', 0);
  const record = (): Promise<string> => readFile(instance.files.auditLog, 'utf8');
  await expect.poll(record, PATIENCE).toContain(`"portcullis.dev/key-id":"${kid}"`);
  const signed = (await record())
    .split('\n')
    .filter((line) => line.includes('portcullis.dev/key-id'))
    .map((line) => (JSON.parse(line) as { annotations: Record<string, string> }).annotations['portcullis.dev/key-id']);
  expect(new Set(signed).size).toBeGreaterThan(1);
  await expectNoFailure();
  expect(await verifyAudit([instance.files.auditLog], { keys: keysOf('audit'), output: 'json' }, {})).toBe(0);
});

it('a broken key is rejected with its whole set, and counted, and the old keys go on', async () => {
  await writeFile(join(keysOf('signing'), 'broken.json'), '{"kty":"EC"');
  const good = await addKey('signing', OVERLAP_SECONDS);
  const refused = 'portcullis_key_changes_total{kind="signing",outcome="refused"}';
  for (const server of [instance.server, other]) {
    await expect.poll(async () => Number(await metric(server, refused)), PATIENCE).toBeGreaterThan(0);
    expect(await publicKids(server.ports.web)()).not.toContain(good);
  }
  await expectNoFailure();
  await rm(join(keysOf('signing'), 'broken.json'));
  await expect.poll(publicKids(instance.server.ports.web), PATIENCE).toContain(good);
  await expectNoFailure();
});
