import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { apiDoor, webDoor, type ApiDoor } from '../support/admin-doors.ts';
import { API, post, remove } from '../unit/web/admin-at.ts';
import {
  annotation,
  browserAt,
  closeStages,
  openStage,
  openSession,
  signedInAs,
  signIn,
  type Stage,
} from '../unit/web/harness.ts';

const open: ApiDoor[] = [];

afterEach(async () => {
  for (const listener of open.splice(0)) listener.close();
  await closeStages();
});

async function listeners(stage: Stage): Promise<{ readonly web: ReturnType<typeof webDoor>; readonly api: ApiDoor }> {
  const api = await apiDoor(stage);
  open.push(api);
  return { web: webDoor(stage), api };
}

describe('the same request sent twice', () => {
  const body = { account: 'corp/sub-alice', force: true, reason: 'INC-1' };

  test.each(['revocations', 'locks'])(
    '%s: a request with the same key runs once and gets the same response again',
    async (resource) => {
      const at = await signedInAs('root');
      await openSession(at.stage, 'alice-1', 'alice');
      const key = randomUUID();
      const first = await post(at, resource, body).set('Idempotency-Key', key).expect(200);
      expect(first.body).toMatchObject({ id: key, sessions: 1 });
      const again = await post(at, resource, body).set('Idempotency-Key', `"${key.toUpperCase()}"`).expect(200);
      expect(again.body).toEqual(first.body);
      const inBody = await post(at, resource, { ...body, requestId: key }).expect(200);
      expect(inBody.body).toEqual(first.body);
      expect(at.stage.named('revocation')).toHaveLength(1);
    },
  );

  test('a DELETE of a session gets the same response again', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const key = randomUUID();
    const first = await remove(at, 'sessions/alice-1?reason=x').set('Idempotency-Key', key).expect(200);
    const again = await remove(at, 'sessions/alice-1?reason=x').set('Idempotency-Key', key).expect(200);
    expect(again.body).toEqual(first.body);
  });

  test('another request, or another admin’s request, with the same key gets 409 at both listeners', async () => {
    const at = await signedInAs('root');
    const { api } = await listeners(at.stage);
    const key = randomUUID();
    await post(at, 'locks', body).set('Idempotency-Key', key).expect(200);
    const other = { ...body, reason: 'another' };
    const { body: problem } = await post(at, 'locks', other).set('Idempotency-Key', key).expect(409);
    expect(problem).toMatchObject({ code: 'request_id_reused' });
    const ann = await api.as('ann');
    await ann({ method: 'post', path: '/locks' }).set('Idempotency-Key', key).send(body).expect(409);
    expect(annotation(at.stage.named('lock').at(-1), 'reason')).toBe('request_id_reused');
  });

  test.each([
    ['that is no UUID', 'abc', undefined, 'idempotency_key_malformed'],
    ['together with another requestId', randomUUID(), randomUUID(), 'request_id_twice'],
  ])('a key %s gets 400', async (_what, key, requestId, reason) => {
    const at = await signedInAs('root');
    const sent = { ...body, ...(requestId === undefined ? {} : { requestId }) };
    await post(at, 'revocations', sent).set('Idempotency-Key', key).expect(400);
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe(reason);
  });
});

