/** `portcullis access` against a server that answers as a test wants. `access-requests.test.ts` has the real one. */
import { afterEach, describe, expect, test } from 'vitest';
import { bareEnvironment } from '../../support/bare-environment.ts';
import { ShellTerminal } from '../../support/shell-terminal.ts';
import { accessRequest, decision, granted, listOf, ROLE } from './access-responses.ts';
import { receipt } from './admin-responses.ts';
import { stage } from './setup.ts';
import type { Ended } from './machine.ts';

type Json = Record<string, unknown>;

const at = stage();
const ID = '7fK2aaaaaaaaaaaaaaaaaa';
const NASTY = '\u001b[31mred\u009b2J\u202egnol\r\nportcullis: fake';

const access = (...args: readonly string[]): Promise<Ended> => at.machine.run('access', ...args);
const sent = (method: string): readonly Json[] =>
  at.fakeServer.ownRequests.filter((one) => one.method === method).map(({ path, body }) => ({ path, ...body }));

/** Answers the list, and other requests by their path. */
function answers(list: ReturnType<typeof listOf>, others: Record<string, Json | (() => Json)> = {}): void {
  at.fakeServer.ownAnswer = (method, path) => {
    if (method === 'GET' && path.split('?')[0] === '/-/access') return list;
    const answer = others[`${method} ${path}`];
    if (answer === undefined) return undefined;
    const body = typeof answer === 'function' ? answer() : answer;
    return { status: typeof body['status'] === 'number' ? body['status'] : 200, body };
  };
}

const problem = (status: number, code: string): Json => ({ status, code, title: 'Conflict', detail: 'as it is' });

describe('access list', () => {
  test('says who approves, and that another session has what was granted', async () => {
    await at.login();
    answers(
      listOf([granted(1800, { session: 'of-another-machine' })], [], [{ ...ROLE, approvers: ['corp:platform'] }]),
    );
    const { stdout } = await access('list');
    expect(stdout).toContain('1 user of corp:platform');
    expect(stdout).toContain('granted, to another session');
    answers(listOf([granted(1800, { session: at.fakeServer.sessions[0]?.id })]));
    expect((await access('list')).stdout).toMatch(/ granted {2,}/);
  });
});

