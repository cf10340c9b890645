import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import {
  annotation,
  browserAt,
  closeStages,
  openStage,
  openSession,
  PUBLIC_URL,
  signedInAs,
  type AdminAt,
} from '../unit/web/harness.ts';
import { users } from '../unit/web/test-provider.ts';

afterEach(closeStages);

const revocations = '/admin/api/v1/revocations';

const post = ({ browser, csrf }: AdminAt, body: object, path = revocations) =>
  browser.post(path).set('Origin', PUBLIC_URL).set('X-CSRF-Token', csrf).send(body);

describe('roles', () => {
  const paths = ['sessions', 'sessions/alice-1', 'clusters', 'providers'];

  test.each([
    ['root', 200],
    ['auditor', 200],
    ['alice', 403],
  ])('%s reads and gets %i, and the request is audited', async (who, status) => {
    const at = await signedInAs(who);
    await openSession(at.stage, 'alice-1', 'alice');
    for (const path of paths) await at.browser.get(`/admin/api/v1/${path}`).expect(status);
    const events = at.stage.named(status === 200 ? 'admin-read' : 'admin-refused');
    expect(events).toHaveLength(paths.length);
    expect(events[0]).toMatchObject({
      user: { username: users[who]?.identity.username },
      responseStatus: { code: status },
    });
    expect(annotation(events[0], 'reason')).toBe(status === 200 ? 'sessions' : 'no_role');
  });

  test.each([
    ['root', 200, 'INC-4711'],
    ['auditor', 403, 'auditor_may_not_act'],
    ['alice', 403, 'no_role'],
  ])('%s revokes and gets %i, and the request is audited with the reason %s', async (who, status, reason) => {
    const at = await signedInAs(who);
    await openSession(at.stage, 'alice-1', 'alice');
    await post(at, { session: 'alice-1', reason: 'INC-4711' }).expect(status);
    const [event] = at.stage.named(status === 200 ? 'revocation' : 'admin-refused');
    expect(annotation(event, 'reason')).toBe(reason);
    expect(event?.responseStatus?.code).toBe(status);
    expect((await at.stage.store.sessions.read('alice-1')) === undefined).toBe(status === 200);
  });

  test('a client that is not signed in gets 401 and learns nothing about which resources exist', async () => {
    const stage = await openStage();
    for (const path of ['sessions', 'nothing', 'revocations/x']) {
      const { body } = await browserAt(stage).get(`/admin/api/v1/${path}`).expect(401);
      expect(body).toMatchObject({ code: 'unauthenticated', status: 401 });
    }
    expect(stage.named('admin-refused')).toHaveLength(3);
  });

  test('an Authorization header is rejected here even with a valid cookie', async () => {
    const at = await signedInAs('root');
    await at.browser.get('/admin/api/v1/sessions').set('Authorization', 'Bearer anything').expect(401);
    expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe('authorization_header');
  });

  test.each([
    ['no CSRF token', { Origin: PUBLIC_URL }, 'csrf_token'],
    ['a wrong CSRF token', { Origin: PUBLIC_URL, 'X-CSRF-Token': 'wrong' }, 'csrf_token'],
    ['a foreign Origin', { Origin: 'https://evil.example', 'X-CSRF-Token': 'own' }, 'foreign_origin'],
    ['no Origin', { 'X-CSRF-Token': 'own' }, 'foreign_origin'],
  ])('a change with %s is rejected', async (_what, headers, reason) => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const sent = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, v === 'own' ? at.csrf : v]));
    await at.browser.post(revocations).set(sent).send({ all: true, reason: 'INC-1' }).expect(403);
    await at.browser.delete('/admin/api/v1/sessions/alice-1').set(sent).expect(403);
    expect(at.stage.named('admin-refused').map((event) => annotation(event, 'reason'))).toEqual([reason, reason]);
    expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
  });
});

