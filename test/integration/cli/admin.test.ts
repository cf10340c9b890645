import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { drill as drillAnswer, lock, receipt, replica, session } from './admin-responses.ts';
import { stage } from './setup.ts';

const at = stage();

const UUID = /^[0-9a-f-]{36}$/;

/** The body of the last request to the admin API. */
const sent = (): Record<string, unknown> => JSON.parse(at.fakeServer.adminRequests.at(-1)?.body ?? '{}');

describe('reading', () => {
  test('sessions shows every page as a table, with a token of the admin audience', async () => {
    await at.login();
    at.fakeServer.adminAnswer = (_, path) =>
      path.includes('cursor=two')
        ? { status: 200, body: { sessions: [session({ id: 's-2', device: true })] } }
        : { status: 200, body: { sessions: [session()], cursor: 'two' } };
    const ended = await at.machine.run('sessions', '--account', 'corp/alice');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(/^USER +DEVICE +FROM +USED +ENDS +CLIENT +ACCOUNT +ID\n/);
    expect(ended.stdout.trim().split('\n')).toHaveLength(3);
    expect(ended.stdout.match(/by code/g)).toHaveLength(1);
    expect(at.fakeServer.adminRequests[0]).toMatchObject({ audience: 'urn:portcullis:admin' });
  });

  test('replicas shows each with its state', async () => {
    await at.login();
    const body = { replicas: [replica(), replica({ id: 'b', self: false, state: 'silent' })] };
    at.fakeServer.adminAnswer = () => ({ status: 200, body });
    const ended = await at.machine.run('replicas');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(/^REPLICA .*\na \(answers\) +live +3 +7 +0 +f00dfeed\nb +silent/);
    expect(JSON.parse((await at.machine.run('replicas', '--output', 'json')).stdout)).toEqual(body);
  });

  test('streams shows what a user has open, and says what is not known or not shown', async () => {
    await at.login();
    const stream = {
      at: '2026-01-01T00:00:00.000Z',
      auditId: 'e2f7',
      cluster: 'prod',
      verb: 'create',
      uri: '/api/v1/namespaces/shop/pods/web/exec',
      resource: 'pods/exec',
      namespace: 'shop',
      name: 'web',
      code: 101,
      open: true,
      address: '203.0.113.7',
      session: 's-1',
      replica: 'b',
    };
    const body = { streams: [stream], more: 2, searched: ['a', 'b'], missing: ['c'] };
    at.fakeServer.adminAnswer = () => ({ status: 200, body });
    const ended = await at.machine.run('streams', '--account', 'corp/bob');
    expect(ended.stdout).toMatch(/^SINCE .*\n2026\S+ +create +pods\/exec +shop +web +prod +b +s-1\n$/);
    expect(ended.stderr).toMatch(/c did not answer in time[^]*2 more streams are not shown/);
    // No page: a parameter that the server does not know would be rejected.
    expect(at.fakeServer.adminRequests).toMatchObject([{ method: 'GET', path: 'streams?account=corp%2Fbob' }]);
  });

  test('sessions are narrowed and ordered by the server', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { sessions: [] } });
    const filters = ['--search', 'ali & co', '--username', 'corp:a', '--provider', 'corp', '--cluster', 'prod'];
    const ended = await at.machine.run('sessions', ...filters, '--idle', '2h', '--sort', 'least-used');
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    const { path = '' } = at.fakeServer.adminRequests[0] ?? {};
    expect(Object.fromEntries(new URLSearchParams(path.split('?', 2)[1]))).toEqual({
      limit: '200',
      search: 'ali & co',
      username: 'corp:a',
      provider: 'corp',
      cluster: 'prod',
      idle: '2h',
      sort: 'least-used',
    });
    expect(await at.machine.run('sessions', '--sort', 'name')).toMatchObject({ code: 2, stdout: '' });
  });

  test('unknown fields of a newer server are ignored', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { replicas: [{ ...replica(), colour: 'red' }], more: 1 } });
    const ended = await at.machine.run('replicas', '--output', 'json');
    expect(ended.code).toBe(0);
    expect(JSON.parse(ended.stdout)).toEqual({ replicas: [replica()] });
  });

  test.each([
    ['sessions', { sessions: [{ id: 'canary' }] }, 'sessions.0.account'],
    ['sessions', {}, 'sessions'],
    ['replicas', { replicas: [{ ...replica(), state: 'canary' }] }, 'replicas.0.state'],
    ['locks', { locks: 'canary' }, 'locks'],
  ])('%s without a required field are reported, and no value is guessed', async (command, body, place) => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body });
    const ended = await at.machine.run(command);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`format of the server’s response (${place})`);
    expect(ended.stderr).not.toContain('canary');
  });

  test('a user who gets no token for the admin API is told that they are no admin, exit 3', async () => {
    await at.login();
    const body = { error: 'invalid_target', error_description: 'You may not use this cluster.' };
    at.fakeServer.refreshAnswer = { status: 400, body };
    const ended = await at.machine.run('locks');
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('neither an admin nor an auditor');
    expect(ended.stderr).toContain(`portcullis sessions lists your own, also at ${at.fakeServer.web}/me`);
  });

  test('a user who is no admin is rejected with exit 3', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({
      status: 403,
      body: { code: 'not_admin', title: 'Admins only', detail: 'not you' },
    });
    const ended = await at.machine.run('locks');
    expect(ended.code).toBe(3);
    expect(ended.stderr).toContain('Admins only: not you (not_admin)');
  });
});