describe('access request', () => {
  const ask = (...more: readonly string[]): Promise<Ended> =>
    access('request', 'shop-admins', '--for', '30m', '--reason', 'INC-4711', ...more);
  const polled = `GET /-/access/${ID}?wait=25`;

  test('shows the link for approvers, waits, and says who approved and until when', async () => {
    await at.login();
    const states = [
      accessRequest({ needed: 2 }),
      accessRequest({ needed: 2, decisions: [decision(true, 'go')] }),
      granted(1800, { needed: 2, decisions: [decision(true, 'go'), decision(true)] }),
    ];
    answers(listOf([], [], [{ ...ROLE, approvers: ['corp:platform', 'corp:leads'] }]), {
      'POST /-/access': () => ({ ...accessRequest({ needed: 2 }), status: 201 }),
      [polled]: () => states.shift() ?? problem(500, 'internal'),
    });
    const asked = await ask();
    expect(asked.code, asked.stderr).toBe(0);
    expect(sent('POST')).toEqual([{ path: '/-/access', role: 'shop-admins', seconds: 1800, reason: 'INC-4711' }]);
    // Never the address that a server names: approvers sign in there.
    expect(asked.stderr).toContain(
      `2 users of corp:platform, corp:leads must approve it:\n  ${at.fakeServer.web}/access/${ID}\n`,
    );
    expect(asked.stderr).toMatch(/approved by corp:bob: "go" \(1 of 2 approvals\)\n.*approved by corp:bob \(2 of 2/);
    expect(asked.stdout).toMatch(/^granted: shop-admins until \d{4}-.*Z: group shop:admins, at prod\n$/);
  });

  test.each<{ what: string; ended: Json; code: number; message: string }>([
    {
      what: 'denied',
      ended: { state: 'denied', decisions: [decision(false, `ask tomorrow ${NASTY}`)] },
      code: 3,
      message: 'not granted: denied by corp:bob: "ask tomorrow',
    },
    { what: 'expired', ended: { state: 'expired' }, code: 1, message: 'not granted: expired.\n  Next: ask again' },
    { what: 'withdrawn', ended: { state: 'withdrawn' }, code: 1, message: 'not granted: withdrawn' },
    {
      what: 'ended at once',
      ended: { ...granted(0), state: 'ended', grant: { ...(granted(0)['grant'] as Json), ending: 'session' } },
      code: 1,
      message: 'not granted: ended with its session',
    },
  ])('$what: not done, with the reason', async ({ ended, code, message }) => {
    await at.login();
    answers(listOf([]), { 'POST /-/access': accessRequest(), [polled]: accessRequest(ended) });
    const asked = await ask('--output', 'json');
    expect(asked).toMatchObject({ code, stdout: '' });
    expect(asked.stderr).toContain(message);
  });

  test('--no-wait prints the link alone; break-glass is granted at once, and said', async () => {
    await at.login();
    answers(listOf([]), { 'POST /-/access': accessRequest() });
    expect(await ask('--no-wait')).toMatchObject({ code: 0, stdout: `${at.fakeServer.web}/access/${ID}\n` });
    answers(listOf([], [], [{ ...ROLE, needed: 0 }]), { 'POST /-/access': granted(1800, { needed: 0 }) });
    const glass = await ask('--no-wait', '--output', 'json');
    expect(JSON.parse(glass.stdout)).toMatchObject({ id: ID, state: 'granted', grant: { leftSeconds: 1800 } });
    expect(glass.stderr).toContain('its use is break-glass');
  });

  test('a server that does not respond for a while is asked again', async () => {
    await at.login();
    const states = [problem(503, 'store_unavailable'), granted(1800)];
    answers(listOf([]), { 'POST /-/access': accessRequest(), [polled]: () => states.shift() ?? {} });
    expect(await ask()).toMatchObject({ code: 0 });
  });

  test('Ctrl-C leaves the request open, and says how to withdraw it', async () => {
    await at.login();
    const asking = Promise.withResolvers<void>();
    answers(listOf([]), { 'POST /-/access': accessRequest() });
    const others = at.fakeServer.ownAnswer;
    at.fakeServer.ownAnswer = (method, path, body) => {
      if (!path.endsWith('wait=25')) return others?.(method, path, body);
      asking.resolve();
      return new Promise(() => undefined);
    };
    const running = at.machine.startPlugin('access', 'request', 'shop-admins');
    await asking.promise;
    running.kill('SIGINT');
    const ended = await at.machine.ended(running);
    expect(ended).toMatchObject({ code: 130, stdout: '' });
    expect(ended.stderr).toContain(`to withdraw it: portcullis access end ${ID}`);
    expect(sent('DELETE')).toEqual([]);
  });

  test.each<{ what: string; args: readonly string[]; code: number; message: string }>([
    { what: 'an unknown role', args: ['shop-admin'], code: 4, message: 'did you mean shop-admins?' },
    { what: 'no duration', args: ['shop-admins', '--for', '1h30m'], code: 2, message: 'such as 90s, 30m or 2h' },
    { what: 'too short', args: ['shop-admins', '--for', '45s'], code: 2, message: 'give --for 1m or more' },
    { what: 'too long', args: ['shop-admins', '--for', '2h'], code: 2, message: 'give --for 1h or less' },
    { what: 'no reason', args: ['shop-admins'], code: 2, message: 'needs a reason that matches INC-' },
  ])('$what: an error that says what to do, and nothing is asked for', async ({ args, code, message }) => {
    await at.login();
    answers(listOf([], [], [{ ...ROLE, reason: 'INC-[0-9]+' }]));
    const asked = await access('request', ...args);
    expect(asked).toMatchObject({ code, stdout: '' });
    expect(asked.stderr).toContain(message);
    expect(sent('POST')).toEqual([]);
  });
});

describe('access approve and deny', () => {
  const theirs = (changes: Json = {}): Json => accessRequest({ may: ['approve', 'deny'], ...changes });

  test('shows what it gives before it is approved; without a terminal only with --yes', async () => {
    await at.login();
    answers(listOf([], [theirs({ reason: NASTY, user: `corp:alice${NASTY}` })]), {
      [`POST /-/access/${ID}/approve`]: granted(1800),
    });
    const refused = await access('approve', '7fK2');
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/gives +group shop:admins, at prod\n.*for +30m\n/s);
    expect(refused.stderr).toContain('there is no terminal to ask');
    expect(sent('POST')).toEqual([]);
    const approved = await access('approve', '7fK2…', '--yes', '--reason', 'ok');
    expect(approved.code, approved.stderr).toBe(0);
    expect(approved.stderr).toMatch(/gives +group shop:admins, at prod/);
    expect(approved.stdout).toMatch(/^approved: corp:alice has shop-admins until /);
    expect(sent('POST')).toEqual([{ path: `/-/access/${ID}/approve`, reason: 'ok' }]);
  });

  test('what is decided already is not decided again, and one of several must be named', async () => {
    await at.login();
    answers(listOf([], [theirs({ state: 'withdrawn' }), theirs({ id: '7fK3bbbbbbbbbbbbbbbbbb', user: 'corp:carol' })]));
    const over = await access('deny', '7fK2');
    expect(over).toMatchObject({ code: 1, stdout: '' });
    expect(over.stderr).toContain('This is decided already: withdrawn');
    answers(listOf([], [theirs(), theirs({ id: '7fK2bbbbbbbbbbbbbbbbbb', user: `corp:carol${NASTY}` })]));
    const ambiguous = await access('approve', '7fK2', '--yes');
    expect(ambiguous).toMatchObject({ code: 2, stdout: '' });
    expect(ambiguous.stderr).toMatch(/7fK2 could be several access requests:\n {2}7fK2a+ .*corp:alice\n {2}7fK2b+ /);
    expect(await access('approve', '7fK', '--yes')).toMatchObject({ code: 2 });
    expect(await access('approve', '9999', '--yes')).toMatchObject({ code: 4 });
    expect(await access('approve', '../../x', '--yes')).toMatchObject({ code: 2 });
    expect(sent('POST')).toEqual([]);
  });

  test('the link names a request too, but not that of another server', async () => {
    await at.login();
    answers(listOf([]), {
      [`GET /-/access/${ID}`]: theirs(),
      [`POST /-/access/${ID}/deny`]: theirs({ state: 'denied' }),
    });
    const denied = await access('deny', `${at.fakeServer.web}/access/${ID}`, '--reason', 'ask tomorrow');
    expect(denied).toMatchObject({ code: 0, stdout: 'denied: shop-admins for corp:alice\n' });
    expect(sent('POST')).toEqual([{ path: `/-/access/${ID}/deny`, reason: 'ask tomorrow' }]);
    expect(await access('deny', `https://other.example.com/access/${ID}`)).toMatchObject({ code: 2 });
  });

  test('the server’s own rejection is shown, with exit 3', async () => {
    await at.login();
    answers(listOf([], [theirs()]), { [`POST /-/access/${ID}/approve`]: problem(403, 'own_request') });
    const refused = await access('approve', '7fK2', '--yes');
    expect(refused).toMatchObject({ code: 3, stdout: '' });
    expect(refused.stderr).toContain('send the link of the request to a colleague');
  });
});

