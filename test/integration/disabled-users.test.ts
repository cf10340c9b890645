/**
 * A provider that still refreshes the tokens of users who are disabled there: it rejects nothing, so a rule has to
 * end their sessions. These tests use a whole server, while the user is working.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Visitor } from '../../demo/visitor.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient, SignedIn } from '../support/oauth-client.ts';
import { CLIENT, startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';

const DISABLED = 'Your account is disabled. Ask the help desk.';
const RULES = [{ expression: 'claims.active == true', message: DISABLED }];

/** Each is a separate provider, which reports the state in the ID token only or at UserInfo only. */
const SAYS = { none: [], idtoken: [], userinfo: ['active'] } as const;
type Name = keyof typeof SAYS;

let instance: TestInstance;
let client: OAuthClient;
const idps = new Map<Name, VendorIdp>();

beforeAll(async () => {
  instance = await startTestInstance({
    // Seconds; shorter than any file may say.
    loaded: (config) => ({ ...config, sessions: { ...config.sessions, recheck: 1 } }),
    async file(settings, { urls, files }) {
      const secret = join(files.directory, 'vendor-secret');
      await writeFile(secret, CLIENT.secret);
      const providers: object[] = [];
      for (const name of Object.keys(SAYS) as Name[]) {
        const idp = await startVendorIdp({
          scopes: ['openid', 'profile', 'email', 'offline_access'],
          claims: { preferred_username: 'alice', active: true },
          userInfoOnly: SAYS[name],
          callback: `${urls.web}/callback/${name}`,
        });
        idps.set(name, idp);
        const client = { clientId: CLIENT.id, clientSecretFile: secret, username: 'claims.preferred_username' };
        providers.push({ name, issuer: idp.issuer, ...client, rules: name === 'none' ? [] : RULES });
      }
      return { ...settings, providers: [...(settings['providers'] as object[]), ...providers] };
    },
  });
  client = await instance.connect();
});
afterAll(async () => {
  await instance.stop();
  await Promise.all([...idps.values()].map((idp) => idp.close()));
});
beforeEach(() => {
  for (const idp of idps.values()) [idp.gone, idp.refreshesDisabled] = [false, true];
});

const signIn = async (name: Name): Promise<SignedIn> => {
  const { callback, verifier } = await client.authorize('alice', { extra: { provider: name } });
  const answer = await client.redeem(callback.searchParams.get('code') ?? '', verifier);
  expect(answer.status).toBe(200);
  const { session } = answer.body['portcullis'] as { session: { id: string } };
  const { access_token: accessToken, refresh_token: refreshToken } = answer.body;
  return { accessToken: String(accessToken), refreshToken: String(refreshToken), session: session.id, answer };
};
const idpOf = (name: Name): VendorIdp => idps.get(name) as VendorIdp;

it('a session goes on without a rule, although the provider is asked', async () => {
  const { refreshToken, session } = await signIn('none');
  idpOf('none').gone = true;
  const before = idpOf('none').tokenRequests.length;
  expect((await client.refresh(refreshToken)).status).toBe(200);
  expect(idpOf('none').tokenRequests.length).toBeGreaterThan(before);
  expect(await instance.server.store.sessions.read(session)).toMatchObject({ account: 'none/subject-of-alice' });
});

it.each(['idtoken', 'userinfo'] as const)(
  'a session ends at the next re-check by a rule over %s, with its message',
  async (name) => {
    const { refreshToken, accessToken, session } = await signIn(name);
    idpOf(name).gone = true;
    const refused = await client.refresh(refreshToken);
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(String(refused.body['error_description'])).toContain(DISABLED);
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
    const request = await client.get('/version', accessToken);
    expect(request.status).toBe(401);
    expect(String(request.body['message'])).toContain(DISABLED);
  },
);

it.each(['idtoken', 'userinfo'] as const)('a sign-in is denied by the same rule over %s', async (name) => {
  idpOf(name).gone = true;
  const { callback } = await client.authorize('alice', { extra: { provider: name } });
  expect(callback.searchParams.get('error')).toBe('access_denied');
  expect(callback.searchParams.get('error_description')).toContain(DISABLED);
});

it('a session of a browser ends too, which no program refreshes', async () => {
  const { web } = instance.urls;
  const visitor = new Visitor({ name: 'alice', password: '' });
  const page = await visitor.visit(`${web}/login/start?provider=idtoken&to=me`);
  expect(page).toMatchObject({ status: 200, url: `${web}/me` });
  expect(page.html).toContain('idtoken:alice');
  idpOf('idtoken').gone = true;
  await expect.poll(async () => (await visitor.visit(`${web}/me`)).html).toContain(DISABLED);
  const { sessions } = await instance.server.store.sessions.list({ account: 'idtoken/subject-of-alice', limit: 10 });
  expect(sessions.filter(({ client }) => client === 'browser')).toEqual([]);
});
