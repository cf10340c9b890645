import { afterEach, describe, expect, test } from 'vitest';
import type { Account } from '../../src/core/identity/identity.ts';
import type { ComponentHealth } from '../../src/contracts/health.ts';
import { rfc3339 } from '../../src/core/time.ts';
import { PROBE } from '../support/admin-doors.ts';
import { API, post } from '../unit/web/admin-at.ts';
import { openDelegated } from '../unit/web/delegated.ts';
import { annotation, closeStages, openSession, signedInAs, type AdminAt, type Stage } from '../unit/web/harness.ts';
import { openApiDocument } from '../../src/api/openapi.ts';
import { ADMIN_API } from '../../src/core/api/admin-operations.ts';
import { operationsOf } from '../../src/core/api/operation.ts';

afterEach(closeStages);

const read = ({ browser }: AdminAt, path: string) => browser.get(`${API}/${path}`);

interface Page {
  readonly sessions: readonly { readonly id: string }[];
  readonly cursor?: string;
}

/** Returns the sessions that a query finds over all pages, without those of the browsers. */
async function found(at: AdminAt, query: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const parameters = new URLSearchParams({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    const { body } = await read(at, `sessions?${parameters.toString()}`).expect(200);
    const page = body as Page;
    ids.push(...page.sessions.map(({ id }) => id));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return ids.filter((id) => /^s-\d$/.test(id));
}

/** Four sessions, one an hour: alice's two, root's and a workload's. The one before the last was used just now. */
async function startStage(): Promise<AdminAt> {
  const at = await signedInAs('auditor', { config: { workload: [PROBE] } });
  const rows: readonly (readonly [id: string, who: string, account?: Account])[] = [
    ['s-1', 'alice'],
    ['s-2', 'alice', 'corp/another-alice'],
    ['s-3', 'root'],
    ['s-4', 'brief', 'probe/sa:monitoring'],
  ];
  for (const [id, who, account] of rows) {
    at.stage.clock.advance(600);
    await openSession(at.stage, id, who, account);
  }
  await at.stage.store.sessions.mint('s-3', {});
  return at;
}

describe('the list of sessions', () => {
  test.each([
    ['everything', {}, ['s-4', 's-3', 's-2', 's-1']],
    ['oldest first', { sort: 'oldest' }, ['s-1', 's-2', 's-3', 's-4']],
    ['a username', { username: 'corp:alice@example.com' }, ['s-2', 's-1']],
    ['an account', { account: 'corp/another-alice' }, ['s-2']],
    ['an account under another username', { account: 'corp/another-alice', username: 'corp:root@example.com' }, []],
    ['part of a username, in any case', { search: 'ALICE@' }, ['s-2', 's-1']],
    ['part of an account', { search: 'another' }, ['s-2']],
    ['part of an address', { search: '203.0.113' }, ['s-4', 's-3', 's-2', 's-1']],
    ['part of an id', { search: 'S-3' }, ['s-3']],
    ['a client', { search: 'portcullis-cli' }, ['s-4', 's-3', 's-2', 's-1']],
    ['no session by a text that is in none', { search: 'no such text' }, []],
    ['a provider', { provider: 'corp' }, ['s-4', 's-3', 's-2', 's-1']],
    ['another provider', { provider: 'lab' }, []],
    ['a cluster that admins may use', { cluster: 'prod' }, ['s-3']],
    ['a cluster that all may use', { cluster: 'staging' }, ['s-4', 's-3', 's-2', 's-1']],
    ['not used for 20 minutes', { idle: '20m' }, ['s-2', 's-1']],
    ['not used for a day', { idle: '1d' }, []],
    ['several together', { search: 'alice', idle: '20m', cluster: 'staging', sort: 'oldest' }, ['s-1', 's-2']],
  ])('finds %s', async (_what, query, ids) => {
    const at = await startStage();
    expect(await found(at, query)).toEqual(ids);
    expect(await found(at, { ...query, limit: '1' })).toEqual(ids);
  });

  test('a workload’s session is found only by the clusters of its rule', async () => {
    const at = await startStage();
    // By its groups it would belong to an admin.
    await openSession(at.stage, 's-5', 'root', 'probe/sa:other');
    expect(await found(at, { cluster: 'prod' })).toEqual(['s-3']);
    expect(await found(at, { cluster: 'staging' })).toContain('s-5');
  });

  test('the list is ordered by last use in both directions', async () => {
    const at = await startStage();
    at.stage.clock.advance(60);
    await at.stage.store.sessions.mint('s-1', {});
    expect((await found(at, { sort: 'last-used' }))[0]).toBe('s-1');
    expect((await found(at, { sort: 'least-used' })).at(-1)).toBe('s-1');
  });

  test('a request moves the last use, and with it the order and the filter', async () => {
    const at = await startStage();
    const { clock, store } = at.stage;
    const request = { auditId: 'request-1', cluster: 'prod', verb: 'get', uri: '/version', code: 200, address: '' };
    await store.recent.add('s-1', [{ ...request, at: clock.nowMs() }]);
    const { body } = await read(at, 'sessions/s-1').expect(200);
    expect(body).toMatchObject({ lastUsedAt: rfc3339(Math.floor(clock.nowMs() / 1000)) });
    expect(await found(at, { idle: '20m' })).toEqual(['s-2']);
    expect((await found(at, { sort: 'least-used' }))[0]).toBe('s-2');
  });

  test.each([
    ['a cluster that is not configured', 'cluster=crop'],
    ['a provider that is not configured', 'provider=crop'],
    ['an empty search', 'search='],
    ['an endless search', `search=${'x'.repeat(201)}`],
    ['a malformed duration', 'idle=2'],
    ['a duration that is too long', 'idle=99999999999h'],
    ['an unknown order', 'sort=name'],
    ['an order of one account’s sessions', 'sort=oldest&account=corp%2Fx'],
    ['two searches', 'search=a&search=b'],
    ['a malformed cursor', 'cursor=%00'],
    ['a cursor that was never issued', 'cursor=abc'],
  ])('rejects %s, and the rejection is audited', async (_what, query) => {
    const at = await startStage();
    const before = at.stage.events.length;
    const { body } = await read(at, `sessions?${query}`).expect(400);
    expect(body).toMatchObject({ code: 'bad_request' });
    const lines = at.stage.events.slice(before);
    expect(lines.map((line) => [annotation(line, 'event'), line.responseStatus?.code])).toEqual([['admin-read', 400]]);
    expect(annotation(lines[0], 'reason')).toMatch(/^(?:query_malformed|bad_cursor)$/);
  });

  test('the search of an admin is audited', async () => {
    const at = await startStage();
    await read(at, 'sessions?search=Alice&account=corp%2Fsub-alice&limit=1').expect(200);
    const line = at.stage.named('admin-read').at(-1);
    expect(annotation(line, 'target')).toBe('account:corp/sub-alice');
    expect(JSON.parse(annotation(line, 'filter') ?? '')).toEqual({ search: 'Alice', account: 'corp/sub-alice' });
    await read(at, 'sessions?limit=1').expect(200);
    expect(annotation(at.stage.named('admin-read').at(-1), 'filter')).toBeUndefined();
  });
});

describe('delegated sessions', () => {
  /** alice's s-1 has s-5 beneath it, with s-6 beneath that; s-2 of another account has s-7. */
  async function startDelegations(): Promise<AdminAt> {
    const at = await startStage();
    await openDelegated(at.stage, 's-5', 's-1', { clusters: ['prod', 'staging'], sourceCidrs: ['10.0.0.0/8'] });
    const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }];
    await openDelegated(at.stage, 's-6', 's-5', { actor: { name: 'reviewer', registered: true }, limits: [{ rules }] });
    await openDelegated(at.stage, 's-7', 's-2', { actor: { name: 'nightly' } });
    return at;
  }

  test.each([
    ['delegated ones', { delegated: 'true' }, ['s-7', 's-6', 's-5']],
    ['those that are not', { delegated: 'false', sort: 'oldest' }, ['s-1', 's-2', 's-3', 's-4']],
    ['an actor at any level', { actor: 'claude' }, ['s-6', 's-5']],
    ['a whole chain of actors', { actor: 'claude/reviewer' }, ['s-6']],
    ['no part of an actor’s name', { actor: 'claud' }, []],
    ['part of an actor’s name by a search', { search: 'REVIEW' }, ['s-6']],
    ['all beneath a session', { ancestor: 's-1' }, ['s-6', 's-5']],
    ['those beneath a delegated one', { ancestor: 's-5' }, ['s-6']],
    ['those beneath another account’s session', { ancestor: 's-2', account: 'corp/sub-alice' }, []],
    ['a cluster that theirs are narrowed to', { cluster: 'staging', delegated: 'true' }, ['s-7', 's-6', 's-5']],
    ['no cluster that only the list of the session has', { cluster: 'prod', actor: 'claude' }, []],
  ])('finds %s', async (_what, query, ids) => {
    const at = await startDelegations();
    expect(await found(at, query)).toEqual(ids);
    expect(await found(at, { ...query, limit: '1' })).toEqual(ids);
  });

  test('are described with their actors, parents and limits', async () => {
    const at = await startDelegations();
    const { body } = await read(at, 'sessions/s-6').expect(200);
    expect(body).toMatchObject({
      id: 's-6',
      delegation: {
        name: 'claude/reviewer',
        actors: [{ name: 'claude' }, { name: 'reviewer', registered: true }],
        parent: 's-5',
        ancestors: ['s-1', 's-5'],
        clusters: ['staging'],
        limits: [
          { preset: 'read-only', namespaces: ['shop'] },
          { rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }] },
        ],
        rights: expect.stringMatching(/^read-only in shop/),
      },
    });
    const above = await read(at, 'sessions/s-1').expect(200);
    expect(above.body).not.toHaveProperty('delegation');
    expect((await read(at, 'sessions/s-5').expect(200)).body).toHaveProperty('delegation.sourceCidrs', ['10.0.0.0/8']);
    await read(at, 'sessions?ancestor=s-1&sort=oldest').expect(400);
  });

  test('count in the scope of what is above them, and its receipt names them', async () => {
    const at = await startDelegations();
    const scope = await read(at, 'revocation-scope?session=s-1').expect(200);
    expect(scope.body).toMatchObject({ sessions: 3, delegated: 2, users: 1 });
    const admin = await signedInAs('root', { beside: at.stage });
    const { body } = await post(admin, 'revocations', { session: 's-1', reason: 'INC-1' }).expect(200);
    const named = [
      { id: 's-5', name: 'claude', session: 's-1' },
      { id: 's-6', name: 'claude/reviewer', session: 's-5' },
    ];
    expect(body).toMatchObject({ complete: true, sessions: 3, delegated: named, delegatedCount: 2 });
    const [event] = admin.stage.named('revocation');
    expect(annotation(event, 'delegated-sessions')).toBe('s-5=claude s-6=claude/reviewer');
    expect(await at.stage.store.sessions.read('s-6')).toBeUndefined();
    expect(await at.stage.store.sessions.read('s-7')).toBeDefined();
    const receipt = await read(at, `revocations/${(body as { id: string }).id}`).expect(200);
    expect(receipt.body).toMatchObject({ delegated: named });
    const { text } = await at.browser.get(`/admin/revocations/${(body as { id: string }).id}`).expect(200);
    expect(text).toMatch(/Delegated sessions that ended with it<\/dt>\s*<dd>claude, claude\/reviewer</);
    expect(text).toContain('Delegated sessions: claude, claude/reviewer');
    const single = await post(admin, 'revocations', { session: 's-3', reason: 'INC-2' }).expect(200);
    expect(single.body).not.toHaveProperty('delegated');
  });
});

