/** `portcullis delegate` and what it leaves behind, also where something fails. test/integration/cli/delegate.test.ts has the real server. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { stage } from './setup.ts';
import type { Ended } from './machine.ts';

const at = stage();
const READ_ONLY = ['--read-only', '--namespace', 'shop', '--cluster', 'prod'] as const;

const delegate = (...args: readonly string[]): Promise<Ended> =>
  at.machine.run('delegate', '--server', at.fakeServer.web, '--command', at.machine.installCommand(), ...args);

/** Programs run in a shell, because only that can look at its own environment. */
const delegateShell = (script: string, ...args: readonly string[]): Promise<Ended> =>
  delegate(...(args.length === 0 ? READ_ONLY : args), '--', 'sh', '-c', script);

const child = () => at.fakeServer.sessions.find(({ id }) => id === 'd-1');
const GET_TOKEN = '"$PORTCULLIS" get-token --server "$SERVER" --cluster prod';

describe('with a command', () => {
  test('the command has the delegated session and no other way to a cluster; both are gone after it', async () => {
    await at.login();
    at.machine.env = {
      PORTCULLIS_TOKEN_FILE: '/nonexistent',
      PORTCULLIS_CREDENTIAL_STORE: 'keyring',
      HELM_KUBETOKEN: 'x',
      KUBERNETES_SERVICE_HOST: '10.0.0.1',
      KUBECONFIG: '/nonexistent',
      PORTCULLIS: at.machine.installCommand(),
      SERVER: at.fakeServer.web,
    };
    const ran = await delegateShell(
      `env; echo; stat -c '%a %n' "$PORTCULLIS_DELEGATED_DIR" "$KUBECONFIG"; ${GET_TOKEN} | grep -o ExecCredential; cat "$KUBECONFIG"; exit 7`,
      ...READ_ONLY,
      '--for',
      '30m',
      '--name',
      'claude',
    );
    expect(ran.code, ran.stderr).toBe(7);
    const dir = /^PORTCULLIS_DELEGATED_DIR=(.*)$/m.exec(ran.stdout)?.[1] ?? '';
    expect(ran.stdout).not.toMatch(/^(PORTCULLIS_(TOKEN_FILE|CREDENTIAL_STORE|CACHE_DIR)|HELM_KUBE|KUBERNETES_SERV)/m);
    expect(ran.stdout).toContain(`\n700 ${dir}\n600 ${dir}/kubeconfig\n`);
    expect(dir).not.toContain(at.machine.cacheDir);
    expect(existsSync(dir)).toBe(false);
    const config = parse(ran.stdout.slice(ran.stdout.indexOf('apiVersion:'))) as {
      users: { user: { exec: object } }[];
      contexts: { context: object }[];
    };
    expect(config.users[0]?.user.exec).toMatchObject({ env: [{ name: 'PORTCULLIS_DELEGATED_DIR', value: dir }] });
    expect(config.contexts.map(({ context }) => context)).toMatchObject([{ namespace: 'shop' }]);

    const [order] = at.fakeServer.delegationOrders;
    expect(order).toMatchObject({ name: 'claude', clusters: ['prod'], seconds: 1800 });
    expect(order?.['limits']).toEqual([{ preset: 'read-only', namespaces: ['shop'] }]);
    // A key pair of its own: neither the parent's, nor known before.
    expect(order?.['thumbprint']).not.toBe(at.fakeServer.sessions[0]?.thumbprint);
    expect(ran.stderr).toMatch(
      /^portcullis: delegated to "claude": read-only in shop, at prod, until 2030-.*; session d-1$/m,
    );
    expect(ran.stdout).toContain('\nExecCredential\n');
    expect(child()?.over).toBe('signed out');
    expect(at.fakeServer.sessions[0]?.over).toBeUndefined();
    expect(at.machine.tabs).toEqual([]);
  });

  test.each([
    { what: 'is ended by a signal', script: 'kill -TERM $$; sleep 9', code: 143 },
    { what: 'does not exist', script: undefined, code: 127 },
    { what: 'removes its folder', script: 'rm -r "$PORTCULLIS_DELEGATED_DIR"', code: 0 },
  ])('the session ends with a command that $what', async ({ script, code }) => {
    await at.login();
    const ran = await (script === undefined ? delegate(...READ_ONLY, '--', '/nonexistent/x') : delegateShell(script));
    expect(ran.code, ran.stderr).toBe(code);
    expect(child()?.over).toBe('signed out');
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s is passed on, and ends the session too', async (signal) => {
    await at.login();
    const script = `trap 'echo caught; exit 3' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`;
    const args = ['delegate', '--server', at.fakeServer.web, ...READ_ONLY, '--', 'sh', '-c', script];
    const running = at.machine.startPlugin(...args);
    running.stdout?.once('data', () => running.kill(signal));
    const ended = await at.machine.ended(running);
    expect(ended).toMatchObject({ code: 3, stdout: 'ready\ncaught\n' });
    expect(child()?.over).toBe('signed out');
  });

  test('a message that cannot be written leaves neither the command nor its session behind', async () => {
    await at.login();
    const args = ['delegate', '--server', at.fakeServer.web, ...READ_ONLY, '--', 'sh', '-c', 'echo here; exit 3'];
    const running = at.machine.startPlugin(...args);
    running.stderr?.destroy();
    expect(await at.machine.ended(running)).toMatchObject({ code: 3, stdout: 'here\n' });
    expect(child()?.over).toBe('signed out');
  });

  test('a relative TMPDIR leads to the same folder from every folder; a missing one is said', async () => {
    await at.login();
    at.machine.env = { TMPDIR: '.' };
    const ran = await delegateShell('cd / && cat "$KUBECONFIG" && test -d "$PORTCULLIS_DELEGATED_DIR"');
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stdout).toMatch(/PORTCULLIS_DELEGATED_DIR\n +value: \//);
    at.machine.env = { TMPDIR: '/nonexistent' };
    const missing = await delegateShell('true');
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toMatch(/The folder \/nonexistent does not exist\.\n {2}Next: .*TMPDIR/);
    expect(at.fakeServer.delegationOrders).toHaveLength(1);
  });

  test('Ctrl-C at a terminal reaches the command once, and does not end this program before it', async () => {
    await at.login();
    // A second one would arrive within the second that is left after the first.
    const onSignal = "() => { console.log('caught'); setTimeout(() => process.exit(5), 1000); }";
    const script = `process.on('SIGINT', ${onSignal}); setInterval(() => {}, 1000); console.log('ready')`;
    const args = ['delegate', '--server', at.fakeServer.web, ...READ_ONLY, '--', process.execPath, '-e', script];
    const terminal = at.machine.startAtTerminal(...args);
    let shown = '';
    terminal.stdout?.on('data', (text: Buffer) => (shown += text.toString()));
    await expect.poll(() => shown, { timeout: 20_000 }).toContain('ready');
    terminal.stdin?.write('\u0003');
    await new Promise((resolve) => terminal.once('close', resolve));
    expect(shown.match(/caught/g)).toHaveLength(1);
    expect(terminal.exitCode).toBe(5);
    expect(child()?.over).toBe('signed out');
  });

  test('where it cannot be ended, a message says when it ends by itself; the command’s exit code counts', async () => {
    await at.login();
    at.fakeServer.revokesNothing = true;
    const ran = await delegateShell('exit 4');
    expect(ran.code).toBe(4);
    expect(ran.stderr).toContain('the session d-1 could not be ended');
    expect(ran.stderr).toContain('portcullis logout --session d-1; it ends by itself at 2030-01-01T00:00:00Z');
  });

  test('once it is over, the plugin says whose it was, opens no browser, and has no other session', async () => {
    await at.login();
    at.machine.env = { PORTCULLIS: at.machine.installCommand(), SERVER: at.fakeServer.web };
    at.fakeServer.onRefresh = () => {
      const session = child();
      if (session !== undefined) session.over = 'Your session was ended by an admin.';
    };
    const ran = await delegateShell(
      `${GET_TOKEN}; ${GET_TOKEN}; "$PORTCULLIS" login; "$PORTCULLIS" kubeconfig; rm -r "$PORTCULLIS_DELEGATED_DIR"; ${GET_TOKEN}`,
      ...READ_ONLY,
      '--name',
      'claude',
    );
    expect(ran.stdout).toBe('');
    expect(ran.stderr).toContain(
      'The session delegated to "claude" is over: The server says: Your session was ended by an admin.',
    );
    expect(ran.stderr).toContain('delegate again, in your own session');
    expect(ran.stderr).toContain('A session that was delegated to "claude" cannot sign a user in.');
    expect(ran.stderr).toContain('A session that was delegated to "claude" cannot write another kubeconfig.');
    expect(ran.stderr).toContain('The delegated session is over: there is none in ');
    expect(ran.stderr).not.toContain('portcullis login');
    expect(at.machine.tabs).toEqual([]);
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });
});

