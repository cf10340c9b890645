/** The admin API for programs at a real server: real tokens, real certificates, a real store. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_AUDIENCE, clusterAudience } from '../../src/core/core.ts';
import { clustersSchema, recentRequestsSchema, sessionPageSchema } from '../../src/core/api/responses.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient, SignedIn } from '../support/oauth-client.ts';
import { openApiDocument } from '../../src/api/openapi.ts';
import { ADMIN_API } from '../../src/core/api/admin-operations.ts';

const PREFIX = '/-/admin/api/v1';

describe('the admin API of a server', () => {
  let instance: TestInstance;
  let root: OAuthClient;
  let admin: SignedIn;
  const clients: OAuthClient[] = [];

  async function newClient(): Promise<OAuthClient> {
    const client = await instance.connect();
    clients.push(client);
    return client;
  }

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    root = await newClient();
    admin = await root.signIn('root', { resource: ADMIN_AUDIENCE });
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await instance.stop();
  });

  const read = (path: string) => root.get(`${PREFIX}/${path}`, admin.accessToken);

  test('a token for a cluster, a token on another connection and a user without a role are rejected', async () => {
    const forCluster = await root.signIn('root', { resource: clusterAudience('demo') });
    const another = await newClient();
    const answers = [
      await root.get(`${PREFIX}/sessions`, forCluster.accessToken),
      await another.get(`${PREFIX}/sessions`, admin.accessToken),
    ];
    expect(answers.map(({ status, body }) => [status, body['code']])).toEqual([
      [401, 'unauthenticated'],
      [401, 'unauthenticated'],
    ]);
    const alice = await newClient();
    await expect(alice.signIn('alice', { resource: ADMIN_AUDIENCE })).rejects.toThrow('invalid_target');
  });

  test('sessions are searched, filtered and ordered, and one shows its latest requests', async () => {
    const alice = await newClient();
    const { accessToken, session } = await alice.signIn('alice', { resource: clusterAudience('demo') });
    await alice.get('/api/v1/namespaces/default/pods', accessToken);
    const { status, body } = await read('sessions?search=ALICE&cluster=demo&sort=last-used&limit=200');
    expect(status).toBe(200);
    const found = sessionPageSchema.parse(body).sessions;
    expect(found.map(({ id }) => id)).toContain(session);
    expect(found.every(({ username }) => username.includes('alice'))).toBe(true);
    expect(await read('sessions?idle=1d')).toMatchObject({ status: 200, body: { sessions: [] } });
    expect(await read('sessions?cluster=none')).toMatchObject({ status: 400, body: { code: 'bad_request' } });
    // They are written some seconds later, outside the request path.
    const requests = async () => recentRequestsSchema.parse((await read(`sessions/${session}/requests`)).body).requests;
    await expect
      .poll(requests, { timeout: 30_000 })
      .toMatchObject([{ verb: 'list', resource: 'pods', cluster: 'demo' }]);
  });

  test('clusters and providers report that they are up', async () => {
    const { clusters } = clustersSchema.parse((await read('clusters')).body);
    expect(clusters).toMatchObject([{ name: 'demo', state: 'up' }]);
    expect(await read('providers')).toMatchObject({ status: 200, body: { providers: [{ state: 'up' }] } });
  });

  test('the OpenAPI description is served, with 304 while it is unchanged', async () => {
    const first = await read('openapi.json');
    expect(first).toMatchObject({ status: 200, body: openApiDocument(ADMIN_API) });
    const again = await root.send('GET', `${PREFIX}/openapi.json`, {
      headers: { authorization: `Bearer ${admin.accessToken}`, 'if-none-match': String(first.headers['etag']) },
    });
    expect(again).toMatchObject({ status: 304, body: { text: '' } });
  });
});
