/** Keys are rotated on two replicas under a steady load: not one request fails. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { verifyAudit } from '../../src/commands/audit-commands.ts';
import { keyText, makeKey, writeKeyFile, type NamedJwk } from '../../src/config/generate-keys.ts';
import type { Config } from '../../src/config/config.ts';
import type { KeyKind } from '../../src/config/key-files.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { metric } from '../support/metric.ts';
import {
  AUTHORIZATION,
  newClientKey,
  type OAuthClient,
  type ClientKey,
  type SignedIn,
} from '../support/oauth-client.ts';
import { startRefreshing, type RefreshingLoad } from '../support/refreshing-load.ts';
import { startLoad, type Load } from '../support/steady-load.ts';

const PODS = '/api/v1/namespaces/default/pods';
/** How long each replica must be able to read a key before one of them uses it: ten minutes in production. */
const keyTiming = { readableMs: 1_000 };
/** A lease that lasts on a busy machine too: a fenced replica is another test's. */
const patient = (config: Config): Config => ({ ...config, revocation: { ...config.revocation, staleness: 20 } });
const withKeys =
  (keys: Partial<Config['keys']>) =>
  (config: Config): Config =>
    patient({ ...config, keys: { ...config.keys, ...keys } });
const PATIENCE = { timeout: 60_000, interval: 100 };

let instance: TestInstance;
let other: RunningServer;
/** The signing keys as the other replica has them mounted: it may see a change later. */
let otherSigning: string;
let keysIn: string;
let clientKey: ClientKey;
let here: OAuthClient;
let there: OAuthClient;
let alice: SignedIn;
let loads: Load[] = [];
let refreshing: RefreshingLoad;

beforeAll(async () => {
  const file = async (settings: Readonly<Record<string, unknown>>, { files: { directory } }: RunningDemo) => {
    keysIn = join(directory, 'keys');
    otherSigning = join(keysIn, 'signing-of-the-other');
    await mkdir(otherSigning);
    for (const kind of ['signing', 'sealing', 'audit'] as const) await makeOld(kind);
    return settings;
  };
  instance = await startTestInstance({ redis: true, file, loaded: patient, keyTiming });
  other = await instance.replica({ loaded: withKeys({ signingDir: otherSigning }), keyTiming });
  const { ca } = instance;
  clientKey = await newClientKey();
  here = await instance.connect({ key: clientKey });
  there = await instance.connect({ key: clientKey, at: other });
  alice = await here.signIn('alice');
  const ports = [instance.server.ports.api, other.ports.api];
  const headers = { authorization: `Bearer ${alice.accessToken}` };
  const backends = { ca, certificate: clientKey, path: PODS, headers, pauseMs: 50 };
  loads = [
    startLoad({ ...backends, ports: () => ports }, 'http/1.1'),
    startLoad({ ...backends, ports: () => ports.toReversed() }, 'h2'),
  ];
  refreshing = startRefreshing(here, there, { refreshToken: alice.refreshToken, path: PODS });
});
afterAll(async () => {
  await Promise.all([...loads.map((load) => load.stop()), refreshing.stop()]);
  await instance.stop();
});

const keysOf = (kind: KeyKind): string => join(keysIn, kind);
const directoriesOf = (kind: KeyKind): readonly string[] =>
  kind === 'signing' ? [keysOf(kind), otherSigning] : [keysOf(kind)];

let made = 0;

/** By their age all keys may be used at once: what keeps one from that is only what the replicas know of each other. */
function nextIat(): number {
  made += 1;
  return Math.floor(Date.now() / 1000) - 9000 + 60 * made;
}

async function writeKey(directory: string, key: NamedJwk): Promise<void> {
  await writeKeyFile(join(directory, `${key.kid}.json`), keyText(key));
}

/** The keys of the demo are new. From here on they have signed for hours, as in a server that has run for a while. */
async function makeOld(kind: KeyKind): Promise<void> {
  const [name = ''] = await readdir(keysOf(kind));
  const { kid, ...rest } = JSON.parse(await readFile(join(keysOf(kind), name), 'utf8')) as NamedJwk;
  const old = { ...rest, kid, iat: nextIat() };
  await rm(join(keysOf(kind), name));
  await Promise.all(directoriesOf(kind).map((directory) => writeKey(directory, old)));
}

async function addKey(kind: KeyKind): Promise<NamedJwk> {
  const key = await makeKey(kind, nextIat());
  await Promise.all(directoriesOf(kind).map((directory) => writeKey(directory, key)));
  return key;
}