describe('with --kubeconfig', () => {
  const keep = (...more: readonly string[]): Promise<Ended> =>
    delegate('--read-only', '--cluster', 'prod', '--kubeconfig', join(at.machine.home, 'nightly.yaml'), ...more);

  test('file and folder are private, and the file leads to the folder from anywhere; the session stays', async () => {
    await at.login();
    const kept = await keep('--output', 'json');
    expect(kept.code, kept.stderr).toBe(0);
    const { kubeconfig, folder } = JSON.parse(kept.stdout) as { kubeconfig: string; folder: string };
    expect(at.fakeServer.delegationOrders[0]).toMatchObject({ name: 'nightly', seconds: 3600 });
    expect([kubeconfig, folder].map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o700]);
    const { users } = parse(readFileSync(kubeconfig, 'utf8')) as { users: { user: { exec: object } }[] };
    // Not every client resolves a command that is relative to the file, so there is none.
    const env = [{ name: 'PORTCULLIS_DELEGATED_DIR', value: folder }];
    expect(users).toMatchObject([{ user: { exec: { env } } }]);
    // Whatever the user's own variables lead to, the folder of the file counts.
    at.machine.env = { PORTCULLIS_TOKEN_FILE: '/nonexistent', PORTCULLIS_SERVER: 'https://other.example.com' };
    const version = await at.machine.kubectl('--kubeconfig', kubeconfig, 'get', '--raw', '/x');
    expect(version.stderr).not.toContain('exec:');
    expect(at.fakeServer.sessions.map(({ over }) => over)).toEqual([undefined, undefined]);
  });

  test('an earlier one is replaced, and its session ended; anything else stays as it is', async () => {
    await at.login();
    expect((await keep()).code).toBe(0);
    const ended: string[] = [];
    at.fakeServer.delegationAnswer = (method, path) => {
      if (method !== 'DELETE') return undefined;
      ended.push(path);
      // Another command of the same user is at work.
      const busy = { status: 429, headers: { 'retry-after': '0' }, body: { code: 'too_many_requests' } };
      return ended.length === 1 ? busy : { status: 200, body: {} };
    };
    const again = await keep();
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toContain('has ended');
    expect(ended).toEqual(['/-/delegations/d-1', '/-/delegations/d-1']);
    const file = join(at.machine.home, 'nightly.yaml');
    writeFileSync(file, 'apiVersion: v1\nkind: Config\nusers: [{ name: a, user: { token: b } }]\n');
    const refused = await keep();
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('is not the kubeconfig of a delegated session');
    expect(readFileSync(file, 'utf8')).toContain('token: b');
    expect(at.fakeServer.delegationOrders).toHaveLength(2);
    expect((await keep('--force')).code).toBe(0);
    expect(readFileSync(file, 'utf8')).not.toContain('token: b');
  });
});

