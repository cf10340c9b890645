/** The CA of an identity provider is replaced under a load: users can still sign in, and sessions are renewed. */
import { rename, writeFile } from 'node:fs/promises';
import { globalAgent } from 'node:https';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider } from '../support/hostile-provider.ts';
import { metric } from '../support/metric.ts';
import type { OAuthClient } from '../support/oauth-client.ts';
import { startRefreshing, type RefreshingLoad } from '../support/refreshing-load.ts';
import { makeCertificate, type TestCertificate } from '../support/upstream.ts';

const PATIENCE = { timeout: 60_000, interval: 50 };
/** Milliseconds between two sign-ins. */
const PAUSE_MS = 150;
const COUNTED = 'portcullis_key_changes_total{kind="authorities",outcome=';
const STANDING = 'portcullis_key_files_refused{kind="authorities"}';

let instance: TestInstance;
let provider: HostileProvider;
let client: OAuthClient;
let former: TestCertificate;
let next: TestCertificate;
let refreshing: RefreshingLoad;
const signIns = { done: 0, failures: [] as string[], stopping: new AbortController(), finished: Promise.resolve() };

const at = (name: string): string => join(instance.files.directory, name);

async function signInForEver(): Promise<void> {
  while (!signIns.stopping.signal.aborted) {
    const { callback } = await client.authorize('alice');
    if (!callback.searchParams.has('code')) signIns.failures.push(callback.href);
    signIns.done += 1;
    await pause(PAUSE_MS);
  }
}

beforeAll(async () => {
  instance = await startTestInstance();
  await instance.server.stop();
  [former, next] = await Promise.all([makeCertificate('former.test'), makeCertificate('next.test')]);
  provider = await startHostileProvider(former);
  provider.lie({ idToken: (honest) => ({ ...honest, groups: ['developers'] }) });
  await writeFile(at('issuer-ca.crt'), former.cert);
  // The browser connects to the provider as well, and trusts both CAs all the time.
  globalAgent.options.ca = [former.cert, next.cert];
  const place = { issuer: provider.issuer, clientId: CLIENT_ID, caFile: at('issuer-ca.crt') };
  await instance.restart({
    loaded: (config) => ({
      ...config,
      providers: config.providers.map((one) => ({ ...one, ...place })),
      limits: { ...config.limits, signInsPerMinute: 1_000_000 },
    }),
  });
  client = await instance.connect();
  const { refreshToken } = await client.signIn('alice');
  refreshing = startRefreshing(client, client, { refreshToken, path: '/api/v1/namespaces/default/pods' });
  signIns.finished = signInForEver().catch((error: unknown) => void signIns.failures.push(String(error)));
});
afterAll(async () => {
  signIns.stopping.abort();
  await Promise.all([signIns.finished, refreshing.stop()]);
  delete globalAgent.options.ca;
  await Promise.all([instance.stop(), provider.close()]);
});

/** As a Secret's new version comes: whole, in one moment. Resolves when the server has it. */
async function replace(text: string): Promise<void> {
  const taken = async (): Promise<number> => Number((await metric(instance.server, `${COUNTED}"taken"}`)) ?? 0);
  const before = await taken();
  await writeFile(at('issuer-ca.crt.next'), text);
  await rename(at('issuer-ca.crt.next'), at('issuer-ca.crt'));
  await expect.poll(taken, PATIENCE).toBe(before + 1);
}

/** Users have signed in and sessions were renewed since, each by its own handshakes, and no user was rejected. */
async function expectServed(): Promise<void> {
  const [signedIn, renewed] = [signIns.done, refreshing.done()];
  await expect.poll(() => signIns.done, PATIENCE).toBeGreaterThan(signedIn + 5);
  await expect.poll(refreshing.done, PATIENCE).toBeGreaterThan(renewed + 5);
  expect([...signIns.failures, ...refreshing.failures]).toEqual([]);
}

/** The session that is renewed all the time: a result of the provider is used for ten seconds. A sign-in may be under way as well. */
async function expectRechecked(): Promise<void> {
  const rechecks = (): number => provider.asked.filter((path) => path === '/token').length - signIns.done;
  const before = rechecks();
  await expect.poll(rechecks, PATIENCE).toBeGreaterThan(before + 1);
  await expectServed();
}

it('no user notices the old CA and the new one, then the provider’s new certificate, then the new CA alone', async () => {
  await expectServed();
  await replace(`${former.cert}\n${next.cert}\n`);
  await expectServed();
  provider.useCertificate(next);
  await expectServed();
  await replace(next.cert);
  await expectServed();
  await expectRechecked();
  expect(await metric(instance.server, `${COUNTED}"refused"}`)).toBeUndefined();
});

it.each([
  ['empty', () => ''],
  ['half written', () => next.cert.slice(0, 300)],
])('a file that is %s is counted, and changes nothing', async (_what, text) => {
  const refused = async (): Promise<number> => Number((await metric(instance.server, `${COUNTED}"refused"}`)) ?? 0);
  const before = await refused();
  await writeFile(at('issuer-ca.crt'), text());
  await expect.poll(refused, PATIENCE).toBe(before + 1);
  expect(await metric(instance.server, STANDING)).toBe('1');
  await expectServed();
  await replace(next.cert);
  expect(await metric(instance.server, STANDING)).toBe('0');
});

it('a CA that is no longer in the file verifies no provider', async () => {
  await expectServed();
  signIns.stopping.abort();
  await signIns.finished;
  await replace(former.cert);
  const { page } = await client.authorize('alice');
  expect(page.status).toBe(502);
});