test('the latest requests of a session are listed newest first, with the exact time', async () => {
  const at = await startStage();
  const request = {
    at: Date.parse('2026-11-25T12:00:00.123Z'),
    auditId: 'audit-1',
    cluster: 'prod',
    verb: 'get',
    uri: '/api/v1/pods',
    resource: 'pods',
    code: 200,
    address: '203.0.113.7',
  };
  await at.stage.store.recent.add('s-1', [request, { ...request, at: request.at + 5, auditId: 'audit-2', code: 403 }]);
  const { body } = await read(at, 'sessions/s-1/requests').expect(200);
  expect(body).toMatchObject({
    requests: [
      { auditId: 'audit-2', at: '2026-11-25T12:00:00.128Z', code: 403 },
      { auditId: 'audit-1', at: '2026-11-25T12:00:00.123Z', resource: 'pods' },
    ],
  });
  expect(annotation(at.stage.named('admin-read').at(-1), 'target')).toBe('session:s-1');
  expect((await read(at, 'sessions/s-2/requests').expect(200)).body).toEqual({ requests: [] });
});

test('clusters and providers report their health as far as it is known', async () => {
  const probed: readonly ComponentHealth[] = [
    { name: 'prod', state: 'up', checkedAt: Date.parse('2026-11-25T12:00:00Z') / 1000, ms: 12 },
    {
      name: 'corp',
      state: 'down',
      checkedAt: Date.parse('2026-11-25T12:00:00Z') / 1000,
      problem: 'it does not answer',
    },
    { name: 'long gone', state: 'up', checkedAt: 0 },
  ];
  const health = { clusters: async () => probed, providers: async () => probed };
  const at = await signedInAs('auditor', { change: (deps) => ({ ...deps, health }) });
  expect((await read(at, 'clusters').expect(200)).body).toEqual({
    clusters: [
      { name: 'prod', state: 'up', checkedAt: '2026-11-25T12:00:00Z', ms: 12 },
      { name: 'staging', state: 'unknown' },
    ],
  });
  expect((await read(at, 'providers').expect(200)).body).toEqual({
    providers: [
      { name: 'corp', state: 'down', checkedAt: '2026-11-25T12:00:00Z', problem: 'it does not answer' },
      { name: 'lab', state: 'unknown' },
    ],
  });
});

