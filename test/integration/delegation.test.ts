import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ALICE, call, pairsOf, signIn, startPlane, until } from '../support/data-plane.ts';
import type { Called, TestUser, TestPlane } from '../support/data-plane.ts';
import { ACCESS_REVIEWS, answerReviews, forwarded } from '../support/reviews.ts';
import type { AskedReview } from '../support/reviews.ts';

const PODS = '/api/v1/namespaces/default/pods';
const AS = { 'Impersonate-User': 'demo:limited' };
const allowed = (): unknown => ({ allowed: true });

describe('kubectl --as', () => {
  let plane: TestPlane;
  let alice: TestUser;
  let asked: AskedReview[];
  beforeAll(async () => {
    plane = await startPlane();
  });
  afterAll(() => plane.close());
  beforeEach(async () => {
    // Each test has its own session, because the results of reviews are cached per session.
    alice = await signIn(plane);
    plane.audited.length = 0;
    plane.upstream.clear();
    answerWith(allowed);
  });

  const answerWith = (status: (review: AskedReview, res: ServerResponse) => unknown): void => {
    const reviews = answerReviews(status);
    plane.upstream.answer = reviews.answer;
    ({ asked } = reviews);
  };
  const as = (headers: Record<string, string | string[]> = AS): Promise<Called> =>
    call(plane, alice, PODS, { headers });
  const impersonation = (): string[] =>
    pairsOf(forwarded(plane.upstream.requests)[0]?.rawHeaders)
      .filter(([name]) => name.startsWith('Impersonate-'))
      .map(([name, value]) => `${name.slice('Impersonate-'.length)}=${value}`);
  const lastLine = async (): Promise<TestPlane['audited'][number] | undefined> => {
    await until(() => plane.audited.length > 0, 'the audit event');
    return plane.audited.at(-1);
  };

  it('reviews the rights of the real user, then sends the impersonated user and the real identity to the cluster', async () => {
    const answered = await as({
      ...AS,
      'Impersonate-Group': ['demo:readers', 'a, b'],
      'Impersonate-Uid': '42',
    });
    expect(answered.status).toBe(200);
    const { session } = alice;
    const reviews = plane.upstream.requests.filter(({ url }) => url === ACCESS_REVIEWS);
    expect(reviews).toHaveLength(4);
    const headers = pairsOf(reviews[0]?.rawHeaders);
    expect(headers).toContainEqual(['Authorization', 'Bearer upstream-token']);
    expect(headers.filter(([name]) => /^impersonate/i.test(name))).toEqual([]);
    for (const { apiVersion, kind, spec } of asked) {
      expect({ apiVersion, kind }).toEqual({ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' });
      expect(spec).toMatchObject({
        user: ALICE.username,
        uid: ALICE.uid,
        groups: [...ALICE.groups, 'system:authenticated'],
        extra: { 'portcullis.dev/session': [session.id] },
      });
    }
    const attributes = asked.map(({ spec }) => spec.resourceAttributes);
    const core = { verb: 'impersonate', version: 'v1' };
    expect(attributes).toHaveLength(4);
    expect(attributes).toEqual(
      expect.arrayContaining([
        { ...core, resource: 'users', name: 'demo:limited' },
        { ...core, resource: 'groups', name: 'demo:readers' },
        { ...core, resource: 'groups', name: 'a, b' },
        { ...core, group: 'authentication.k8s.io', resource: 'uids', name: '42' },
      ]),
    );
    expect(impersonation()).toEqual([
      'User=demo:limited',
      'Uid=42',
      'Group=demo:readers',
      'Group=a, b',
      `Extra-portcullis.dev%2Fsession=${session.id}`,
      `Extra-portcullis.dev%2Foriginal-user=${ALICE.username}`,
    ]);
    expect(await lastLine()).toMatchObject({
      user: { username: ALICE.username },
      impersonatedUser: { username: 'demo:limited', uid: '42', groups: ['demo:readers', 'a, b'] },
      responseStatus: { code: 200 },
    });
  });

  it('responds with 403 and the message of Kubernetes where the cluster denies it, and forwards nothing', async () => {
    answerWith(() => ({ allowed: false }));
    const answered = await as({ 'Impersonate-User': 'demo:root' });
    expect(answered.json()).toMatchObject({
      kind: 'Status',
      reason: 'Forbidden',
      code: 403,
      message: `users "demo:root" is forbidden: User "${ALICE.username}" cannot impersonate resource "users" in API group "" at the cluster scope (audit id ${String(answered.headers['audit-id'])})`,
    });
    expect(forwarded(plane.upstream.requests)).toEqual([]);
    expect(await lastLine()).toMatchObject({
      user: { username: ALICE.username },
      impersonatedUser: { username: 'demo:root' },
      responseStatus: { code: 403 },
      annotations: { 'portcullis.dev/reason': 'impersonation_denied', 'portcullis.dev/session': alice.session.id },
    });
  });

  it('needs permission for every attribute: one group too many is denied', async () => {
    answerWith(({ spec }) => ({ allowed: spec.resourceAttributes?.['name'] !== 'system:masters' }));
    const answered = await as({ ...AS, 'Impersonate-Group': ['demo:readers', 'system:masters'] });
    expect(answered.json().message).toContain('groups "system:masters" is forbidden');
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });

  it('reviews a service account as a service account, in its namespace', async () => {
    expect((await as({ 'Impersonate-User': 'system:serviceaccount:default:builder' })).status).toBe(200);
    expect(asked.map(({ spec }) => spec.resourceAttributes)).toEqual([
      { verb: 'impersonate', version: 'v1', resource: 'serviceaccounts', namespace: 'default', name: 'builder' },
    ]);
    // The API server adds its groups.
    expect(impersonation().filter((line) => line.startsWith('Group'))).toEqual([]);
  });

  it.each<[string, Record<string, string | string[]>, number, string]>([
    ['a group alone', { 'Impersonate-Group': 'system:masters' }, 400, 'impersonation_without_user'],
    ['an unknown name', { ...AS, 'Impersonate-Role': 'x' }, 400, 'impersonation_header_unknown'],
    ['a second user', { ...AS, Impersonate_User: 'root' }, 400, 'impersonation_repeated'],
    ['an empty user', { 'Impersonate-User': '' }, 400, 'impersonation_malformed'],
    [
      'an extra key that Portcullis reserves',
      { ...AS, 'Impersonate-Extra-portcullis.dev%2fsession': 'x' },
      403,
      'impersonation_reserved_extra',
    ],
    ['a key that is not configured', { ...AS, 'Impersonate-Extra-scopes': 'x' }, 403, 'impersonation_not_configured'],
    [
      '33 attributes',
      { ...AS, 'Impersonate-Group': Array.from({ length: 32 }, (_each, index) => `g${index}`) },
      403,
      'impersonation_too_large',
    ],
  ])('is rejected for %s, and nothing at all reaches the API server', async (_what, headers, code, reason) => {
    const answered = await as(headers);
    expect(answered.status).toBe(code);
    expect(plane.upstream.requests).toEqual([]);
    expect(await lastLine()).toMatchObject({
      user: { username: ALICE.username },
      responseStatus: { code },
      annotations: { 'portcullis.dev/reason': reason },
    });
  });

  it('reports the number of attributes and the limit when there are too many', async () => {
    const answered = await as({
      ...AS,
      'Impersonate-Group': Array.from({ length: 40 }, (_each, index) => `g${index}`),
    });
    expect(answered.json().message).toMatch(/\b41 attributes\b.*\b32\b/);
  });

  it('is allowed with 32 attributes', async () => {
    const groups = Array.from({ length: 31 }, (_each, index) => `g${index}`);
    expect((await as({ ...AS, 'Impersonate-Group': groups })).status).toBe(200);
    expect(asked).toHaveLength(32);
    expect(impersonation().filter((line) => line.startsWith('Group'))).toHaveLength(31);
  });

  it.each<[string, (review: AskedReview, res: ServerResponse) => unknown]>([
    ['another status', (_review, res) => void res.writeHead(500).end()],
    ['a redirect', (_review, res) => void res.writeHead(307, { location: '/elsewhere' }).end()],
    ['no JSON', (_review, res) => void res.writeHead(201).end('allowed')],
    ['no status', (_review, res) => void res.writeHead(201).end('{"allowed":true}')],
    // 31 reviews of one request may end in one turn.
    [
      'thousands of values',
      (_review, res) => void res.writeHead(201).end(`{"status":{"allowed":true},"x":[${'{},'.repeat(3_000)}1]}`),
    ],
    ['half a response', (_review, res) => void (res.write('{"status":{"allowed":tr'), res.destroy())],
    ['a reset', (_review, res) => void res.socket?.destroy()],
  ])('is not allowed by %s: it responds with 503 and forwards nothing', async (_what, status) => {
    answerWith(status);
    const answered = await as();
    expect(answered.json()).toMatchObject({ code: 503, reason: 'ServiceUnavailable' });
    expect(answered.json().message).toMatch(/could not be asked .* \(audit id /);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
    expect(await lastLine()).toMatchObject({ annotations: { 'portcullis.dev/reason': 'review_unavailable' } });
    expect(plane.counted.upstreamErrors.length).toBeGreaterThan(0);
    plane.counted.upstreamErrors.length = 0;
  });

  it.each<[string, unknown]>([
    ['the word true', { allowed: 'true' }],
    ['a result that both allows and denies', { allowed: true, denied: true }],
    ['an empty status', {}],
  ])('is not allowed by %s', async (_what, status) => {
    answerWith(() => status);
    expect((await as()).status).toBe(403);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });

  it.each<[string, (review: AskedReview, res: ServerResponse) => unknown]>([
    ['no response in time', () => undefined],
    ['a response without end', (_review, res) => void res.writeHead(201).write('{"status":{"allowed":true}')],
    [
      'one response of two',
      ({ spec }) => (spec.resourceAttributes?.['resource'] === 'users' ? { allowed: true } : undefined),
    ],
  ])('is not allowed by %s: it responds with 503 after the time limit of a review', async (_what, status) => {
    const hasty = await startPlane({ timing: { reviewMs: 200 } });
    hasty.upstream.answer = answerReviews(status).answer;
    const headers = { ...AS, 'Impersonate-Group': 'a' };
    expect((await call(hasty, await signIn(hasty), PODS, { headers })).status).toBe(503);
    expect(forwarded(hasty.upstream.requests)).toEqual([]);
    await until(() => hasty.audited.length > 0, 'the audit event');
    expect(hasty.audited[0]?.annotations['portcullis.dev/reason']).toBe('review_unavailable');
    await hasty.close();
  });

  it('caches a result for a few seconds, for this session and this identity only', async () => {
    const [first, second] = [await as(), await as()];
    expect([first.status, second.status, asked.length]).toEqual([200, 200, 1]);
    plane.advance(6);
    await as();
    plane.advance(-6);
    expect(asked).toHaveLength(2);
    const other = await signIn(plane);
    await call(plane, other, PODS, { headers: AS });
    expect(asked).toHaveLength(3);
  });

  it('reviews the new identity when the identity has changed', async () => {
    await as();
    const identity = { ...ALICE, groups: ['corp:others'] };
    const changed = await plane.store.sessions.update(alice.session.id, { identity, secret: {} });
    expect(changed).toBeDefined();
    await expect
      .poll(async () => {
        await as();
        return asked.at(-1)?.spec.groups;
      })
      .toEqual(['corp:others', 'system:authenticated']);
  });

  it('is rejected when the session is revoked during the review', async () => {
    answerWith(async () => {
      await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
      return { allowed: true };
    });
    expect(await as()).toMatchObject({ status: 401, text: expect.stringMatching(/your session was ended/) as string });
    await until(() => plane.audited.length > 0, 'the audit event');
    expect(forwarded(plane.upstream.requests)).toEqual([]);
    expect(await lastLine()).toMatchObject({ annotations: { 'portcullis.dev/reason': 'session_revoked' } });
  });

  it('is reviewed for an upgrade as for any request', async () => {
    answerWith(() => ({ allowed: false }));
    const headers = { ...AS, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
    const answered = await call(plane, alice, `${PODS}/web-1/exec?command=sh`, { headers });
    expect(answered.status).toBe(403);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });
});

describe('kubectl --as where the cluster limits who may be impersonated', () => {
  it('rejects a group or key that is not listed, grants no rights for what is left out, and trims nothing', async () => {
    const plane = await startPlane({
      cluster: { impersonate: { groups: ['corp:developers'], extra: ['example.com/team'], constrained: 'off' } },
    });
    const alice = await signIn(plane, {
      identity: { ...ALICE, groups: ['corp:developers', 'corp:admins'], extra: { 'example.com/secret': ['x'] } },
    });
    const reviews = answerReviews(allowed);
    plane.upstream.answer = reviews.answer;
    const as = (headers: Record<string, string>): Promise<Called> =>
      call(plane, alice, PODS, { headers: { ...AS, ...headers } });

    const refused = await as({ 'Impersonate-Group': 'corp:admins' });
    expect(refused.json()).toMatchObject({ code: 403 });
    expect(refused.json().message).toContain('"corp:admins" cannot be impersonated through this proxy');
    expect((await as({ 'Impersonate-Extra-other': '1' })).status).toBe(403);
    expect(plane.upstream.requests).toEqual([]);

    const granted = await as({ 'Impersonate-Group': 'corp:developers', 'Impersonate-Extra-Example.com%2fTeam': 'red' });
    expect(granted.status).toBe(200);
    for (const { spec } of reviews.asked) {
      expect(spec).toMatchObject({
        groups: ['corp:developers', 'system:authenticated'],
        extra: { 'portcullis.dev/session': [alice.session.id] },
      });
      expect(JSON.stringify(spec)).not.toContain('secret');
    }
    const sent = pairsOf(forwarded(plane.upstream.requests)[0]?.rawHeaders);
    expect(sent).toContainEqual(['Impersonate-Extra-example.com%2Fteam', 'red']);
    await plane.close();
  });
});
