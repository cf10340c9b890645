/** What becomes of the delegated sessions that there are when an admin changes `delegation` and restarts the server. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { RunningDemo } from '../../demo/launch.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from '../support/audit-log.ts';
import { delegate, type DelegatedChild } from '../support/delegation.ts';
import { startTestInstance, untilSettled } from '../support/instance.ts';
import { newClientKey, OAuthClient, type Answer } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const DEMO = 'urn:portcullis:cluster:demo';
const DEFAULT = '/api/v1/namespaces/default';

describe('delegated sessions after a restart with another configuration', () => {
  let redis: RedisServer;
  let instance: RunningDemo;
  let server: RunningServer;
  let plugin: OAuthClient;
  let child: DelegatedChild;
  let token: string;

  async function restart(delegation: object): Promise<void> {
    const settings = parse(await readFile(instance.files.config, 'utf8')) as Record<string, unknown>;
    const file = join(instance.files.directory, 'changed.yaml');
    await writeFile(file, stringify({ ...settings, delegation }));
    const loaded = await loadConfig({ file, env: {} });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
    await server.stop();
    server = await startServer(loaded.value.config);
    await server.ready;
    await untilSettled(server.store);
  }

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({ redis: redis.url });
    ({ server } = instance);
    const ca = await readFile(join(instance.files.directory, 'ca.crt'), 'utf8');
    plugin = new OAuthClient({ web: instance.urls.web, api: instance.urls.api, ca }, await newClientKey());
    const user = await plugin.signIn('alice');
    child = await delegate(plugin, user.refreshToken, { limits: [{ namespaces: ['default'] }] });
    token = String((await refresh()).body['access_token']);
  });
  afterAll(async () => {
    await child.client.close();
    await plugin.close();
    await server.stop();
    await instance.stop();
    await redis.stop();
  });

  const refresh = (): Promise<Answer> => child.client.refresh(child.refreshToken, { resource: DEMO });
  /** The message where the proxy, or the cluster’s RBAC, rejects it. */
  const secrets = async (): Promise<unknown> => (await child.client.get(`${DEFAULT}/secrets`, token)).body['message'];

  it.each([
    [{ enabled: false }, 'delegation_disabled', 'switched off'],
    [{ groups: [] }, 'delegation_not_allowed', 'any more'],
  ])('get no token with %o, and what they have is worth nothing', async (settings, reason, message) => {
    await restart(settings);
    const called = await child.client.get(`${DEFAULT}/pods`, token);
    expect([called.status, called.body['reason']]).toEqual([403, 'Forbidden']);
    expect(called.body['message']).toContain(message);
    const answer = await refresh();
    expect([answer.status, answer.body['error']]).toEqual([400, 'invalid_grant']);
    expect(answer.body['error_description']).toContain(message);
    await server.audit.flush();
    const events = (await auditedBy(instance)).filter((event) => event.annotations['portcullis.dev/reason'] === reason);
    expect(
      events.map(({ annotations, responseStatus }) => [annotations['portcullis.dev/event'], responseStatus?.code]),
    ).toEqual([
      [undefined, 403],
      ['refresh-refused', 400],
    ]);
    for (const { annotations } of events) {
      expect(annotations).toMatchObject({
        'portcullis.dev/session': child.item.parent,
        'portcullis.dev/delegated-session': child.item.id,
        'portcullis.dev/actor': 'claude',
      });
    }
  });

  it('have less with a narrower `most`, at once, and get a token all the same', async () => {
    await restart({});
    expect(await secrets()).not.toContain('delegated');
    await restart({ most: 'read-only' });
    expect(await secrets()).toContain('delegated to "claude": everything in default, and read-only');
    expect((await child.client.get(`${DEFAULT}/pods`, token)).status).toBe(200);
    expect((await refresh()).status).toBe(200);
  });

  it('reach no cluster that may not be delegated', async () => {
    await restart({ clusters: [] });
    expect((await child.client.get(`${DEFAULT}/pods`, token)).status).toBe(403);
    expect((await refresh()).body).toMatchObject({ error: 'invalid_target' });
  });
});
