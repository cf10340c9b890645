/** What a replica keeps of the latest requests of a session, from the request to the store. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient, SignedIn } from '../support/oauth-client.ts';

const CLUSTER = 'urn:portcullis:cluster:demo';

let instance: TestInstance;
let alice: OAuthClient;
let signedIn: SignedIn;

beforeAll(async () => {
  instance = await startTestInstance();
  alice = await instance.connect();
  signedIn = await alice.signIn('alice', { resource: CLUSTER });
});
afterAll(() => instance.stop());

it('keeps the requests of a session to a cluster, without secrets, and those that were rejected', async () => {
  const { recent } = instance.server.store;
  const pods = '/api/v1/namespaces/default/pods';
  expect((await alice.get(`${pods}?token=CANARY`, signedIn.accessToken)).status).toBe(200);
  expect((await alice.get('/api/v1/secrets', signedIn.accessToken)).status).toBe(403);
  const kept = () => recent.read(signedIn.session);
  await expect.poll(async () => (await kept()).length, { timeout: 30_000, interval: 100 }).toBe(2);
  expect(await kept()).toMatchObject([
    { verb: 'list', uri: '/api/v1/secrets', resource: 'secrets', code: 403, cluster: 'demo', address: '127.0.0.1' },
    { verb: 'list', uri: `${pods}?token=REDACTED`, resource: 'pods', namespace: 'default', code: 200 },
  ]);
});

it('writes what is queued when it stops', async () => {
  const { recent } = instance.server.store;
  await alice.get('/api/v1/namespaces/default/configmaps', signedIn.accessToken);
  await instance.server.stop();
  expect((await recent.read(signedIn.session))[0]).toMatchObject({ resource: 'configmaps' });
});
