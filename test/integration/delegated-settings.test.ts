/** What becomes of the delegated sessions that there are when an admin changes `delegation` and restarts the server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { delegate, type DelegatedChild } from '../support/delegation.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient, Answer } from '../support/oauth-client.ts';

const DEMO = 'urn:portcullis:cluster:demo';
const DEFAULT = '/api/v1/namespaces/default';

describe('delegated sessions after a restart with another configuration', () => {
  let instance: TestInstance;
  let plugin: OAuthClient;
  let child: DelegatedChild;
  let token: string;

  const restart = (delegation: object) => instance.restart({ file: (settings) => ({ ...settings, delegation }) });

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    plugin = await instance.connect();
    const user = await plugin.signIn('alice');
    child = await delegate(plugin, user.refreshToken, { limits: [{ namespaces: ['default'] }] });
    token = String((await refresh()).body['access_token']);
  });
  afterAll(async () => {
    await child.client.close();
    await instance.stop();
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
    const events = (await instance.recorded()).filter((event) => event.annotations['portcullis.dev/reason'] === reason);
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