describe('too many calls', () => {
  test('of one account are limited over both listeners together, and no other account is limited', async () => {
    const at = await signedInAs('root');
    const { web, api } = await listeners(at.stage);
    const [byWeb, byApi] = [await web.as('root'), await api.as('root')];
    const call = { method: 'get', path: '/replicas' } as const;
    // The pages of the sign-in count as calls as well.
    at.stage.clock.advance(1);
    for (let index = 0; index < 300; index += 1) {
      await byWeb(call).expect(200);
      await byApi(call).expect(200);
    }
    for (const [ask, listener] of [[byWeb, 'web'] as const, [byApi, 'api'] as const]) {
      const { headers } = await ask(call).expect(429);
      expect(headers['retry-after'], listener).toBe('1');
    }
    const line = at.stage.named('admin-read').at(-1);
    expect([line?.responseStatus?.code, annotation(line, 'reason')]).toEqual([429, 'too_many_requests']);
    expect(line?.user.username).toBe('corp:root@example.com');
    await (await web.as('ann'))(call).expect(200);
    // Changes have their own bucket: an admin who has read too much can still act.
    await post(at, 'locks', { account: 'corp/x', force: true, reason: 'x' }).expect(200);
    at.stage.clock.advance(1);
    await byWeb(call).expect(200);
  });

  test('pages count as calls: too many requests for pages get 429, and those of another account do not', async () => {
    const at = await signedInAs('root');
    // The pages of the sign-in count as well, so a few of these are refused.
    const statuses: number[] = [];
    const load = async (): Promise<number> => statuses.push((await at.browser.get('/me/kubeconfig')).status);
    for (let index = 0; index < 600; index += 1) await load();
    for (const page of ['/me', '/admin']) {
      const { text, headers } = await at.browser.get(page).expect(429);
      expect(text).toContain('Too many requests');
      expect(headers['retry-after'], page).toBe('1');
    }
    const tooMany = () => at.stage.named('admin-refused').filter((event) => event.responseStatus?.code === 429);
    expect(tooMany().map((event) => [annotation(event, 'reason'), annotation(event, 'count')])).toEqual([
      ['too_many_requests', '1'],
    ]);
    expect(tooMany()[0]).toMatchObject({ requestURI: '/me/kubeconfig', user: { username: 'corp:root@example.com' } });
    await at.browser.get(`${API}/replicas`).expect(429);
    const ann = browserAt(at.stage);
    await signIn(ann, 'ann');
    await ann.get('/me').expect(200);
    at.stage.clock.advance(1);
    await at.browser.get('/me').expect(200);
    // An attacker who goes on fills no audit log: one event a minute, with the number.
    at.stage.clock.advance(60);
    const refused = statuses.filter((status) => status === 429).length + ['/me', '/admin'].length;
    for (let index = 0; index < 602; index += 1) await load();
    expect(tooMany().map((event) => annotation(event, 'count'))).toEqual(['1', String(refused)]);
  });

  test('five hundred sessions can be revoked one by one in less than a minute of waiting', async () => {
    const at = await signedInAs('root');
    let waited = 0;
    for (let index = 0; index < 500; index += 1) {
      const { status, headers } = await remove(at, `sessions/none-${index}`);
      if (status !== 429) continue;
      const seconds = Number(headers['retry-after']);
      waited += seconds;
      at.stage.clock.advance(seconds);
    }
    expect(waited).toBeGreaterThan(0);
    expect(waited).toBeLessThan(60);
  });

  test('without a credential get 429, and a call with a credential from the same address is served', async () => {
    const at = await signedInAs('root');
    for (let index = 0; index < 120; index += 1) await browserAt(at.stage).get(`${API}/sessions`).expect(401);
    const { body, headers } = await browserAt(at.stage).get(`${API}/sessions`).expect(429);
    expect(body).toMatchObject({ code: 'too_many_requests' });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    const line = at.stage.named('admin-refused').at(-1);
    expect([line?.responseStatus?.code, annotation(line, 'reason')]).toEqual([429, 'too_many_requests']);
    await at.browser.get(`${API}/sessions`).expect(200);
    // The other listener sees the same address.
    const { api } = await listeners(at.stage);
    await api.anonymous({ method: 'get', path: '/sessions' }).expect(429);
    await (await api.as('root'))({ method: 'get', path: '/sessions' }).expect(200);
  });
});

describe('a change after a sign-in that is too old', () => {
  test('gets 401 with the challenge of RFC 9470 at the api listener, and reads are still allowed', async () => {
    const stage = await openStage();
    const { api } = await listeners(stage);
    const root = await api.as('root');
    stage.clock.advance(1800);
    const { body, headers } = await root({ method: 'delete', path: '/sessions/root-cli?reason=x' }).expect(401);
    expect(body).toMatchObject({ code: 'fresh_sign_in_needed' });
    expect(headers['www-authenticate']).toBe('Bearer error="insufficient_user_authentication", max_age=900');
    const [line] = stage.named('admin-refused');
    expect([line?.responseStatus?.code, annotation(line, 'reason')]).toEqual([401, 'fresh_sign_in_needed']);
    await root({ method: 'get', path: '/sessions' }).expect(200);
  });
});

test('a live view is chosen by the Accept header, and JSON is the default', async () => {
  const at = await signedInAs('auditor');
  for (const accept of ['*/*', 'application/json', 'application/json, text/event-stream']) {
    const { headers } = await at.browser.get(`${API}/replicas`).set('Accept', accept).expect(200);
    expect([headers['content-type'], headers['vary']]).toEqual(['application/json; charset=utf-8', 'Accept']);
  }
  const { headers } = await at.browser.head(`${API}/replicas`).set('Accept', 'text/event-stream').expect(200);
  expect(headers['content-type']).toContain('text/event-stream');
});