describe('a session by the first characters of its id', () => {
  const OWN = 'aaaabbbbccccddddeeeeff';
  const OTHER = 'aaaabbbbXXXXddddeeeeff';
  const revoke = (id: string) => at.machine.run('revoke', '--session', id, '--yes', '--reason', 'x');
  const changes = () => at.fakeServer.adminRequests.filter(({ method }) => method === 'POST');

  /** As the real one: what it finds has the text anywhere, in any case, on several pages. */
  function serve(...ids: readonly string[]): void {
    at.fakeServer.adminAnswer = (method, path) => {
      if (method === 'POST') return { status: 200, body: receipt() };
      const page = Number(new URLSearchParams(path.split('?', 2)[1]).get('cursor') ?? 0);
      const sessions = ids.slice(page, page + 1).map((id) => session({ id, deviceName: `laptop-${id.slice(4, 12)}` }));
      return { status: 200, body: { sessions, ...(page + 1 < ids.length && { cursor: String(page + 1) }) } };
    };
  }

  test.each(['aaaabbbbc', 'aaaabbbbc…', OWN])('%s is the one that begins with it', async (given) => {
    await at.login();
    serve(OTHER, `xx${OWN.slice(2)}`, OWN.toUpperCase(), OWN);
    expect(await revoke(given)).toMatchObject({ code: 0 });
    expect(sent()).toMatchObject({ session: OWN });
    // A whole id is not looked up: a revocation does not wait for a list.
    expect(at.fakeServer.adminRequests.length === 1).toBe(given === OWN);
  });

  test('several that begin with it are named, also from different pages, and none is revoked', async () => {
    await at.login();
    serve(OWN, OTHER);
    const ended = await revoke('aaaabbbb');
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(
      /could be several sessions:\n {2}aaaabbbbcccc\S+ .*\n {2}aaaabbbbXXXX\S+ .*laptop-bbbbXXXX/,
    );
    expect(changes()).toEqual([]);
  });

  test('none that begins with it is exit 4, and nothing is revoked', async () => {
    await at.login();
    serve(`x${OWN.slice(1)}`);
    expect(await revoke('aaaabbbb')).toMatchObject({ code: 4, stdout: '' });
    expect(changes()).toEqual([]);
  });

  test('the only one that was read is not taken where the server has more', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { sessions: [session({ id: OWN })], cursor: 'again' } });
    const ended = await revoke('aaaabbbbc');
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('there are more sessions than were read');
    expect(changes()).toEqual([]);
  });

  test('it narrows a list too', async () => {
    await at.login();
    serve(OWN);
    expect(await at.machine.run('sessions', '--ancestor', 'aaaabbbb')).toMatchObject({ code: 0 });
    expect(at.fakeServer.adminRequests.at(-1)?.path).toContain(`ancestor=${OWN}`);
  });
});

