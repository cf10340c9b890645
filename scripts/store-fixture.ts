/**
 * Freezes a store of the version that is about to be released: real sign-ins at a real server with a real Redis, into test/fixtures/store-VERSION.
 * Every later version has to read it (test/integration/versions-store.test.ts). Before a release: node scripts/store-fixture.ts
 */
import { cp, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { loadConfig } from '../src/config/load.ts';
import { ADMIN_AUDIENCE } from '../src/core/core.ts';
import { startServer, type RunningServer } from '../src/server/serve.ts';
import { createRedisStore } from '../src/store/redis/redis.ts';
import type { NewSession } from '../src/store/store.ts';
import { takeStore, writeFrozen, type Known } from '../test/fixtures/frozen-store.ts';
import { writeInstanceFile } from '../test/fixtures/instance-file.ts';
import { clientKey, makeClientCertificate, OLD_SEALING, sealingKeys, useTestKeys } from '../test/fixtures/test-keys.ts';
import { CookieBrowser } from '../test/support/cookie-browser.ts';
import { allowLinkIn, fieldIn, visitor } from '../test/support/device-stage.ts';
import { startTestInstance } from '../test/support/instance.ts';
import { AUTHORIZATION, OAuthClient, type Answer } from '../test/support/oauth-client.ts';
import { startRedis } from '../test/support/redis.ts';

const PODS = '/api/v1/namespaces/default/pods';
const ROOT = fileURLToPath(new URL('..', import.meta.url));

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await pause(100);
}

/** Without those of the provider, which has the same host here. */
const ours = ({ cookies }: CookieBrowser): string =>
  cookies
    .split('; ')
    .filter((cookie) => cookie.startsWith('portcullis'))
    .join('; ');

