import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { delegate, delegationsRequest, selfToken, type DelegatedItem } from '../support/delegation.ts';
import { startTestInstance } from '../support/instance.ts';
import { newClientKey, OAuthClient, type SignedIn } from '../support/oauth-client.ts';

const DEMO = 'urn:portcullis:cluster:demo';
const ADMIN = 'urn:portcullis:admin';
const PODS = '/api/v1/namespaces/default/pods';

describe('delegated sessions', () => {
  let instance: RunningDemo;
  let plugin: OAuthClient;
  let user: SignedIn;

  beforeAll(async () => {
    instance = await startTestInstance();
    const ca = await readFile(`${instance.files.directory}/ca.crt`, 'utf8');
    plugin = new OAuthClient({ web: instance.urls.web, api: instance.urls.api, ca }, await newClientKey());
  });
  beforeEach(async () => {
    user = await plugin.signIn('alice');
  });
  afterAll(async () => {
    await plugin.close();
    await instance.stop();
  });

  it('are refreshed with their own key alone, for their own clusters, and never for the admin API', async () => {
    const child = await delegate(plugin, user.refreshToken);
    const answer = await child.client.refresh(child.refreshToken, { resource: DEMO });
    expect(answer.status).toBe(200);
    expect(decodeJwt(String(answer.body['access_token']))).toMatchObject({
      aud: DEMO,
      sub: 'demo/alice',
      sid: child.item.id,
      psid: [user.session],
      act: { sub: 'claude' },
      cnf: { 'x5t#S256': child.thumbprint },
    });
    expect((await plugin.refresh(child.refreshToken, { resource: DEMO })).status).toBe(400);
    const admin = await child.client.refresh(child.refreshToken, { resource: ADMIN });
    expect(admin).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    const used = await child.client.get(PODS, String(answer.body['access_token']));
    expect(used.status).toBe(200);
  });

  it('are listed beneath the user’s own, and ended with all beneath them', async () => {
    const child = await delegate(plugin, user.refreshToken);
    const grandchild = await delegate(child.client, child.refreshToken, { name: 'reviewer' });
    const token = await selfToken(plugin, user.refreshToken);
    const items = async (): Promise<readonly DelegatedItem[]> =>
      (await delegationsRequest(plugin, token, 'GET')).body['delegations'] as readonly DelegatedItem[];
    expect((await items()).map(({ name, parent }) => ({ name, parent }))).toEqual(
      expect.arrayContaining([
        { name: 'claude', parent: user.session },
        { name: 'claude/reviewer', parent: child.item.id },
      ]),
    );
    const ended = await delegationsRequest(plugin, token, 'DELETE', { id: child.item.id });
    expect(ended).toMatchObject({ status: 200, body: { complete: true, sessions: 2 } });
    expect((await grandchild.client.refresh(grandchild.refreshToken)).status).toBe(400);
    expect((await items()).map(({ id }) => id)).not.toContain(child.item.id);
  });
});