describe('an ETag', () => {
  const conditional = operationsOf(ADMIN_API)
    .filter(([, { conditional }]) => conditional === true)
    .map(([, { path }]) => path);

  /** Returns the path of a resource that exists. */
  async function pathAt(at: AdminAt, path: string): Promise<string> {
    if (path === '/sessions/{id}') return 'sessions/alice-1';
    if (path !== '/revocations/{id}') return path.slice(1);
    const { body } = await post(at, 'revocations', { account: 'corp/unknown', reason: 'x' }).expect(200);
    return `revocations/${(body as { id: string }).id}`;
  }

  async function aSession(stage: Stage): Promise<void> {
    await openSession(stage, 'alice-1', 'alice');
  }

  test('is sent for every resource that clients poll', () => {
    expect(conditional).toEqual([
      '/sessions',
      '/sessions/{id}',
      '/revocations/{id}',
      '/locks',
      '/clusters',
      '/providers',
      '/openapi.json',
    ]);
  });

  test.each(conditional)('of %s gets 304 without a body while nothing has changed, and is audited', async (path) => {
    const at = await signedInAs('root');
    await aSession(at.stage);
    const resource = await pathAt(at, path);
    const first = await read(at, resource).expect(200);
    const etag = first.headers['etag'] ?? '';
    expect(etag).toMatch(/^W\/"[\w-]{27}"$/);
    expect(first.headers['cache-control']).toBe('no-store');
    const again = await read(at, resource).set('If-None-Match', `"other", ${etag}`).expect(304);
    expect([again.text, again.headers['etag']]).toEqual(['', etag]);
    expect(at.stage.named('admin-read').at(-1)?.responseStatus?.code).toBe(304);
    await read(at, resource).set('If-None-Match', 'W/"other"').expect(200);
  });

  test('changes when the resource changes', async () => {
    const at = await signedInAs('root');
    await aSession(at.stage);
    const { headers } = await read(at, 'sessions').expect(200);
    await openSession(at.stage, 'alice-2', 'alice');
    const { headers: later } = await read(at, 'sessions')
      .set('If-None-Match', headers['etag'] ?? '')
      .expect(200);
    expect(later['etag']).not.toBe(headers['etag']);
  });

  test('reveals nothing to a user who may not read the resource', async () => {
    const at = await signedInAs('root');
    await aSession(at.stage);
    const { headers } = await read(at, 'sessions/alice-1').expect(200);
    const alice = await signedInAs('alice', { beside: at.stage });
    const one = await read(alice, 'sessions/alice-1').set('If-None-Match', headers['etag'] ?? '');
    const all = await read(alice, 'sessions').set('If-None-Match', '*');
    expect([one.status, all.status]).toEqual([403, 403]);
  });
});

describe('the OpenAPI description', () => {
  test.each(['root', 'auditor'])('is served to %s as it is generated', async (who) => {
    const at = await signedInAs(who);
    const { body, headers } = await read(at, 'openapi.json').expect(200);
    expect(headers['content-type']).toBe('application/json; charset=utf-8');
    expect(body).toEqual(openApiDocument(ADMIN_API));
  });
});