describe('revoking', () => {
  test('revoke sends one target with its reason and shows the receipt', async () => {
    await at.login();
    const body = receipt({
      streamsClosed: 4,
      canSignInAgain: true,
      replicas: [{ id: 'a', state: 'applied', ms: 3, streamsClosed: 4 }],
    });
    at.fakeServer.adminAnswer = () => ({ status: 200, body });
    const ended = await at.machine.run('revoke', '--account', 'corp/bob', '--reason', 'INC-4711');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toBe(
      'complete: 1 session ended, 4 streams cut, 7 ms\nREPLICA   STATE     MS   STREAMS CUT\na         applied   3    4\n',
    );
    expect(ended.stderr).toContain('to prevent that: portcullis lock corp/bob');
    expect(ended.stderr).toMatch(new RegExp(`receipt: https?://[^/ ]+/admin/revocations/${body.id}\n`));
    expect(ended.stderr).not.toContain('unlock');
    const [asked] = at.fakeServer.adminRequests;
    expect(asked).toMatchObject({ method: 'POST', path: 'revocations' });
    expect(JSON.parse(asked?.body ?? '')).toEqual({
      account: 'corp/bob',
      reason: 'INC-4711',
      requestId: expect.stringMatching(UUID),
    });
  });

  test('revoke polls a receipt that is not complete until it is complete', async () => {
    await at.login();
    at.fakeServer.adminAnswer = (method, path) => {
      const done = method === 'GET' && path === 'revocations/r-1' && at.fakeServer.adminRequests.length > 2;
      return { status: done ? 200 : 202, body: receipt({ complete: done, missing: ['replica b'] }) };
    };
    expect(await at.machine.run('revoke', '--all', '--yes', '--reason', 'drill')).toMatchObject({ code: 0 });
  });

  test('revoke exits 5 and names the missing replicas when the receipt does not become complete', async () => {
    await at.login();
    at.fakeServer.adminAnswer = (method) =>
      method === 'POST'
        ? { status: 202, body: receipt({ complete: false, missing: ['replica b'] }) }
        : { status: 404, body: { code: 'not_found', title: 'unknown' } };
    const ended = await at.machine.run('revoke', '--session', 's-9', '--reason', 'x', '--output', 'json');
    expect(ended.code).toBe(5);
    expect(JSON.parse(ended.stdout)).toMatchObject({ complete: false });
    expect(ended.stderr).toContain('replica b');
  });

  test.each([
    [404, { code: 'session_not_found', title: 'Not found' }, 4],
    // As a proxy in front of the server says it, about any address.
    [404, {}, 1],
    [404, { code: 'not_found', title: 'Not found' }, 1],
    [503, { code: 'revocation_not_written', title: 'Unavailable' }, 1],
  ])('a script can tell that there is no such session from a failure: %i %j exits %i', async (status, body, code) => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status, body });
    expect(await at.machine.run('revoke', '--session', 's-9', '--reason', 'x')).toMatchObject({ code, stdout: '' });
  });
});

