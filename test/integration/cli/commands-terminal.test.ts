import { afterEach, describe, expect, test } from 'vitest';
import { bareEnvironment } from '../../support/bare-environment.ts';
import { ShellTerminal } from '../../support/shell-terminal.ts';
import { receipt, session } from './admin-responses.ts';
import { stage } from './setup.ts';

const at = stage();

let terminal: ShellTerminal | undefined;
afterEach(async () => {
  await terminal?.close();
  terminal = undefined;
});

/** Starts the command with a terminal of that width. */
function start(columns: number, ...args: readonly string[]): ShellTerminal {
  terminal = new ShellTerminal(
    `stty cols ${columns}; '${at.machine.installCommand()}' ${args.join(' ')}; echo "exit $?"`,
    {
      ...bareEnvironment(),
      HOME: at.machine.home,
      PORTCULLIS_CACHE_DIR: at.machine.cacheDir,
    },
  );
  return terminal;
}

/** @returns the output, with the exit code at the end */
const shown = (columns: number, ...args: readonly string[]): Promise<string> =>
  start(columns, ...args).until(/exit \d+\s*$/);

const inTwoHours = new Date(Date.now() + 2 * 3600_000 + 30_000).toISOString();

describe('on a terminal', () => {
  const shownSession = session({
    id: 'Zk3v9QeL0cW1yRt5uPaXbA',
    account: 'corp/00u1abcdefghijklmnop',
    username: 'corp:alice',
    deviceName: 'alice-laptop',
    client: 'portcullis-cli',
    lastUsedAt: new Date(Date.now() - 60_000).toISOString(),
    expiresAt: inTwoHours,
  });

  test.each([
    [200, /^USER +DEVICE +FROM +USED +ENDS +CLIENT +ACCOUNT +ID$/, 0, 'Zk3v9QeL0cW1yRt5uPaXbA'],
    [80, /^USER +DEVICE +FROM +USED +ENDS +ID$/, 2, 'Zk3v9QeL…'],
    [50, /^USER +DEVICE +USED +ID$/, 4, 'Zk3v9QeL…'],
  ])(
    'sessions fit %i columns, whole but for the id, and say how many are hidden',
    async (columns, head, hidden, id) => {
      await at.login();
      const other = { ...shownSession, username: 'corp:vera', deviceName: 'v', id: 'a9fKzL' };
      at.fakeServer.adminAnswer = () => ({ status: 200, body: { sessions: [shownSession, other] } });
      const lines = (await shown(columns, 'sessions')).trim().split(/\r?\n/);
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
      const notes = hidden === 0 ? [] : [`portcullis: ${hidden} columns hidden; -o wide shows all`];
      expect(lines).toEqual([
        ...notes,
        expect.stringMatching(head),
        expect.stringMatching(/^corp:alice +alice-laptop .*\b1m\d*s? ago /),
        expect.stringMatching(/^corp:vera +v .* a9fKzL$/),
        'exit 0',
      ]);
      const [cell = ''] = lines.at(-3)?.split(/ +/).slice(-1) ?? [];
      expect(cell.startsWith(id.slice(0, 8))).toBe(true);
      expect(cell.endsWith('…')).toBe(id.endsWith('…'));
      expect(lines.join('\n').includes('in 2h')).toBe(columns > 50);
    },
  );

  test('sessions show everything with -o wide, and the exact times as JSON alone', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { sessions: [shownSession] } });
    const wide = await shown(50, 'sessions', '-o', 'wide');
    expect(wide).toMatch(/in 2h\w* +portcullis-cli +corp\/00u1abcdefghijklmnop +Zk3v9QeL0cW1yRt5uPaXbA/);
    expect(await shown(50, 'sessions', '-o', 'json')).toContain(`"expiresAt": "${inTwoHours}"`);
  });

  test('a pipe gets the sessions without any cut', async () => {
    await at.login();
    const body = { sessions: [session({ username: 'x'.repeat(300), expiresAt: inTwoHours })] };
    at.fakeServer.adminAnswer = () => ({ status: 200, body });
    const { stdout } = await at.machine.run('sessions');
    expect(stdout).toContain('x'.repeat(300));
    expect(stdout).toContain(inTwoHours);
  });
});

describe('a revocation', () => {
  type State = 'applied' | 'pending' | 'fenced';
  const replica = (id: string, state: State) => ({
    id,
    state,
    ...(state === 'applied' ? { ms: 3, streamsClosed: 1 } : {}),
  });
  const body = (complete: boolean, b: State) =>
    receipt({
      streamsClosed: 2,
      complete,
      replicas: [replica('a', 'applied'), replica('b', b)],
      ...(complete ? {} : { missing: ['replica b'] }),
    });

  /** The server does not respond before it was polled, as while it waits for a replica that does not respond. */
  function slowServer(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    let polls = 0;
    at.fakeServer.adminAnswer = async (method) => {
      if (method === 'POST') {
        await promise;
        return { status: 200, body: body(true, 'fenced') };
      }
      polls += 1;
      if (polls === 1) return { status: 404, body: { code: 'revocation_not_found' } };
      if (polls === 3) resolve();
      return { status: 200, body: body(false, 'pending') };
    };
  }

  test('shows each replica when it reports, each state once, and the receipt at the end', async () => {
    await at.login();
    slowServer();
    const text = await shown(80, 'revoke', '--session', 's-9', '--yes', '--reason', 'x');
    const lines = text.trim().split('\n');
    expect(lines.slice(0, 3)).toEqual([
      'portcullis: a: applied, 3 ms, 1 stream cut',
      'portcullis: b: pending',
      'portcullis: b: fenced',
    ]);
    expect(lines[3]).toContain('complete: 1 session ended');
    expect(lines.at(-1)).toBe('exit 0');
    const asked = at.fakeServer.adminRequests;
    const { requestId } = JSON.parse(asked.find(({ method }) => method === 'POST')?.body ?? '{}');
    expect(
      asked.filter(({ method }) => method === 'GET').every(({ path }) => path === `revocations/${requestId}`),
    ).toBe(true);
  });

  test('shows a pipe the receipt once, when it is final', async () => {
    await at.login();
    at.fakeServer.adminAnswer = (method) =>
      method === 'POST' ? { status: 202, body: body(false, 'pending') } : { status: 200, body: body(true, 'applied') };
    const ended = await at.machine.run('revoke', '--session', 's-9', '--reason', 'x', '--output', 'yaml');
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^id: r-1\n/) });
    expect(ended.stdout).toContain('complete: true');
    expect(ended.stderr).not.toContain('pending');
  });
});

