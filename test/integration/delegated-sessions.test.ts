import { decodeJwt } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  delegate,
  delegationsRequest,
  newChild,
  order,
  SELF,
  selfToken,
  type DelegatedItem,
} from '../support/delegation.ts';
import { ACCOUNT, startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import { metric } from '../support/metric.ts';
import { OAuthClient, type Answer, type SignedIn } from '../support/oauth-client.ts';

const DEMO = 'urn:portcullis:cluster:demo';
const ADMIN = 'urn:portcullis:admin';
/** A minute, for this test. */
const ORDERS = 100;
const AT_ONCE = 8;
const PODS = '/api/v1/namespaces/default/pods';

describe('delegated sessions, with Redis and a real provider', () => {
  let instance: HostileInstance;
  let plugin: OAuthClient;
  let user: SignedIn;

  beforeAll(async () => {
    instance = await startHostileInstance({}, {}, { signInsPerMinute: ORDERS });
    plugin = instance.client;
  });
  beforeEach(async () => {
    instance.provider.lie({ idToken: (honest) => ({ ...honest, groups: ['developers'] }) });
    // Its access token is for the user's own sessions.
    user = await plugin.signIn('alice', { resource: SELF });
  });
  afterAll(() => instance.stop());

  const sessions = async (): Promise<readonly string[]> =>
    (await instance.server.store.sessions.list({ account: ACCOUNT, limit: 200 })).sessions.map(({ id }) => id);
  const rejections = async (): Promise<number> =>
    Number(await metric(instance.server, 'portcullis_delegations_total{outcome="refused"}'));
  const post = (body: unknown, token = user.accessToken): Promise<Answer> =>
    delegationsRequest(plugin, token, 'POST', { body });

  it('are refreshed with their own key alone, for their own clusters, and never for the admin API', async () => {
    const child = await delegate(plugin, user.refreshToken);
    const answer = await child.client.refresh(child.refreshToken, { resource: DEMO });
    expect(answer.status).toBe(200);
    expect(answer.body['portcullis']).toMatchObject({ session: { id: child.item.id }, clusters: [{ name: 'demo' }] });
    expect(decodeJwt(String(answer.body['access_token']))).toMatchObject({
      aud: DEMO,
      sub: ACCOUNT,
      sid: child.item.id,
      psid: [user.session],
      act: { sub: 'claude' },
      cnf: { 'x5t#S256': child.thumbprint },
    });
    expect((await plugin.refresh(child.refreshToken, { resource: DEMO })).status).toBe(400);
    const admin = await child.client.refresh(child.refreshToken, { resource: ADMIN });
    expect(admin).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    expect(admin.body['error_description']).toContain('a delegated session never administers');
    expect((await child.client.get(PODS, String(answer.body['access_token']))).status).toBe(200);
    expect(JSON.stringify(await instance.recorded())).not.toContain(child.refreshToken);
    const [refreshed] = (await instance.events('refresh')).slice(-1);
    expect(refreshed?.annotations).toMatchObject({
      'portcullis.dev/session': user.session,
      'portcullis.dev/delegated-session': child.item.id,
      'portcullis.dev/actor': 'claude',
    });
  });

  it('are listed beneath the user’s own, and ended with all beneath them', async () => {
    const child = await delegate(plugin, user.refreshToken);
    const grandchild = await delegate(child.client, child.refreshToken, { name: 'reviewer' });
    const items = async (client = plugin, token = user.accessToken): Promise<readonly DelegatedItem[]> =>
      (await delegationsRequest(client, token, 'GET')).body['delegations'] as readonly DelegatedItem[];
    const own = (await items()).filter(({ id }) => [child.item.id, grandchild.item.id].includes(id));
    expect(own.map(({ name, parent }) => ({ name, parent }))).toEqual(
      expect.arrayContaining([
        { name: 'claude', parent: user.session },
        { name: 'claude/reviewer', parent: child.item.id },
      ]),
    );
    const childToken = await selfToken(child.client, child.refreshToken);
    expect((await items(child.client, childToken)).map(({ id }) => id)).toEqual([grandchild.item.id]);
    // A page at a time, without rules; the response for one has them.
    const page = await delegationsRequest(plugin, user.accessToken, 'GET', { query: '?limit=1' });
    expect(page.body).toMatchObject({ delegations: [{ id: grandchild.item.id }], cursor: expect.any(String) });
    const query = `?${new URLSearchParams({ limit: '1', cursor: String(page.body['cursor']) }).toString()}`;
    const next = await delegationsRequest(plugin, user.accessToken, 'GET', { query });
    expect(next.body['delegations']).toMatchObject([{ id: child.item.id, rights: 'read-only', recent: [] }]);
    expect((next.body['delegations'] as readonly object[])[0]).not.toHaveProperty('limits');
    const one = await delegationsRequest(plugin, user.accessToken, 'GET', { id: child.item.id });
    expect(one.body).toMatchObject({ id: child.item.id, limits: [{ preset: 'read-only' }], recent: [] });
    expect((await delegationsRequest(plugin, user.accessToken, 'GET', { query: '?limit=51' })).status).toBe(400);
    for (const id of [child.item.id, user.session]) {
      const beside = await delegationsRequest(child.client, childToken, 'GET', { id });
      expect(beside).toMatchObject({ status: 404, body: { code: 'session_not_found' } });
    }
    // Nothing that is beside or above.
    const above = await delegationsRequest(child.client, childToken, 'DELETE', { id: user.session });
    expect(above).toMatchObject({ status: 404, body: { code: 'session_not_found' } });
    const ended = await delegationsRequest(plugin, user.accessToken, 'DELETE', { id: child.item.id });
    expect(ended).toMatchObject({ status: 200, body: { complete: true, sessions: 2 } });
    expect((await grandchild.client.refresh(grandchild.refreshToken)).status).toBe(400);
    const [logout] = (await instance.events('logout')).slice(-1);
    expect(logout?.annotations).toMatchObject({
      'portcullis.dev/session': user.session,
      'portcullis.dev/delegated-session': child.item.id,
      'portcullis.dev/complete': 'true',
    });
  });

  it('are ended by the revocation endpoint, with their own refresh token and key', async () => {
    const child = await delegate(plugin, user.refreshToken);
    await plugin.revoke(child.refreshToken);
    expect(await sessions()).toContain(child.item.id);
    expect((await child.client.revoke(child.refreshToken)).status).toBe(200);
    expect(await sessions()).not.toContain(child.item.id);
    expect(await sessions()).toContain(user.session);
  });

  it('end with their user’s own session where the provider rejects the user at their refresh', async () => {
    const child = await newChild(plugin.endpoints);
    const made = await post(order(child.thumbprint));
    instance.provider.lie({ token: () => ({ status: 400, body: JSON.stringify({ error: 'invalid_grant' }) }) });
    expect((await child.client.refresh(String(made.body['refreshToken']))).status).toBe(400);
    expect(await sessions()).not.toContain(user.session);
    const [refused] = (await instance.events('refresh-refused')).slice(-1);
    expect(refused?.annotations).toMatchObject({
      'portcullis.dev/session': user.session,
      'portcullis.dev/actor': 'claude',
      'portcullis.dev/reason': 'provider_refresh_refused',
    });
  });

  it('are not made by a sign-in that is for a cluster alone, which says to sign in again', async () => {
    const { callback, verifier } = await plugin.authorize('alice', { extra: { resource: DEMO } });
    const older = await plugin.redeem(callback.searchParams.get('code') ?? '', verifier);
    expect(older.status).toBe(200);
    const refused = await plugin.refresh(String(older.body['refresh_token']), { resource: SELF });
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    expect(refused.body['error_description']).toContain('Sign in again.');
  });

  it.each<[string, (body: object) => unknown, number, string, string?]>([
    ['an unknown field', (body) => ({ ...body, scope: 'all' }), 400, 'bad_request', 'request_malformed'],
    ['a number as text', (body) => ({ ...body, seconds: '60' }), 400, 'bad_request', 'request_malformed'],
    ['a name with control characters', (body) => ({ ...body, name: 'cla\u001B[31mude' }), 400, 'name_malformed'],
    [
      'an unknown verb',
      (body) => ({ ...body, limits: [{ rules: [{ verbs: ['read'], apiGroups: [''], resources: ['pods'] }] }] }),
      400,
      'limits_malformed',
    ],
    [
      'an unknown resource',
      (body) => ({ ...body, limits: [{ rules: [{ verbs: ['get'], apiGroups: [''], resources: ['podz'] }] }] }),
      400,
      'limits_malformed',
    ],
    ['more than 8 kB of limits', (body) => ({ ...body, limits: [large('a'), large('b')] }), 400, 'limits_too_large'],
    ['a time that is negative', (body) => ({ ...body, seconds: -1 }), 400, 'seconds_malformed'],
    ['a thumbprint that is none', (body) => ({ ...body, thumbprint: 'x' }), 400, 'key_malformed'],
  ])('are not made from %s', async (_what, changed, status, code, reason = code) => {
    const child = await newChild(plugin.endpoints);
    const before = await sessions();
    const counted = await rejections();
    const answer = await post(changed(order(child.thumbprint)));
    expect(answer).toMatchObject({ status, body: { code } });
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(await sessions()).toEqual(before);
    const events = await instance.events('delegation-refused');
    const own = events.filter(({ auditID }) => auditID === answer.body['requestId']);
    expect(own).toMatchObject([{ user: { username: 'demo:mallory' }, responseStatus: { code: status } }]);
    expect(own[0]?.annotations).toMatchObject({
      'portcullis.dev/reason': reason,
      'portcullis.dev/session': user.session,
    });
    expect(JSON.stringify([answer.body, own])).not.toContain('\\u001b');
    expect(await rejections()).toBe(counted + 1);
    // Nothing was used up.
    expect((await post(order(child.thumbprint))).status).toBe(201);
    expect(await post(order(child.thumbprint))).toMatchObject({ status: 409, body: { code: 'key_used' } });
  });

  it('are not made with another token, without the key of the token, or once the session is over', async () => {
    const child = await newChild(plugin.endpoints);
    const body = order(child.thumbprint);
    const before = await sessions();
    const cluster = (await plugin.refresh(user.refreshToken, { resource: DEMO })).body['access_token'];
    const keyless = new OAuthClient(plugin.endpoints, undefined);
    expect(await post(body, String(cluster))).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    for (const thief of [child.client, keyless]) {
      const answer = await delegationsRequest(thief, user.accessToken, 'POST', { body });
      expect(answer).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } });
    }
    await keyless.close();
    // A token for one's own sessions opens no cluster.
    expect((await plugin.get(PODS, user.accessToken)).status).toBe(401);
    expect(await sessions()).toEqual(before);
    await plugin.revoke(user.refreshToken);
    expect(await post(body)).toMatchObject({ status: 401 });
    const reasons = (await instance.events('delegation-refused')).slice(-4);
    expect(reasons.map(({ annotations }) => annotations['portcullis.dev/reason'])).toEqual([
      'wrong_audience',
      'certificate_mismatch',
      'certificate_missing',
      'session_revoked',
    ]);
  });

  it('are made one after the other by one account', async () => {
    const children = await Promise.all(Array.from({ length: 8 }, () => newChild(plugin.endpoints)));
    const answers = await Promise.all(children.map(({ thumbprint }) => post(order(thumbprint))));
    const rejected = answers.filter(({ status }) => status !== 201);
    expect(answers.length).toBeGreaterThan(rejected.length);
    expect(rejected.length).toBeGreaterThan(0);
    const events = await instance.events('delegation-refused');
    for (const { status, body, headers } of rejected) {
      expect([status, body['code'], headers['retry-after']]).toEqual([429, 'too_many_requests', '1']);
      const own = events.filter(({ auditID }) => auditID === body['requestId']);
      expect(own).toMatchObject([{ user: { username: 'demo:mallory' }, responseStatus: { code: 429 } }]);
      expect(own[0]?.annotations['portcullis.dev/reason']).toBe('too_many_requests');
    }
    for (const { client } of children) await client.close();
  });

  it('are made only so fast by all delegated sessions of an account, which leaves their user what is theirs', async () => {
    const [child, sibling] = [await delegate(plugin, user.refreshToken), await delegate(plugin, user.refreshToken)];
    const tokens = [
      await selfToken(child.client, child.refreshToken),
      await selfToken(sibling.client, sibling.refreshToken),
    ];
    // Some at once: a machine that takes a minute for a hundred of them, one after the other, never has too many. None waits for
    // another, which would be rejected for that: the body of each is malformed.
    const answers = (await Promise.all(Array.from({ length: AT_ONCE }, (_each, index) => ordersOf(index)))).flat();
    async function ordersOf(index: number): Promise<readonly Answer[]> {
      const { client } = index % 2 === 0 ? child : sibling;
      const made: Answer[] = [];
      while (made.length < (2.4 * ORDERS) / AT_ONCE) {
        made.push(await delegationsRequest(client, tokens[index % 2] ?? '', 'POST', { body: 'malformed' }));
      }
      return made;
    }
    const [taken, tooMany] = [400, 429].map((code) => answers.filter(({ status }) => status === code));
    // Each of the two would have so many of its own.
    expect(taken?.length).toBeLessThan(2 * ORDERS);
    expect(tooMany?.[0]).toMatchObject({
      body: { code: 'too_many_requests' },
      headers: { 'retry-after': expect.any(String) },
    });
    expect((await post({})).status).toBe(400);
  });
});

/** A limit of some six kilobytes. */
const large = (letter: string): object => ({
  namespaces: Array.from({ length: 100 }, (_each, index) => `${letter.repeat(55)}-${index}`),
});