describe('the target of a revocation', () => {
  const done = receipt();

  test.each([
    [['--session', 's-9'], { session: 's-9' }],
    [['--username', 'corp:alice'], { username: 'corp:alice' }],
    [['--provider', 'lab'], { provider: 'lab' }],
    [['--workload', 'ci', '--subject', 'repo:a/b'], { workload: 'ci', subject: 'repo:a/b' }],
    [['--all', '--yes'], { all: true }],
    [['--account', 'corp/x', '--lock'], { account: 'corp/x', lock: true }],
    [['--all', '--yes', '--approval', 'abc'], { all: true, approval: 'abc' }],
  ])('%j', async (args, body) => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: done });
    expect((await at.machine.run('revoke', ...args, '--reason', 'x')).code).toBe(0);
    expect(sent()).toEqual({ ...body, reason: 'x', requestId: expect.stringMatching(UUID) });
  });

  test.each([
    ['revoke', '--all'],
    ['revoke', '--provider', 'corp'],
    ['revoke', '--session', 's-1'],
    ['revoke', '--username', 'corp:alice\u001b[31m'],
    ['lock', 'corp/alice'],
  ])('everyone and oneself need --yes without a terminal, and nothing is sent: %s %s', async (...args) => {
    await at.login();
    const ended = await at.machine.run(...args, '--reason', 'x');
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('add --yes') });
    expect([at.fakeServer.adminRequests, at.fakeServer.scopesAsked]).toEqual([[], []]);
    at.fakeServer.adminAnswer = () => ({ status: 200, body: done });
    expect(await at.machine.run(...args, '--yes', '--reason', 'x')).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/this includes you|your own account/),
    });
  });

  test.each([
    [['revoke'], /exactly one target, and a reason[^]*--account[^]*--reason TEXT/],
    [['revoke', '--workload', 'ci'], /its rule and its subject, and a reason[^]*--subject S; and --reason TEXT/],
    [['revoke', '--all'], /reason for the audit log is needed[^]*--reason TEXT/],
    [['revoke', '--all', '--provider', 'corp', '--reason', 'x'], /exactly one target\.\n/],
    [['lock'], /an account, and a reason[^]*lock PROVIDER\/SUBJECT; and --reason TEXT/],
    [['lock', 'corp/bob'], /reason for the audit log is needed/],
    [['lock', '--reason', 'x'], /A lock needs an account\.\n/],
    [['unlock'], /An account and a reason are needed/],
  ])('that is incomplete gets one error with all that is missing: %j', async (args, message) => {
    await at.login();
    const ended = await at.machine.run(...args);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(message);
    expect(at.fakeServer.adminRequests).toEqual([]);
  });

  test('every retry of a command has the same id, and two commands have different ids', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: at.fakeServer.adminRequests.length === 1 ? 401 : 200, body: done });
    for (const _ of [1, 2]) await at.machine.run('revoke', '--all', '--yes', '--reason', 'x');
    const ids = at.fakeServer.adminRequests.map(({ body }) => (JSON.parse(body) as { requestId: string }).requestId);
    expect(ids).toHaveLength(3);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[0]);
  });

  test('a revocation of one’s own account is announced before it is made', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 503, body: { code: 'revocation_not_written' } });
    const revoked = await at.machine.run('revoke', '--account', 'corp/alice', '--yes', '--reason', 'x');
    expect(revoked.stderr).toMatch(/this includes you[^]*revocation_not_written/);
    at.fakeServer.adminAnswer = () => ({ status: 200, body: done });
    const locked = await at.machine.run('lock', 'corp/alice', '--yes', '--reason', 'x');
    expect(locked).toMatchObject({ code: 0 });
    expect(locked.stderr).toContain('your own account: you will be signed out and locked out');
    expect((await at.machine.run('lock', 'corp/bob', '--reason', 'x')).stderr).not.toContain('your own');
  });

  test('the time until which a target that could not be revoked is denied is printed', async () => {
    await at.login();
    const detail = 'This replica rejects the target until 2026-11-25T12:15:00Z, and no other does.';
    at.fakeServer.adminAnswer = () => ({ status: 503, body: { code: 'revocation_not_written', detail } });
    const held = await at.machine.run('revoke', '--account', 'corp/bob', '--reason', 'x');
    expect(held.code).not.toBe(0);
    expect(held.stderr).toContain(detail);
    expect(held.stderr).toContain('run the same command again');
  });

  test('a username without any session is pointed out', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { ...done, sessions: 0 } });
    const ended = await at.machine.run('revoke', '--account', 'crop/bob', '--reason', 'x');
    expect(ended).toMatchObject({ code: 0 });
    expect(ended.stderr).toContain('check the spelling');
  });

  test('a second admin is requested with the message of the server, exit 1, and the same admin is rejected, exit 3', async () => {
    await at.login();
    const detail = 'Nothing was done yet: another admin can do the same with “--approval abc”';
    at.fakeServer.adminAnswer = () => ({
      status: 409,
      body: { code: 'second_admin_needed', title: 'Conflict', detail },
    });
    const first = await at.machine.run('revoke', '--all', '--yes', '--reason', 'x');
    expect(first).toMatchObject({ code: 1, stdout: '' });
    expect(first.stderr).toContain('--approval abc');
    at.fakeServer.adminAnswer = () => ({ status: 403, body: { code: 'same_admin', title: 'Not allowed' } });
    const second = await at.machine.run('revoke', '--all', '--yes', '--reason', 'x', '--approval', 'abc');
    expect(second).toMatchObject({ code: 3 });
    expect(second.stderr).toContain('have another admin run the same command');
  });
});