describe('reading', () => {
  test('a session shows its user, its address and its end, and no secret', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const { body, text } = await at.browser.get('/admin/api/v1/sessions/alice-1').expect(200);
    expect(body).toEqual({
      id: 'alice-1',
      account: 'corp/sub-alice',
      provider: 'corp',
      subject: 'sub-alice',
      username: 'corp:alice@example.com',
      groups: ['corp:developers'],
      client: 'portcullis-cli',
      createdAt: '2026-11-25T12:00:00Z',
      lastUsedAt: '2026-11-25T12:00:00Z',
      expiresAt: '2026-11-25T13:00:00Z',
      address: '203.0.113.7',
      userAgent: 'portcullis/0.1.0 (linux; x64)',
      bound: false,
      device: false,
    });
    expect(text).not.toContain('canary');
    await at.stage.store.sessions.mint('alice-1', { thumbprint: 'a-thumbprint' });
    expect((await at.browser.get('/admin/api/v1/sessions/alice-1')).body).toMatchObject({ bound: true });
  });

  test('the list pages by cursor and filters by account', async () => {
    const at = await signedInAs('root');
    for (const id of ['a1', 'a2', 'a3']) await openSession(at.stage, id, 'alice');
    const first = await at.browser.get('/admin/api/v1/sessions?limit=2').expect(200);
    const { cursor } = first.body as { cursor: string };
    const second = await at.browser
      .get(`/admin/api/v1/sessions?limit=2&cursor=${encodeURIComponent(cursor)}`)
      .expect(200);
    const ids = [first, second].flatMap(({ body }) =>
      (body as { sessions: { id: string }[] }).sessions.map(({ id }) => id),
    );
    expect(new Set(ids).size).toBe(4);
    const { body } = await at.browser.get('/admin/api/v1/sessions?account=corp%2Fsub-alice').expect(200);
    expect((body as { sessions: unknown[] }).sessions).toHaveLength(3);
  });

  test('clusters and providers show their names, and an unknown health where no probe runs', async () => {
    const at = await signedInAs('auditor');
    const clusters = await at.browser.get('/admin/api/v1/clusters').expect(200);
    expect(clusters.body).toEqual({
      clusters: ['prod', 'staging'].map((name) => ({ name, state: 'unknown' })),
    });
    const providers = await at.browser.get('/admin/api/v1/providers').expect(200);
    expect(providers.body).toEqual({
      providers: ['corp', 'lab'].map((name) => ({ name, state: 'unknown' })),
    });
  });

  test.each([
    ['sessions?limit=0', 400, 'bad_request'],
    ['sessions?limit=201', 400, 'bad_request'],
    ['sessions?limit=1&limit=2', 400, 'bad_request'],
    ['sessions?account=noslash', 400, 'bad_request'],
    ['sessions?acount=corp/x', 400, 'bad_request'],
    ['sessions/none', 404, 'session_not_found'],
    ['sessions/%2e%2e', 404, 'session_not_found'],
    ['revocations/none', 404, 'revocation_not_found'],
    ['nothing', 404, 'not_found'],
    ['revocations', 405, 'method_not_allowed'],
  ])('GET %s is %i %s', async (path, status, code) => {
    const at = await signedInAs('root');
    const { body, headers } = await at.browser.get(`/admin/api/v1/${path}`).expect(status);
    expect(headers['content-type']).toBe('application/problem+json');
    expect(body).toMatchObject({ type: 'about:blank', status, code, requestId: headers['x-request-id'] });
    expect(at.stage.named('admin-read')).toHaveLength(1);
  });
});