describe('at a terminal', () => {
  let terminal: ShellTerminal | undefined;
  afterEach(async () => {
    await terminal?.close();
    terminal = undefined;
  });
  const start = (...args: readonly string[]): ShellTerminal => {
    const command = `stty cols 70; '${at.machine.installCommand()}' access ${args.join(' ')}; echo "exit $?"`;
    const environment = { ...bareEnvironment(), HOME: at.machine.home, PORTCULLIS_CACHE_DIR: at.machine.cacheDir };
    return (terminal = new ShellTerminal(command, environment));
  };

  test.each([
    ['yes', 0, 1],
    ['', 1, 0],
  ])('an approval is confirmed: %j', async (typed, code, approvals) => {
    await at.login();
    answers(listOf([], [accessRequest({ may: ['approve'] })]), { [`POST /-/access/${ID}/approve`]: granted(1800) });
    const shown = start('approve', '7fK2');
    await shown.until(/for +30m[^]*Type yes to give this to corp:alice: $/);
    expect(sent('POST')).toEqual([]);
    shown.type(`${typed}\r`);
    await shown.until(new RegExp(`exit ${code}`));
    expect(sent('POST')).toHaveLength(approvals);
  });

  test('the time left is the server’s, in lines that fit; ids are short, and an approver keeps the reason', async () => {
    await at.login();
    answers(listOf([granted(1770)], [accessRequest({ reason: 'x'.repeat(200) })]));
    const output = await start('list').until(/exit 0/);
    // The server's clock is an hour ahead.
    expect(output).toMatch(/^7fK2aaaa +shop-admins +granted +in 29m30s +30m /m);
    expect(output).toMatch(/^ID +USER +ROLE +STATE +FOR +REASON\r?\n7fK2aaaa +.* x{9,}…\r?$/m);
    expect(Math.max(...output.split(/\r?\n/).map((line) => line.length))).toBeLessThanOrEqual(70);
  });
});