describe('a target that may be mistyped', () => {
  test.each([
    [['revoke', '--account', 'corp/bbo'], 'corp/bbo'],
    [['revoke', '--workload', 'ci', '--subject', 'repo:a/b'], 'ci/repo:a/b'],
    [['lock', 'corp/bbo'], 'corp/bbo'],
  ])('is named and not revoked, until it is forced: %j', async (args, account) => {
    await at.login();
    const body = { sessions: 0, users: 0, more: false, openHere: 0, known: false };
    at.fakeServer.scopeAnswer = { status: 200, body };
    at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt({ sessions: 0 }) });
    const ended = await at.machine.run(...args, '--reason', 'x');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/Nothing was done[^]*may be mistyped[^]*Next: check the spelling[^]*add --force/);
    expect(ended.stderr).toContain(`${account} has no live session`);
    expect(at.fakeServer.scopesAsked).toEqual([String(new URLSearchParams({ account }))]);
    expect(at.fakeServer.adminRequests).toEqual([]);
    expect(await at.machine.run(...args, '--force', '--reason', 'x')).toMatchObject({ code: 0 });
    expect(sent()).toMatchObject({ force: true });
  });

  test.each([
    ['the store is unavailable', { status: 503, body: { code: 'store_unavailable', title: 'Unavailable' } }],
    ['a program in front of it does not know the path', { status: 404, body: {} }],
    ['its answer cannot be read', { status: 200, body: { sessions: 'many' } }],
  ])('is revoked where the server cannot say what is known of it: %s', async (_why, answer) => {
    await at.login();
    at.fakeServer.scopeAnswer = answer;
    at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt() });
    const ended = await at.machine.run('revoke', '--account', 'corp/bob', '--reason', 'x');
    expect(ended.stderr.match(/^portcullis: what it would end is not known now: .+$/gm)).toHaveLength(1);
    expect(ended.code).toBe(0);
    expect(sent()).toMatchObject({ account: 'corp/bob' });
  });

  test.each([
    [404, 'provider_not_found', 4],
    [403, 'not_admin', 3],
  ])('is not revoked where the revocation would be rejected as well: %i %s exits %i', async (status, code, exit) => {
    await at.login();
    at.fakeServer.scopeAnswer = { status, body: { code, title: 'No' } };
    const ended = await at.machine.run('revoke', '--account', 'crop/bob', '--reason', 'x');
    expect(ended).toMatchObject({ code: exit, stdout: '', stderr: expect.stringContaining(`No (${code})`) });
    expect(at.fakeServer.adminRequests).toEqual([]);
  });
});

