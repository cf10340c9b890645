import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import type { RightsLimit } from '../../src/core/delegation/rights.ts';
import { ALICE, call, pairsOf, signIn, startPlane, until } from '../support/data-plane.ts';
import type { CallOptions, TestPlane, TestUser } from '../support/data-plane.ts';
import { delegateTo } from '../support/delegated-user.ts';
import { answerReviews, forwarded } from '../support/reviews.ts';

const SHOP = '/api/v1/namespaces/shop';
const READ_ONLY: RightsLimit = { preset: 'read-only', namespaces: ['shop'] };
const WEBSOCKET = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };

describe('the limits of a delegated session', () => {
  let plane: TestPlane;
  let alice: TestUser;
  let claude: TestUser;
  beforeAll(async () => {
    plane = await startPlane();
    alice = await signIn(plane);
    claude = await delegateTo(plane, alice, 'claude', { limits: [READ_ONLY] });
  });
  afterAll(() => plane.close());
  beforeEach(() => {
    plane.audited.length = 0;
    plane.ahead.length = 0;
    plane.counted.delegated.length = 0;
    plane.upstream.clear();
    plane.upstream.answer = answerReviews(() => ({ allowed: true })).answer;
    plane.upstream.answerUpgrade = (_req, socket) => {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    };
  });

  const impersonation = (): string[] =>
    pairsOf(forwarded(plane.upstream.requests)[0]?.rawHeaders)
      .filter(([name]) => name.startsWith('Impersonate-Extra-'))
      .map(([name, value]) => `${decodeURIComponent(name.slice('Impersonate-Extra-'.length))}=${value}`);
  const lastEvent = async (): Promise<TestPlane['audited'][number] | undefined> => {
    await until(() => plane.audited.length > 0, 'the audit event');
    return plane.audited.at(-1);
  };

  it.each<readonly [name: string, path: string, options: CallOptions]>([
    ['a pod', `${SHOP}/pods/web-1`, {}],
    ['a watch', `${SHOP}/pods?watch=1&timeoutSeconds=1`, {}],
    ['logs', `${SHOP}/pods/web-1/log`, {}],
    ['a resource of the cluster’s own', '/apis/example.com/v1/namespaces/shop/widgets', {}],
    ['discovery', '/apis', {}],
    ['discovery of a group', '/apis/apps/v1?timeout=32s', {}],
    ['OpenAPI', '/openapi/v3/apis/apps/v1?hash=1', {}],
    ['health', '/readyz?verbose', {}],
    ['a review of oneself', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { method: 'POST', body: '{}' }],
    ['an upgraded log', `${SHOP}/pods/web-1/log?follow=1`, { headers: WEBSOCKET }],
  ])('let %s pass', async (_name, path, options) => {
    expect((await call(plane, claude, path, options)).status).toBeLessThan(400);
    expect(forwarded(plane.upstream.requests)).toHaveLength(1);
    expect(plane.counted.delegated).toEqual(['prod allowed']);
  });

  it.each<readonly [cannot: string, path: string, options: CallOptions]>([
    ['delete resource "pods" in API group "" in the namespace "shop"', `${SHOP}/pods/web-1`, { method: 'DELETE' }],
    ['deletecollection resource "pods" in API group "" in the namespace "shop"', `${SHOP}/pods`, { method: 'DELETE' }],
    ['list resource "pods" in API group "" at the cluster scope', '/api/v1/pods', {}],
    ['list resource "pods" in API group "" in the namespace "dev"', '/api/v1/namespaces/dev/pods', {}],
    ['watch resource "secrets" in API group "" in the namespace "shop"', '/api/v1/watch/namespaces/shop/secrets', {}],
    ['get resource "secrets" in API group "" in the namespace "shop"', `${SHOP}/secrets/db`, {}],
    ['create resource "pods/exec" in API group "" in the namespace "shop"', `${SHOP}/pods/web-1/exec?command=id`, {}],
    [
      'create resource "pods/exec" in API group "" in the namespace "shop"',
      `${SHOP}/pods/web-1/exec?command=id`,
      { headers: WEBSOCKET },
    ],
    [
      'create resource "pods/exec" in API group "" in the namespace "shop"',
      `${SHOP}/pods/web-1/exec?command=id`,
      { method: 'POST', headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1' } },
    ],
    ['get resource "services/proxy" in API group "" in the namespace "shop"', `${SHOP}/services/web/proxy/admin`, {}],
    ['create resource "pods" in API group "" in the namespace "shop"', `${SHOP}/pods/web-1`, { headers: WEBSOCKET }],
    [
      'create resource "serviceaccounts/token" in API group "" in the namespace "shop"',
      `${SHOP}/serviceaccounts/default/token`,
      { method: 'POST' },
    ],
    ['get path "/metrics"', '/metrics', {}],
  ])('reject %s, before anything is sent', async (cannot, path, options) => {
    const called = await call(plane, claude, path, options);
    expect(called.status).toBe(403);
    const { message = '', ...status } = called.json();
    expect(status).toMatchObject({ kind: 'Status', reason: 'Forbidden', code: 403 });
    expect(message).toContain(`forbidden: User "${ALICE.username}" cannot ${cannot}`);
    expect(message).toContain(
      ': this session was delegated to "claude": read-only in shop; run it in your own session, or delegate more',
    );
    expect(plane.upstream.requests).toEqual([]);
    expect(plane.ahead).toEqual([]);
    expect(plane.counted.delegated).toEqual(['prod refused']);
    expect(await lastEvent()).toMatchObject({
      stage: 'ResponseComplete',
      user: { username: ALICE.username },
      responseStatus: { code: 403 },
      annotations: {
        'portcullis.dev/reason': 'delegation_limit',
        'portcullis.dev/session': alice.session.id,
        'portcullis.dev/delegated-session': claude.session.id,
        'portcullis.dev/actor': 'claude',
      },
    });
  });

  it('name the user’s own session, the actor and the delegated session to the cluster, and never to another session’s request', async () => {
    const reviewer = await delegateTo(plane, claude, 'reviewer', {});
    const extras = async (user: TestUser): Promise<string[]> => {
      plane.upstream.clear();
      expect((await call(plane, user, `${SHOP}/pods`)).status).toBe(200);
      return impersonation();
    };
    const own = [`portcullis.dev/session=${alice.session.id}`];
    for (let round = 0; round < 2; round += 1) {
      expect(await extras(alice)).toEqual(own);
      expect(await extras(claude)).toEqual([
        ...own,
        `portcullis.dev/delegated-session=${claude.session.id}`,
        'portcullis.dev/actor=claude',
      ]);
      expect(await extras(reviewer)).toEqual([
        ...own,
        `portcullis.dev/delegated-session=${reviewer.session.id}`,
        'portcullis.dev/actor=claude/reviewer',
      ]);
    }
    expect(plane.audited.at(-1)?.annotations).toMatchObject({
      'portcullis.dev/session': alice.session.id,
      'portcullis.dev/delegated-session': reviewer.session.id,
      'portcullis.dev/actor': 'claude/reviewer',
    });
    plane.audited.length = 0;
    await call(plane, alice, `${SHOP}/pods`);
    expect(Object.keys((await lastEvent())?.annotations ?? {})).not.toContain('portcullis.dev/actor');
    expect(plane.counted.delegated).toHaveLength(4);
  });

  it('hold beneath it too, whatever a session that is narrowed again is given', async () => {
    const everything = { rules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] };
    const reviewer = await delegateTo(plane, claude, 'reviewer', { limits: [everything] });
    const called = await call(plane, reviewer, `${SHOP}/pods/web-1`, { method: 'DELETE' });
    expect(called.json().message).toContain('this session was delegated to "claude/reviewer": read-only in shop, and');
    expect(plane.upstream.requests).toEqual([]);
  });

  it('are the answer of no review of one’s own rights, so it has a warning', async () => {
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const called = await call(plane, claude, path, { method: 'POST', body: '{}' });
    expect(called.headers['warning']).toBe(
      '299 - "this session was delegated to claude and may do less than this response says: read-only in shop"',
    );
    expect((await call(plane, alice, path, { method: 'POST', body: '{}' })).headers).not.toHaveProperty('warning');
  });

  it('let --as pass for the names that are given, and the cluster is asked with both sessions', async () => {
    const rules = [
      { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] },
      { verbs: ['impersonate'], apiGroups: [''], resources: ['users'], resourceNames: ['demo:limited'] },
    ];
    const nightly = await delegateTo(plane, alice, 'nightly', { limits: [{ rules }] });
    const as = (user: TestUser, name: string, group?: string) =>
      call(plane, user, `${SHOP}/pods`, {
        headers: { 'Impersonate-User': name, ...(group === undefined ? {} : { 'Impersonate-Group': group }) },
      });
    const reviews = answerReviews(() => ({ allowed: true }));
    plane.upstream.answer = reviews.answer;
    expect((await as(claude, 'demo:limited')).json().message).toContain(
      `users "demo:limited" is forbidden: User "${ALICE.username}" cannot impersonate resource "users" in API group "" at the cluster scope: this session was delegated to "claude"`,
    );
    expect(await lastEvent()).toMatchObject({ impersonatedUser: { username: 'demo:limited' } });
    expect((await as(nightly, 'demo:root')).status).toBe(403);
    expect((await as(nightly, 'demo:limited', 'system:masters')).status).toBe(403);
    expect(reviews.asked).toEqual([]);
    expect((await as(nightly, 'demo:limited')).status).toBe(200);
    expect(reviews.asked[0]?.spec).toMatchObject({
      user: ALICE.username,
      extra: {
        'portcullis.dev/session': [alice.session.id],
        'portcullis.dev/delegated-session': [nightly.session.id],
        'portcullis.dev/actor': ['nightly'],
      },
    });
    expect(impersonation()).toContain('portcullis.dev/actor=nightly');
  });

  it.each<readonly [what: string, cannot: string, path: string, options: CallOptions]>([
    [
      'server-side apply',
      'pods',
      'pods/new',
      { method: 'PATCH', headers: { 'content-type': 'application/apply-patch+yaml' } },
    ],
    ['a patch without a type', 'pods', 'pods/new', { method: 'PATCH' }],
    ['a PUT of a service', 'services', 'services/new', { method: 'PUT' }],
  ])('need create as well for %s, which creates what is not there', async (_what, resource, path, options) => {
    const rule = { apiGroups: [''], resources: ['pods', 'services'] };
    const changes = await delegateTo(plane, alice, 'changes', {
      limits: [{ rules: [{ ...rule, verbs: ['patch', 'update'] }] }],
    });
    const creates = await delegateTo(plane, alice, 'creates', { limits: [{ rules: [{ ...rule, verbs: ['*'] }] }] });
    const sent = { ...options, body: '{}' };
    const refused = await call(plane, changes, `${SHOP}/${path}`, sent);
    expect(refused.status).toBe(403);
    expect(refused.json().message).toContain(
      `"new" is forbidden: User "${ALICE.username}" cannot create resource "${resource}"`,
    );
    expect(plane.upstream.requests).toEqual([]);
    const merge = {
      method: 'PATCH',
      body: '{}',
      headers: { 'content-type': 'application/merge-patch+json; charset=utf-8' },
    };
    expect((await call(plane, changes, `${SHOP}/${path}`, merge)).status).toBe(200);
    expect((await call(plane, creates, `${SHOP}/${path}`, sent)).status).toBe(200);
  });

  it('include the addresses from which it may be used', async () => {
    const remote = await delegateTo(plane, alice, 'mcp', { sourceCidrs: ['127.0.0.2/32', '::1/128'] });
    const from = (address: string) => call(plane, remote, `${SHOP}/pods`, { from: address });
    expect((await from('127.0.0.2')).status).toBe(200);
    const elsewhere = await from('127.0.0.1');
    expect(elsewhere.status).toBe(403);
    expect(elsewhere.json().message).toContain('was delegated to "mcp" for use from other addresses than 127.0.0.1');
    expect((await lastEvent())?.annotations['portcullis.dev/reason']).toBe('delegation_source');
  });

  it('follow a change of the user’s identity at once', async () => {
    const groups = (): readonly string[] =>
      pairsOf(forwarded(plane.upstream.requests).at(-1)?.rawHeaders).flatMap(([name, value]) =>
        name === 'Impersonate-Group' ? [value] : [],
      );
    await call(plane, claude, `${SHOP}/pods`);
    expect(groups()).toContain('corp:developers');
    const identity = { ...ALICE, groups: ['corp:guests'] };
    await plane.store.sessions.update(alice.session.id, { identity, secret: {} });
    await expect
      .poll(async () => {
        await call(plane, claude, `${SHOP}/pods`);
        return groups();
      })
      .toEqual(['corp:guests']);
  });
});

test('an agent whose session is over is never told to sign in', async () => {
  const plane = await startPlane();
  const alice = await signIn(plane);
  const claude = await delegateTo(plane, alice, 'claude', { limits: [READ_ONLY] });
  const message = async (): Promise<string | undefined> => (await call(plane, claude, `${SHOP}/pods`)).json().message;
  await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
  const over = /^the session delegated to "claude" has ended: its user has to delegate again \(audit id/;
  expect(await message()).toMatch(over);
  plane.advance(400);
  expect(await message()).toMatch(/if that does not help, the session delegated to "claude" has ended/);
  await plane.close();
});
