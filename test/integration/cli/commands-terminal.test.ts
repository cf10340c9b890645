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
  test.each([200, 80, 50])('sessions fit %i columns, with moments as seen from now', async (columns) => {
    await at.login();
    const shownSession = session({
      id: 's-0123456789',
      account: 'corp/00u1abcdefghijklmnop',
      username: 'corp:alice@example.com',
      client: 'portcullis-cli',
      lastUsedAt: new Date(Date.now() - 60_000).toISOString(),
      expiresAt: inTwoHours,
      address: '2001:db8:1234:5678:9abc:def0:1234:5678',
    });
    at.fakeServer.adminAnswer = () => ({
      status: 200,
      body: { sessions: [shownSession, { ...shownSession, id: 's-2' }] },
    });
    const lines = (await shown(columns, 'sessions')).trim().split('\n');
    expect(lines).toHaveLength(4);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(lines[1]).toContain('s-0123456789');
    expect(lines[1]).toContain('in 2h');
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
    const text = await shown(80, 'revoke', '--session', 's-9', '--reason', 'x');
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

describe('a revocation of many users', () => {
  const scope = { sessions: 13, users: 12, more: false, openHere: 5 };
  const answers = (path: string) => ({ status: 200, body: path.startsWith('revocation-scope') ? scope : receipt() });
  const posts = () => at.fakeServer.adminRequests.filter(({ method }) => method === 'POST');

  test.each([
    [['--all'], 'all=true', 'all users'],
    [['--provider', 'corp'], 'provider=corp', 'all users of corp'],
  ])('says what it ends, and is sent after yes only: %j', async (args, query, whose) => {
    await at.login();
    at.fakeServer.adminAnswer = (_, path) => answers(path);
    for (const [typed, exit, sent] of [
      ['y\n', 'exit 1', 0],
      ['\u0004', 'exit 1', 0],
      ['yes\n', 'exit 0', 1],
    ] as const) {
      const user = start(200, 'revoke', ...args, '--reason', 'x');
      const asked = await user.until(/Type yes to go on: $/);
      expect(asked).toContain(`every session of ${whose}: 13 sessions of 12 users, and 5 requests and streams`);
      user.type(typed);
      expect(await user.until(/exit \d+\s*$/)).toContain(exit);
      expect(posts()).toHaveLength(sent);
      await user.close();
    }
    expect(at.fakeServer.adminRequests[0]?.path).toBe(`revocation-scope?${query}`);
  });

  test('is asked for also where the server cannot say how many, and not at all with --yes', async () => {
    await at.login();
    at.fakeServer.adminAnswer = (method) =>
      method === 'POST' ? { status: 200, body: receipt() } : { status: 503, body: { code: 'store_unavailable' } };
    const user = start(200, 'revoke', '--all', '--reason', 'x');
    expect(await user.until(/Type yes to go on: $/)).toContain('not known now');
    user.type('yes\n');
    expect(await user.until(/exit \d+\s*$/)).toContain('exit 0');
    await user.close();
    expect(await shown(200, 'revoke', '--all', '--yes', '--reason', 'x')).not.toContain('Type yes');
    expect(posts()).toHaveLength(2);
  });
});