describe('locks', () => {
  test('lock asks for a revocation with a lock', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt({ sessions: 2 }) });
    const ended = await at.machine.run('lock', 'corp/bob', '--reason', 'INC-1');
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('complete: 2 sessions ended') });
    expect(sent()).toMatchObject({ account: 'corp/bob', lock: true, reason: 'INC-1' });
    expect(ended.stderr).toContain('to take the lock back: portcullis unlock corp/bob --reason');
  });

  test('an account of which nothing is known is named first by an earlier server, and --force locks it', async () => {
    await at.login();
    at.fakeServer.scopeAnswer = { status: 404, body: { code: 'not_found', title: 'Not found' } };
    const body = { code: 'account_not_seen', title: 'Conflict', detail: 'Nothing was done.' };
    at.fakeServer.adminAnswer = () => ({ status: 409, body });
    const first = await at.machine.run('lock', 'corp/bbo', '--reason', 'x');
    expect(first).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--force') });
    expect(sent()).not.toHaveProperty('force');
    at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt() });
    expect(await at.machine.run('lock', 'corp/bbo', '--reason', 'x', '--force')).toMatchObject({ code: 0 });
    expect(sent()).toMatchObject({ account: 'corp/bbo', lock: true, force: true });
  });

  test('unlock names the account in the path, and the reason', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { account: 'corp/repo:a/b c', locked: false } });
    const ended = await at.machine.run('unlock', 'corp/repo:a/b c', '--reason', 'closed & done');
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    expect(at.fakeServer.adminRequests[0]).toMatchObject({
      method: 'DELETE',
      path: 'locks/corp%2Frepo%3Aa%2Fb%20c?reason=closed+%26+done',
    });
  });

  test('unlock --fresh lifts the fresh sign-in of an account, and leaves its lock', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { account: 'corp/bob', needed: false } });
    const ended = await at.machine.run('unlock', '--fresh', 'corp/bob', '--reason', 'INC-1');
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('without authenticating again') });
    expect(at.fakeServer.adminRequests).toMatchObject([
      { method: 'DELETE', path: 'fresh-sign-ins/corp%2Fbob?reason=INC-1' },
    ]);
  });

  test('locks lists the locks, and prints a message when there are none', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { locks: [lock] } });
    expect((await at.machine.run('locks')).stdout).toMatch(/^ACCOUNT .*\ncorp\/bob +corp:root +2026\S+ +INC-1\n$/);
    expect(JSON.parse((await at.machine.run('locks', '--output', 'json')).stdout)).toEqual({ locks: [lock] });
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { locks: [] } });
    expect(await at.machine.run('locks')).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('a drill', () => {
  const passed = drillAnswer();
  const failed = drillAnswer({
    verdict: 'failed',
    replicas: [{ id: 'a', opened: false, cut: false, reason: 'list is not allowed' }],
  });

  test('that passed shows the verdict, the time per replica and the receipt, and exits 0', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: passed });
    const ended = await at.machine.run('drill', '--cluster', 'prod');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(/^drill PASSED\nREPLICA .*\na +yes +yes +12\n\nrevocation complete: [^]*applied +3/);
    expect(sent()).toEqual({ cluster: 'prod', reason: 'drill' });
  });

  test('that failed exits 1 with the reason', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: failed });
    const ended = await at.machine.run('drill', '--output', 'json');
    expect(ended.code).toBe(1);
    expect(JSON.parse(ended.stdout)).toEqual(failed);
    expect((await at.machine.run('drill')).stdout).toContain('list is not allowed');
  });

  test('with a workload’s token needs no sign-in: the token is exchanged once, for a key that is kept', async () => {
    at.fakeServer.adminAnswer = () => ({ status: 200, body: passed });
    const file = join(at.machine.home, 'token');
    writeFileSync(file, 'canary-workload-token\n');
    at.fakeServer.workloadToken = 'canary-workload-token';
    const drill = ['drill', '--server', at.fakeServer.web, '--token-file', file, '--verbose'] as const;
    const ended = await at.machine.run(...drill);
    expect(ended).toMatchObject({ code: 0 });
    expect(ended.stderr).not.toContain('canary');
    await at.machine.run(...drill);
    const [first, second] = at.fakeServer.adminRequests;
    expect(first).toMatchObject({ method: 'POST', path: 'drills', audience: 'urn:portcullis:admin' });
    expect(first?.thumbprint).toBe(at.fakeServer.exchanges[0]);
    // The token is valid for one key, and a probe finds it in the file for an hour.
    expect(second?.thumbprint).toBe(first?.thumbprint);
    expect(at.fakeServer.exchanges).toHaveLength(1);
    expect(at.machine.session).toBeUndefined();
  });

  test('with a token that is rejected exits 3 and prints none of it', async () => {
    const file = join(at.machine.home, 'token');
    writeFileSync(file, 'canary-of-somebody-else');
    const ended = await at.machine.run('drill', '--server', at.fakeServer.web, '--token-file', file);
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).not.toContain('canary');
    expect(ended.stderr).toContain('a workload rule');
    writeFileSync(file, 'two tokens');
    expect((await at.machine.run('drill', '--server', at.fakeServer.web, '--token-file', file)).code).toBe(2);
  });
});

test.each([
  { args: ['revoke', '--all', '--session', 'x', '--reason', 'y'] },
  { args: ['revoke', '--all'] },
  { args: ['revoke', '--all', '--reason', 'y'] },
  { args: ['revoke', '--reason', 'y'] },
  { args: ['revoke', '--workload', 'ci', '--reason', 'y'] },
  { args: ['revoke', '--all', '--subject', 's', '--reason', 'y'] },
  { args: ['lock', 'corp/x'] },
  { args: ['lock', '--reason', 'y'] },
  { args: ['unlock', 'corp/x', '--server', 'https://example.com'] },
  { args: ['unlock', '--all', '--reason', 'y', '--server', 'https://example.com'] },
  { args: ['drill', '--server', 'https://example.com', '--token-file', '/nonexistent'] },
])('a usage error exits 2 and prints nothing to stdout: $args', async ({ args }) => {
  expect(await at.machine.run(...args)).toMatchObject({ code: 2, stdout: '' });
});