test.each<{ what: string; args: readonly string[]; rules?: string; message: string; code?: number }>([
  { what: 'no rights', args: [], message: '--read-only, or --rules FILE' },
  { what: 'a cluster of others', args: ['--read-only', '--cluster', 'lab'], message: 'You may not use', code: 3 },
  {
    what: 'a folder for the kubeconfig',
    args: ['--read-only', '--kubeconfig', '/tmp'],
    message: '/tmp is not a plain',
  },
  { what: 'no program for kubectl', args: ['--read-only', '--command', ''], message: '--command is no program' },
  { what: 'a line break for it', args: ['--read-only', '--command', 'a\nb'], message: '--command is no program' },
  { what: 'rules that are no YAML', args: ['--rules'], rules: 'rules: [', message: 'line 1, column 9' },
])('$what: an error that says what to do, and nothing is made', async ({ args, rules, message, code = 2 }) => {
  await at.login();
  const file = join(at.machine.home, 'rules.yaml');
  if (rules !== undefined) writeFileSync(file, rules);
  const program = args.includes('--kubeconfig') ? [] : ['--', 'true'];
  const ran = await delegate(...args, ...(rules === undefined ? [] : [file]), ...program);
  expect(ran.code, ran.stderr).toBe(code);
  expect(ran.stderr).toContain(message);
  expect(at.fakeServer.delegationOrders).toEqual([]);
});