async function removeOthers(kind: KeyKind, { kid }: NamedJwk): Promise<void> {
  for (const directory of directoriesOf(kind)) {
    const names = (await readdir(directory)).filter((name) => name !== `${kid}.json`);
    await Promise.all(names.map((name) => rm(join(directory, name))));
  }
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

async function untilUsed({ iat }: NamedJwk, kind: KeyKind, servers: readonly RunningServer[]): Promise<void> {
  const ageAt = async (server: RunningServer): Promise<number> =>
    Number(await metric(server, `portcullis_key_age_seconds{kind="${kind}"}`));
  await vi.waitUntil(async () => {
    const ages = await Promise.all(servers.map(ageAt));
    return ages.every((age) => Math.abs(Date.now() / 1000 - iat - age) < 30);
  }, PATIENCE);
}

/** A new key that is in use at both replicas when this resolves. */
async function rotated(kind: KeyKind): Promise<NamedJwk> {
  const key = await addKey(kind);
  await untilUsed(key, kind, [instance.server, other]);
  return key;
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

it('a signing key is used once every replica can read it, and accepted for a while after it was removed', async () => {
  await expectNoFailure();
  const old = refreshing.signedBy() ?? '';
  // Another file beside it: the other replica rejects the whole set, and has the key later than this one.
  const broken = join(otherSigning, 'broken.json');
  await writeFile(broken, '{"kty":"EC"');
  const key = await addKey('signing');
  const { kid } = key;
  const refused = 'portcullis_key_changes_total{kind="signing",outcome="refused"}';
  const lacking = (): Promise<string | undefined> =>
    metric(instance.server, 'portcullis_key_lacking_replicas{kind="signing"}');
  await expect.poll(async () => Number(await metric(other, refused)), PATIENCE).toBeGreaterThan(0);
  await expect.poll(lacking, PATIENCE).toBe('1');
  await expectNoFailure();
  expect(await publicKids(instance.server.ports.web)()).toEqual([old, kid]);
  expect(await publicKids(other.ports.web)()).toEqual([old]);
  expect(refreshing.signedBy()).toBe(old);
  await rm(broken);
  for (const { web } of [instance.server.ports, other.ports]) {
    await expect.poll(publicKids(web), PATIENCE).toEqual([kid, old]);
  }
  await expect.poll(() => refreshing.signedBy(), PATIENCE).toBe(kid);
  expect(await lacking()).toBe('0');
  await expectNoFailure();
  await seen('signing', () => removeOthers('signing', key));
  // The steady load has a token of the key that is gone.
  for (const { web } of [instance.server.ports, other.ports]) expect(await publicKids(web)()).toEqual([kid, old]);
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
  await rotated('signing');
  await rotated('sealing');
  expect(await open(cookies.join('; '))).toBeLessThan(400);
  expect(await open(cookies.map((cookie) => cookie.replace(/(\.sig=)./, '$1-')).join('; '))).toBeGreaterThanOrEqual(
    400,
  );
  await expectNoFailure();
});

it('a replica without an older sealing key serves every session, and one without the newest is not ready', async () => {
  // Nothing renews this session, so only the re-encryption brings it to the new key.
  const idle = await here.signIn('alice');
  const older = join(keysIn, 'sealing-before');
  await cp(keysOf('sealing'), older, { recursive: true });
  const key = await rotated('sealing');
  // Once a minute by itself; here immediately.
  const reencrypted = () => instance.server.store.sealed.reencrypt('test', async () => {});
  await expect.poll(reencrypted, PATIENCE).toEqual({ kind: 'done', found: 0 });
  await removeOthers('sealing', key);
  const fresh = await instance.replica();
  const client = await instance.connect({ key: clientKey, at: fresh });
  const answer = await client.refresh(idle.refreshToken);
  expect(answer.status).toBe(200);
  expect((await client.get(PODS, String(answer.body['access_token']))).status).toBe(200);
  await expect.poll(() => metric(fresh, 'portcullis_sealed_with_old_key'), PATIENCE).toBe('0');
  await fresh.stop();
  const late = await instance.replica({ loaded: withKeys({ sealingDir: older }) });
  const readyz = async (): Promise<string> => (await fetch(`http://127.0.0.1:${late.ports.ops}/readyz?verbose`)).text();
  await expect.poll(readyz, PATIENCE).toContain('signs or seals with cannot be read here');
  await writeKey(older, key);
  await expect.poll(readyz, PATIENCE).toContain('readyz check passed');
  await late.stop();
  await expectNoFailure();
});

it('the audit log is signed by the new key, in the same chain, and verifies as a whole', async () => {
  const { kid } = await addKey('audit');
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