/** By docs/reference/store-schema.md, as far as they last: a sweep is over in a moment, and a channel is no key. */
async function writtenKeys(): Promise<readonly string[]> {
  const schema = await readFile(join(ROOT, 'docs/reference/store-schema.md'), 'utf8');
  const items = [
    ...schema.matchAll(/^- \*\*(`[^*]+`)\*\*\s+\((?:string|hash|set|sorted\s+set|stream|sorted\s+set,\s+set);/gm),
  ];
  const names = items.flatMap(([, keys = '']) => [...keys.matchAll(/`([\w-]+)/g)].map(([, name = '']) => name));
  return names.filter((name) => !name.startsWith('sweep'));
}

function good(answer: Answer, status = 200): Answer['body'] {
  if (answer.status !== status) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string };
const folder = join(ROOT, `test/fixtures/store-${version}`);
if (await stat(folder).catch(() => undefined)) throw new Error(`${folder} is there: what is frozen stays as it is`);

const redis = await startRedis();
const bare = new Redis(redis.url);
const guard = await startTestInstance({ redis: redis.url });
await guard.server.stop();
await bare.flushall();
await useTestKeys(guard.files.directory);
const loaded = await loadConfig({ file: await writeInstanceFile(guard.files, 'frozen'), env: {} });
if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
const server: RunningServer = await startServer(loaded.value.config, 'gate-0');
await server.ready;
await until(async () => server.store.log.settled);
const { store } = server;

const { web, api } = guard.urls;
const certificate = await makeClientCertificate();
const ca = await readFile(join(guard.files.directory, 'ca.crt'), 'utf8');
const laptop = new OAuthClient({ web, api, ca }, { cert: certificate, key: clientKey() });
const now = (): number => Math.floor(Date.now() / 1000);

// Revocations first: of everything, and of a provider without users here.
await server.guard.revoke({ target: { kind: 'all' } });
await server.guard.revoke({ target: { kind: 'provider', provider: 'elsewhere' } });

const admin = (await laptop.signIn('root', { resource: ADMIN_AUDIENCE })).accessToken;
const ask = (method: 'POST' | 'DELETE', path: string, body?: object): Promise<Answer> =>
  laptop.send(method, `/-/admin/api/v1/${path}`, {
    headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

const revoked = await laptop.signIn('alice');
const revocation = good(await ask('POST', 'revocations', { session: revoked.session, reason: 'a laptop was lost' }));
const locked = await laptop.signIn('bob');
good(await ask('POST', 'locks', { account: 'demo/bob', reason: 'left the company' }));
await laptop.signIn('vera');
good(await ask('POST', 'locks', { account: 'demo/vera', reason: 'a mistake' }));
good(await ask('DELETE', 'locks/demo%2Fvera?reason=undone'));
const asked = good(await ask('POST', 'revocations', { provider: 'demo', reason: 'it was broken into' }), 409);

const goesOn = await laptop.signIn('alice');
good(await laptop.refresh(goesOn.refreshToken));
await until(async () => (await laptop.get(PODS, goesOn.accessToken)).status === 200);

// A browser at the pages, and a sign-in of a client that has got as far as the provider.
const browser = new CookieBrowser();
const signInAt = async (start: string): Promise<void> => {
  const form = await browser.follow(start);
  const action = /action="([^"]+)"/.exec(form.html)?.[1] ?? '';
  const sent = await browser.post(new URL(action, form.url).href, { login: 'alice', password: 'alice-demo' });
  let next = await browser.follow(new URL(sent.location, form.url).href);
  while (next.html.includes('method="post"') && /consent|share/i.test(next.html)) {
    const consent = /action="([^"]+)"/.exec(next.html)?.[1] ?? '';
    const given = await browser.post(new URL(consent, next.url).href, {});
    next = await browser.follow(new URL(given.location, next.url).href);
  }
};
await signInAt(`${web}/login/start?provider=demo`);
const [atPages] = (await store.sessions.list({ limit: 1 })).sessions;
if (atPages?.client !== 'browser') throw new Error('no user signed in at the pages');
const other = new CookieBrowser();
const begun = await other.get(`${web}/oauth/authorize?${new URLSearchParams(AUTHORIZATION).toString()}`);
const pendingPage = new URL(begun.location, web).pathname;
const away = await other.get(`${web}${pendingPage}/start?provider=demo`);
const state = new URL(away.location).searchParams.get('state') ?? '';

// Devices: one waits, one has been allowed and has not asked since.
const device = async (): Promise<{ readonly userCode: string; readonly deviceCode: string }> => {
  const body = good(await laptop.post('/-/oauth/device', { client_id: 'portcullis-cli' }));
  return { userCode: String(body['user_code']), deviceCode: String(body['device_code']) };
};
const [waiting, allowed] = [await device(), await device()];
const beside = visitor('alice');
const csrf = fieldIn(await beside.visit(`${web}/device`), 'csrf');
const page = await beside.visit(`${web}/device`, new URLSearchParams({ csrf, user_code: allowed.userCode }));
const done = await beside.visit(`${web}${allowLinkIn(page) ?? ''}`);
if (!done.url.endsWith('/device/done')) throw new Error(`the device was not allowed: ${done.url}`);
const [ofDevice] = (await store.sessions.list({ limit: 1 })).sessions;

// What needs a provider, a console, a workload, a second replica or too much time.
const session = async (change: Partial<NewSession>): Promise<NewSession> => ({
  id: `fixture-${change.subject ?? ''}`,
  account: `demo/${change.subject ?? ''}`,
  provider: 'demo',
  subject: '',
  client: 'portcullis-cli',
  identity: {
    username: `demo:${change.subject ?? ''}`,
    uid: '',
    groups: ['demo:developers'],
    extra: { mail: ['a', 'b'] },
  },
  createdAt: now(),
  expiresAt: now() + 86_400,
  idleSeconds: 43_200,
  address: '192.0.2.7',
  userAgent: 'kubectl/v1.35.0',
  startedAt: await store.log.position(),
  ...change,
});
const ofProvider = await session({ subject: 'carol', providerSid: 'provider-session', authTime: now() });
await store.sessions.open(ofProvider, { refreshToken: 'of the provider' });
await store.sessions.update(ofProvider.id, {
  identity: { ...ofProvider.identity, groups: ['demo:operators'] },
  secret: { refreshToken: 'a newer one of the provider' },
});
await store.sessions.closeProviderSession({ provider: 'demo', sid: 'closed-provider-session' });
await store.sessions.claimRecheck(ofProvider.id, 'gate-9', 86_400);
const ofSession = { ttlSeconds: 86_400, session: ofProvider.id };
await store.artefacts.save('ReplayDetection', 'turn', {}, ofSession);
await store.artefacts.consume('ReplayDetection', 'turn');
const console = { console: 'headlamp', session: ofProvider.id };
await store.artefacts.save('ConsoleCode', 'console-code', { ...console, state: 'state' }, ofSession);
await store.artefacts.save(
  'ConsoleCookie',
  'console-cookie',
  { ...console, position: ofProvider.startedAt },
  ofSession,
);
const order = { session: ofProvider.id, cluster: 'demo', path: `${PODS}?watch=1`, until: now() + 60 };
await store.artefacts.save('Drill', 'drill', order, ofSession);
await store.log.announceDrill('drill');
await store.live.subscribe('a'.repeat(22), { user: 'demo:alice' }, { ttlMs: 60_000, most: 50 });

const older = createRedisStore({
  config: { url: redis.url, prefix: 'portcullis-demo' },
  sealingKeys: sealingKeys(OLD_SEALING),
  clock: { nowMs: Date.now },
});
await until(() =>
  older.ping().then(
    () => true,
    () => false,
  ),
);
const olderKey = await session({ subject: 'dave' });
await store.sealed.reencrypt('gate-0', async () => {});
await older.sessions.open(olderKey, { refreshToken: 'sealed by the key before' });
await older.close();

// Written every five seconds.
await until(async () => (await store.recent.read(goesOn.session)).length > 0);
await until(async () => (await laptop.get(`${PODS}?limit=1`, goesOn.accessToken)).status === 200);
await until(async () => (await store.recent.read(goesOn.session)).some(({ uri }) => uri.includes('limit')));
await until(async () => (await store.anchors.list()).length > 0);
// Last, because it is good for a minute.
const { callback, verifier } = await laptop.authorize('alice');

const known: Known = {
  version,
  at: Date.now(),
  sessions: {
    goesOn: { id: goesOn.session, renewal: goesOn.refreshToken },
    revoked: { id: revoked.session, renewal: revoked.refreshToken },
    locked: { id: locked.session, renewal: locked.refreshToken },
    browser: { id: atPages.id },
    device: { id: ofDevice?.id ?? '' },
    ofProvider: { id: ofProvider.id },
    olderKey: { id: olderKey.id },
  },
  code: { value: callback.searchParams.get('code') ?? '', verifier },
  cookies: { browser: ours(browser), pending: ours(other) },
  pendingPage,
  state,
  devices: { waiting, allowed },
  revocation: String(revocation['id']),
  approval: String(asked['approval']),
};
const entries = await takeStore(bare);
const missing = (await writtenKeys()).filter((key) => !entries.some(({ name }) => name.split(':')[0] === key));
if (missing.length > 0) throw new Error(`nothing here writes ${missing.join(', ')}: say how, above`);
await mkdir(folder);
await writeFrozen(folder, { known, entries, certificate });
await server.audit.flush();
await cp(join(guard.files.directory, 'frozen.log'), join(folder, 'audit.log'));

await laptop.close();
await server.stop();
await guard.stop();
bare.disconnect();
await redis.stop();