describe('the list', () => {
  const NASTY = '\u001b[31mred\u009b2J\u202egnol\r\nportcullis: fake';

  test('shows what each may do and has done, and no control character of a hostile name', async () => {
    await at.login();
    const request = { at: '2029-12-31T23:59:00Z', auditId: 'a', cluster: 'prod', uri: '/api', code: 403, address: '' };
    const recent = [{ ...request, verb: 'delete', resource: 'pods', namespace: 'shop', name: NASTY }];
    at.fakeServer.delegation = { name: `claude/${NASTY}`, recent };
    const listed = await at.machine.run('delegations');
    expect(listed.code, listed.stderr).toBe(0);
    expect(listed.stdout).toMatch(/^ID +NAME +CLUSTERS +MAY +ENDS +USED +LAST REQUEST$/m);
    expect(listed.stdout).toMatch(/^d-1 +claude\/.* prod,staging +read-only in shop .*delete pods shop\/.*: 403$/m);
    expect(listed.stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    const json = await at.machine.run('delegations', '--output', 'json');
    expect((JSON.parse(json.stdout) as { delegations: unknown[] }).delegations).toMatchObject([{ id: 'd-1', recent }]);
    at.fakeServer.delegationAnswer = () => ({ status: 200, body: { delegations: [] } });
    expect((await at.machine.run('delegations')).stderr).toContain('to delegate: portcullis delegate --read-only');
  });

  test('one is ended by its id; a wrong one is no success', async () => {
    await at.login();
    at.fakeServer.delegationAnswer = () => ({ status: 404, body: { code: 'session_not_found', detail: 'none' } });
    expect(await at.machine.run('logout', '--session', 'd-9')).toMatchObject({ code: 4 });
    expect(await at.machine.run('logout', '--session', '../x')).toMatchObject({ code: 2 });
    const facts = { id: 'r', at: '', sessions: 1, streamsClosed: 2, elapsedMs: 3, canSignInAgain: true, replicas: [] };
    at.fakeServer.delegationAnswer = () => ({ status: 202, body: { ...facts, complete: false, missing: ['r-2'] } });
    expect(await at.machine.run('logout', '--session', 'd-1')).toMatchObject({ code: 5 });
    at.fakeServer.delegationAnswer = () => ({ status: 200, body: { ...facts, complete: true } });
    const ended = await at.machine.run('logout', '--session', 'd-1');
    expect(ended).toMatchObject({ code: 0, stdout: 'complete: 1 session ended, 2 streams cut, 3 ms\n' });
    expect(at.machine.session).toBeDefined();
  });

  test('the beginning of several ids ends none of them, and names each', async () => {
    await at.login();
    const one = { name: 'claude', clusters: [], rights: 'read-only', recent: [] };
    const times = { expiresAt: '2030-01-01T00:00:00Z', lastUsedAt: '2030-01-01T00:00:00Z' };
    const items = ['abcdefgh1', 'abcdefgh2'].map((id) => ({ id, ...one, ...times }));
    const ended: string[] = [];
    at.fakeServer.delegationAnswer = (method, path) => {
      if (method === 'DELETE') ended.push(path);
      return method === 'DELETE' ? { status: 404, body: {} } : { status: 200, body: { delegations: items } };
    };
    const { code, stderr } = await at.machine.run('logout', '--session', 'abcdefgh');
    expect(code).toBe(2);
    expect(stderr).toMatch(/\n {2}abcdefgh1 {2}claude, read-only\n {2}abcdefgh2 /);
    expect(ended).toEqual([]);
    await at.machine.run('logout', '--session', 'abcdefgh2');
    expect(ended).toEqual(['/-/delegations/abcdefgh2']);
  });
});