describe('a revocation is asked for', () => {
  /** As it is shown: the server sends an escape sequence in it. */
  const OWN_NAME = 'corp:alice [31m';
  const CTRL_C = '\u0003';
  const CTRL_D = '\u0004';
  const body = { sessions: 13, delegated: 2, users: 12, more: false, openHere: 5, known: true };
  const one = { ...body, sessions: 3, delegated: 1, users: 1, openHere: 1 };
  const many = '13 sessions (2 delegated) of 12 users, and 5 requests and streams';
  const few = '3 sessions (1 delegated), and 1 request or stream';

  test.each([
    [['revoke', '--all'], 'all=true', `every session of all users: ${many}`, 'Type everyone to go on: ', 'everyone'],
    [['revoke', '--provider', 'lab'], 'provider=lab', `all users of lab: ${many}`, 'Type lab to go on: ', 'lab'],
    [['revoke', '--session', 's-9'], 'session=s-9', `the session s-9 and those beneath it: ${few}`, '[y/N] ', 'y'],
    [['lock', 'corp/bob'], 'account=corp%2Fbob', `of corp/bob, and locks the account: ${few}`, '[y/N] ', 'Yes'],
    [['revoke', '--session', 's-1'], 'session=s-1', 'this includes you', `Type ${OWN_NAME} to go on: `, OWN_NAME],
    [['lock', 'corp/alice'], 'account=corp%2Falice', 'you will be', `Type ${OWN_NAME} to go on: `, OWN_NAME],
  ])('%j says what it ends, and is sent after the right word only', async (args, query, says, question, word) => {
    await at.login();
    at.fakeServer.scopeAnswer = { status: 200, body: says.includes(many) ? body : one };
    at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt() });
    const wrong = /^y/i.test(word) ? 'n' : 'yes';
    for (const typed of word === 'everyone' ? [`${wrong}\n`, CTRL_C, CTRL_D] : [`${wrong}\n`]) {
      const user = start(200, ...args, '--reason', 'x');
      expect(await user.until(/(?:\[y\/N\]|to go on:) $/)).toContain(says);
      expect(user.shown.endsWith(question)).toBe(true);
      user.type(typed);
      expect(await user.until(/exit \d+\s*$/)).toMatch(/Nothing was done: it was not confirmed\.[^]*exit 1\s*$/);
      await user.close();
    }
    expect(at.fakeServer.adminRequests).toEqual([]);
    const user = start(200, ...args, '--reason', 'x');
    await user.until(/(?:\[y\/N\]|to go on:) $/);
    user.type(`${word}\n`);
    expect(await user.until(/exit \d+\s*$/)).toMatch(/exit 0\s*$/);
    expect(at.fakeServer.adminRequests).toHaveLength(1);
    expect(new Set(at.fakeServer.scopesAsked)).toEqual(new Set([query]));
  });

  test('also where the server cannot say what it ends, and not at all with --yes', async () => {
    await at.login();
    at.fakeServer.scopeAnswer = { status: 503, body: { code: 'store_unavailable' } };
    at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt() });
    const user = start(200, 'revoke', '--all', '--reason', 'x');
    expect(await user.until(/Type everyone to go on: $/)).toContain('not known now');
    user.type('everyone\n');
    expect(await user.until(/exit \d+\s*$/)).toContain('exit 0');
    await user.close();
    expect(await shown(200, 'revoke', '--all', '--yes', '--reason', 'x')).not.toContain('to go on');
    expect(at.fakeServer.adminRequests).toHaveLength(2);
    expect(at.fakeServer.scopesAsked).toHaveLength(1);
  });

  test('not for an account of which nothing is known: it is named, and asked for with --force', async () => {
    await at.login();
    at.fakeServer.scopeAnswer = { status: 200, body: { ...one, sessions: 0, users: 0, openHere: 0, known: false } };
    const text = await shown(200, 'revoke', '--account', 'corp/bbo', '--reason', 'x');
    expect(text).toMatch(/^portcullis: Nothing was done, because the name may be mistyped: corp\/bbo [^]*exit 1\s*$/);
    const forced = start(200, 'revoke', '--account', 'corp/bbo', '--force', '--reason', 'x');
    expect(await forced.until(/\[y\/N\] $/)).toContain('every session of corp/bbo: 0 sessions');
    expect(at.fakeServer.adminRequests).toEqual([]);
  });
});