describe('revoking', () => {
  test.each([
    ['a session', { session: 'alice-1' }, ['root-1', 'other-1']],
    ['an account', { account: 'corp/sub-alice' }, ['root-1', 'other-1']],
    ['a username', { username: 'corp:root@example.com' }, ['alice-1', 'other-1']],
  ])(
    'a revocation of %s ends the sessions that it names, and the response is the receipt',
    async (_what, body, left) => {
      const at = await signedInAs('root');
      await openSession(at.stage, 'alice-1', 'alice');
      await openSession(at.stage, 'root-1', 'root');
      await openSession(at.stage, 'other-1', 'brief');
      const response = await post(at, { ...body, reason: 'INC-4711' }).expect(200);
      expect(response.body).toMatchObject({ complete: true, replicas: [{ id: 'portcullis-0', state: 'applied' }] });
      const { sessions } = await at.stage.store.sessions.list({ limit: 200 });
      const ids = sessions.map(({ id }) => id).filter((id) => id.endsWith('-1'));
      expect(ids.toSorted()).toEqual(left.toSorted());
      const [event] = at.stage.named('revocation');
      expect(annotation(event, 'revocation')).toBe((response.body as { id: string }).id);
      expect(annotation(event, 'complete')).toBe('true');
    },
  );

  test('a revocation of everything ends every session, that of the admin as well', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const { body } = await post(at, { all: true, reason: 'break-in' }).expect(200);
    await at.browser.get(`${revocations}/${(body as { id: string }).id}`).expect(401);
    expect(await at.stage.store.sessions.count()).toBe(0);
  });

  test('the receipt can be read again', async () => {
    const at = await signedInAs('root');
    const { body } = await post(at, { account: 'corp/sub-alice', reason: 'INC-1' }).expect(200);
    const { id } = body as { id: string };
    const again = await at.browser.get(`${revocations}/${id}`).expect(200);
    expect(again.body).toMatchObject({ id, complete: true });
  });

  test('DELETE of a session revokes it, with the reason from the query', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const gone = () =>
      at.browser
        .delete('/admin/api/v1/sessions/alice-1?reason=INC-9')
        .set('Origin', PUBLIC_URL)
        .set('X-CSRF-Token', at.csrf);
    await gone().expect(200);
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('INC-9');
    const { body } = await gone().expect(404);
    expect(body).toMatchObject({ code: 'session_not_found' });
  });

  test.each([
    ['no account', 'corp:unknown@example.com', 404, 'username_not_found'],
    ['two accounts', 'corp:alice@example.com', 409, 'username_ambiguous'],
  ])('a username of %s ends no session: %s gets %i', async (_what, username, status, code) => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await openSession(at.stage, 'alice-2', 'alice', 'corp/another-alice');
    const { body } = await post(at, { username, reason: 'INC-1' }).expect(status);
    expect(body).toMatchObject({ code });
    expect(await at.stage.store.sessions.count()).toBe(3);
  });

  test.each([
    ['no target', { reason: 'x' }],
    ['two targets', { all: true, account: 'corp/x', reason: 'x' }],
    ['all: false', { all: false, reason: 'x' }],
    ['no reason', { all: true }],
    ['an empty reason', { all: true, reason: '  ' }],
    ['a reason that is too long', { all: true, reason: 'x'.repeat(501) }],
    ['an unknown key', { all: true, reason: 'x', lokc: true }],
    ['a list', [{ all: true, reason: 'x' }]],
  ])('a revocation with %s gets 400 and revokes nothing', async (_what, body) => {
    const at = await signedInAs('root');
    const response = await post(at, body).expect(400);
    expect(response.body).toMatchObject({ code: 'bad_request' });
    expect(await at.stage.store.sessions.count()).toBe(1);
    expect(at.stage.named('revocation')[0]?.responseStatus?.code).toBe(400);
  });

  test('a body that is not JSON, too large or malformed is rejected, and the response does not repeat it', async () => {
    const at = await signedInAs('root');
    const send = (type: string, body: string) =>
      at.browser.post(revocations).set('Origin', PUBLIC_URL).set('X-CSRF-Token', at.csrf).type(type).send(body);
    await send('form', 'all=true&reason=x').expect(400);
    const large = await send('json', JSON.stringify({ all: true, reason: 'canary'.repeat(4000) })).expect(413);
    const broken = await send('json', '{"reason": canary}').expect(400);
    expect(large.text + broken.text).not.toContain('canary');
  });

  test('an unknown provider gets 404, so that a typing error is not reported as complete', async () => {
    const at = await signedInAs('root');
    const { body } = await post(at, { provider: 'crop', reason: 'x' }).expect(404);
    expect(body).toMatchObject({ code: 'provider_not_found' });
  });

  test('what it would cut can be read before, and nothing is done', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await openSession(at.stage, 'alice-2', 'alice');
    const scope = (query: string) => at.browser.get(`/admin/api/v1/revocation-scope?${query}`);
    const nothingOpen = { delegated: 0, more: false, openHere: 0, known: true };
    expect((await scope('all=true').expect(200)).body).toEqual({ sessions: 3, users: 2, ...nothingOpen });
    const { body } = await scope('username=corp:alice@example.com').expect(200);
    expect(body).toEqual({ sessions: 2, users: 1, ...nothingOpen });
    for (const query of ['', 'all=false', 'all=true&provider=corp']) await scope(query).expect(400);
    await scope('provider=crop').expect(404);
    expect(await at.stage.store.sessions.count()).toBe(3);
  });

  test('an account is known while it has a session, a lock, or a revocation of its own', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const scope = async (name: string) =>
      (await at.browser.get(`/admin/api/v1/revocation-scope?account=corp%2F${name}`).expect(200)).body as object;
    expect(await scope('sub-alice')).toMatchObject({ sessions: 1, known: true });
    expect(await scope('sub-alcie')).toMatchObject({ sessions: 0, known: false });
    await post(at, { account: 'corp/sub-alice', reason: 'x' }).expect(200);
    expect(await scope('sub-alice')).toMatchObject({ sessions: 0, known: true });
    await post(at, { account: 'corp/sub-alcie', lock: true, force: true, reason: 'x' }).expect(200);
    await at.stage.store.freshSignIns.lift('corp/sub-alcie');
    expect(await scope('sub-alcie')).toMatchObject({ sessions: 0, known: true });
  });

  test('an account of an unknown provider gets 404, unless the account is known', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'old-1', 'alice', 'removed/alice');
    for (const path of [revocations, '/admin/api/v1/locks']) {
      const { body } = await post(at, { account: 'crop/sub-alice', force: true, reason: 'x' }, path).expect(404);
      expect(body).toMatchObject({ code: 'provider_not_found', detail: expect.stringContaining('There are: corp') });
    }
    expect(await at.stage.store.locks.list()).toEqual([]);
    await post(at, { account: 'removed/alice', reason: 'x' }).expect(200);
    expect(await at.stage.store.sessions.read('old-1')).toBeUndefined();
  });

  test('a lock of an account of which nothing is known gets 409 and locks nothing, until it is forced', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const lock = (body: object) => post(at, { reason: 'x', lock: true, ...body });
    expect((await lock({ account: 'corp/sub-alcie' }).expect(409)).body).toMatchObject({ code: 'account_not_seen' });
    expect(await at.stage.store.locks.list()).toEqual([]);
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('account_not_seen');
    await lock({ account: 'corp/sub-alcie', force: true }).expect(200);
    // It is locked now, and one that was revoked is remembered.
    await lock({ account: 'corp/sub-alcie' }).expect(200);
    await post(at, { account: 'corp/sub-alice', reason: 'x' }).expect(200);
    await lock({ account: 'corp/sub-alice' }).expect(200);
    // Without a lock the account is revoked all the same: it may have tokens, and nothing stays behind.
    await post(at, { account: 'corp/unknown', reason: 'x' }).expect(200);
  });

  test('a store that is unavailable gets 503 revocation_not_written, and the request is audited', async () => {
    const at = await signedInAs('root');
    at.stage.store.log.append = async () => {
      throw new AppError('store_unavailable', 'the store is unavailable');
    };
    const { body } = await post(at, { account: 'corp/sub-alice', reason: 'INC-1' }).expect(503);
    expect(body).toMatchObject({ code: 'revocation_not_written' });
    const events = at.stage.named('revocation');
    expect(events).toHaveLength(1);
    expect(annotation(events[0], 'outcome')).toBe('revocation_not_written');
  });
});