describe('access end', () => {
  test('shows the receipt; one that is not proven is no success', async () => {
    await at.login();
    const replicas = [{ id: 'portcullis-0', state: 'applied', ms: 3, streamsClosed: 1 } as const];
    answers(listOf([granted(900)]), {
      [`DELETE /-/access/${ID}?reason=done`]: receipt({ replicas, streamsClosed: 1 }),
    });
    const ended = await access('end', '7fK2', '--reason', 'done');
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout).toMatch(
      /^complete: shop-admins ended, 1 stream cut, .*\n.*REPLICA .*\nportcullis-0 +applied +3 +1\n$/,
    );
    answers(listOf([granted(900)]), {
      [`DELETE /-/access/${ID}`]: receipt({ replicas, complete: false, missing: ['portcullis-1'] }),
    });
    expect(await access('end', '7fK2')).toMatchObject({ code: 5 });
  });

  test('withdraws what is open', async () => {
    await at.login();
    answers(listOf([accessRequest()]), { [`DELETE /-/access/${ID}`]: { withdrawn: true } });
    expect(await access('end', '7fK2')).toMatchObject({ code: 0, stdout: 'withdrawn: the request for shop-admins\n' });
  });
});

describe('what is shown', () => {
  test('the list: what one may ask for, has, and decides about; no control character of a hostile text', async () => {
    await at.login();
    const other = accessRequest({ id: '9aaabbbbbbbbbbbbbbbbbb', user: NASTY, reason: NASTY, may: ['approve'] });
    answers(listOf([granted(1740), accessRequest({ state: 'denied', id: 'dddd' })], [other]));
    const listed = await access('list');
    expect(listed.code, listed.stderr).toBe(0);
    expect(listed.stdout).toMatch(/^shop-admins +1h +1 user +shop:admins +prod +Administer the shop$/m);
    expect(listed.stdout).toMatch(/^7fK2a+ +shop-admins +granted +\d{4}-\S+Z +30m /m);
    expect(listed.stdout).toMatch(/^9aaab+ .*shop-admins +open 0\/1 /m);
    expect(listed.stdout).not.toContain('dddd');
    expect((await access('list', '--all')).stdout).toContain('dddd');
    expect(listed.stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    const json = JSON.parse((await access('list', '--output', 'json')).stdout) as Record<string, Json[]>;
    expect(Object.keys(json)).toEqual(['roles', 'mine', 'queue']);
    expect(json['queue']?.[0]).toMatchObject({ id: '9aaabbbbbbbbbbbbbbbbbb', reason: NASTY });
    answers(listOf([], [], []));
    expect((await access('list')).stderr).toContain('nothing that you may ask for');
  });

  test('status: the session, what it has, what is asked for and what waits', async () => {
    await at.login();
    const elsewhere = granted(60, { session: 's-9', role: 'other-session' });
    answers(listOf([granted(1740), elsewhere, accessRequest({ id: 'eeee' })], [accessRequest({ may: ['approve'] })]));
    const shown = await at.machine.run('status');
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/^ {2}granted +shop-admins until \S+Z: group shop:admins, at prod \(7fK2a+\)$/m);
    expect(shown.stdout).toMatch(/^ {2}asked for shop-admins: open, 0 of 1 approvals \(eeee\)$/m);
    expect(shown.stdout).toMatch(/^ {2}waiting +1 for your approval/m);
    expect(shown.stdout).not.toContain('other-session');
    const json = JSON.parse((await at.machine.run('status', '-o', 'json')).stdout) as Json;
    expect(json).toMatchObject({ session: { id: 's-1' }, granted: [{ id: ID }], open: [{ id: 'eeee' }], waiting: 1 });
    // A server of an earlier version.
    at.fakeServer.ownAnswer = undefined;
    expect(await at.machine.run('status')).toMatchObject({ code: 0, stdout: expect.not.stringContaining('granted') });
  });

  test.each<{ what: string; body: Json }>([
    { what: 'no list', body: { roles: [], mine: {}, queue: [] } },
    { what: 'an id that a shell reads', body: listOf([accessRequest({ id: '$(id)' })]).body },
    { what: 'numbers for texts', body: listOf([accessRequest({ reason: 7 })]).body },
  ])('a server that sends $what is not believed', async ({ body }) => {
    await at.login();
    answers({ status: 200, body } as ReturnType<typeof listOf>);
    const listed = await access('list');
    expect(listed).toMatchObject({ code: 1, stdout: '' });
    expect(listed.stderr).toContain('does not know the format of the server’s response');
  });
});

test('in a delegated session nothing of this is sent to the server', async () => {
  await at.login();
  const script = '"$0" access list; "$0" access request x; "$0" access approve 7fK2 --yes; "$0" step-up; exit $?';
  const delegated = ['--read-only', '--cluster', 'prod', '--name', 'claude', '--', 'sh', '-c', script];
  const ran = await at.machine.run('delegate', ...delegated, at.machine.installCommand());
  expect(ran.code, ran.stderr).toBe(3);
  expect(ran.stderr.match(/delegated to "claude" cannot (?:ask for access|prove)/g)).toHaveLength(4);
  expect(at.fakeServer.ownRequests).toEqual([]);
});
