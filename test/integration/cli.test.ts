import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { thumbprintOfPem } from './cli/fake-server.ts';
import type { Ended } from './cli/machine.ts';
import { stage } from './cli/setup.ts';

const at = stage();
const WAIT = { timeout: 30_000 };
const CLOCK = new URL('../support/client-clock.ts', import.meta.url).href;

interface ExecCredential {
  readonly kind: string;
  readonly apiVersion: string;
  readonly status: {
    readonly token: string;
    readonly clientCertificateData: string;
    readonly clientKeyData: string;
    readonly expirationTimestamp: string;
  };
}

const credentialIn = (ended: Ended): ExecCredential => JSON.parse(ended.stdout);

describe('signing in', () => {
  test('login signs in by the browser and prints the user, without the control characters that a server sent', async () => {
    const ended = await at.machine.run('login', '--verbose', '--server', at.fakeServer.web);
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    expect(ended.stderr).toContain('corp:alice');
    expect(ended.stderr).toContain('corp:developers');
    await expect.poll(() => at.machine.tabs).toMatchObject([{ status: 200, at: `${at.fakeServer.web}/login/done` }]);
    expect([...at.fakeServer.userAgents]).toEqual([expect.stringMatching(/^portcullis\/\d+\.\d+\.\d+ \(\w+; \w+\)$/)]);
  });

  test('get-token opens the browser when no user is signed in and prints only an ExecCredential', async () => {
    const before = Date.now();
    const ended = await at.getToken();
    expect(ended.code).toBe(0);
    const { status, ...head } = credentialIn(ended);
    expect(head).toEqual({ kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1' });
    expect(thumbprintOfPem(status.clientCertificateData)).toBe(at.fakeServer.sessions[0]?.thumbprint);
    expect(status.clientKeyData).toContain('PRIVATE KEY');
    const told = Date.parse(status.expirationTimestamp);
    expect(told).toBeGreaterThan(before + 200_000);
    expect(told).toBeLessThan(Date.now() + 300_000);
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 1, redemptions: 1, refreshes: 0 });
  });

  test('a second command uses the cache without any request', async () => {
    await at.login();
    const before = { ...at.fakeServer.counts };
    await at.fakeServer.stop();
    const ended = await at.getToken();
    expect(ended.code).toBe(0);
    expect(at.fakeServer.secrets).toContain(credentialIn(ended).status.token);
    expect(at.fakeServer.counts).toEqual(before);
  });

  test('a new sign-in makes a new key', async () => {
    await at.login();
    await at.login();
    const [first, second] = at.fakeServer.sessions;
    expect(at.fakeServer.sessions).toHaveLength(2);
    expect(first?.thumbprint).not.toBe(second?.thumbprint);
  });

  test('the cache is readable by its owner only', async () => {
    await at.login();
    expect(statSync(at.machine.cacheDir).mode & 0o777).toBe(0o700);
    for (const file of at.machine.cachedFiles) expect(statSync(file).mode & 0o077).toBe(0);
  });

  test('ten programs at the same time open one browser tab', async () => {
    const ended = await Promise.all(Array.from({ length: 10 }, () => at.getToken()));
    expect(ended.map((one) => one.code)).toEqual(Array(10).fill(0));
    expect(at.fakeServer.counts.authorizations).toBe(1);
    expect(new Set(ended.map((one) => credentialIn(one).status.token)).size).toBe(1);
  });

  test.each([
    { name: '--no-browser', args: ['--no-browser'], env: {} },
    { name: 'PORTCULLIS_NO_BROWSER', args: [], env: { PORTCULLIS_NO_BROWSER: '1' } },
  ])('$name fails with the command to type and opens nothing', async ({ args, env }) => {
    at.machine.env = env;
    const ended = await at.getToken('prod', ...args);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`portcullis login --server ${at.fakeServer.web}`);
    expect(at.machine.tabs).toEqual([]);
    expect(at.fakeServer.counts.authorizations).toBe(0);
  });

  test('get-token fails immediately with a message when no browser can be started', async () => {
    at.machine.env = { BROWSER: '/nonexistent/browser' };
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('No browser could be opened');
    // The address would be dead by the time a user reads the log.
    expect(ended.stderr).not.toContain('redirect_uri');
  });

  test('get-token at a terminal waits at its address when no browser can be started', async () => {
    at.machine.env = { BROWSER: '/nonexistent/browser', TERM: 'dumb' };
    const child = at.machine.startAtTerminal('get-token', '--server', at.fakeServer.web, '--cluster', 'prod');
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => void (output += chunk.toString()));
    const ended = once(child, 'exit');
    await expect.poll(() => output, { timeout: 10_000 }).toContain('no browser opened (/nonexistent/browser cannot');
    const address = /^ +(http:\S+)\r?$/m.exec(output)?.[1] ?? '';
    await (await fetch(address)).text();
    expect(await ended).toEqual([0, null]);
    expect(output).toContain('"kind":"ExecCredential"');
  });

  test('a rejected sign-in exits 3 with the message of the server, and its parent gets the same message without a second tab', async () => {
    at.fakeServer.signInError = { error: 'access_denied', error_description: 'only example.com \u001b]0;gotcha\u0007' };
    const ended = await at.machine.runUnderOneParent(
      3,
      'get-token',
      '--server',
      at.fakeServer.web,
      '--cluster',
      'prod',
    );
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr.match(/The sign-in was refused: only example\.com/g)).toHaveLength(3);
    expect(at.fakeServer.counts.authorizations).toBe(1);
    await expect
      .poll(() => at.machine.tabs)
      .toMatchObject([{ status: 400, text: expect.stringContaining('only example.com') }]);
  });

  test('a command that waits for a sign-in that is rejected fails with the same message, and opens no tab', async () => {
    at.fakeServer.signInError = { error: 'access_denied', error_description: 'not today' };
    const held = Promise.withResolvers<void>();
    at.fakeServer.hold = held.promise;
    const started = Array.from({ length: 5 }, () =>
      at.machine.startUnderShell('get-token', '--server', at.fakeServer.web, '--cluster', 'prod'),
    );
    let waiting = 0;
    for (const { stderr } of started)
      stderr?.on('data', (chunk: Buffer) => (waiting += Number(chunk.includes('another sign-in is in progress'))));
    const all = Promise.all(started.map((one) => at.machine.ended(one)));
    await expect.poll(() => waiting, WAIT).toBe(4);
    held.resolve();
    const ended = await all;
    expect(ended.map((one) => one.code)).toEqual(Array(5).fill(3));
    for (const one of ended) expect(one.stderr).toContain('not today');
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });

  test('a response of another issuer is not redeemed (RFC 9207)', async () => {
    at.fakeServer.iss = 'https://evil.example.com';
    expect(await at.getToken()).toMatchObject({ code: 3, stdout: '' });
    expect(at.fakeServer.counts.redemptions).toBe(0);
  });
});

describe('refreshing', () => {
  test('thirty programs with an expired token cause exactly one refresh', async () => {
    await at.login();
    at.machine.age(400);
    const ended = await Promise.all(Array.from({ length: 30 }, () => at.getToken()));
    expect(ended.map((one) => one.code)).toEqual(Array(30).fill(0));
    expect(at.fakeServer.counts.refreshes).toBe(1);
    expect(new Set(ended.map((one) => credentialIn(one).status.token)).size).toBe(1);
  });

  test('a token for another cluster is requested with its audience, and both tokens stay in the cache', async () => {
    await at.login();
    expect((await at.getToken('staging')).code).toBe(0);
    expect(Object.keys(at.machine.session?.tokens ?? {})).toEqual([
      'urn:portcullis:cluster:prod',
      'urn:portcullis:cluster:staging',
    ]);
  });

  test('the same parent that requests the same token again gets another one', async () => {
    await at.login();
    const ended = await at.machine.runUnderOneParent(
      2,
      'get-token',
      '--server',
      at.fakeServer.web,
      '--cluster',
      'prod',
    );
    const [first, second] = ended.stdout
      .trim()
      .split('\n')
      .map((line): ExecCredential => JSON.parse(line));
    expect(first?.status.token).not.toBe(second?.status.token);
    expect(at.fakeServer.counts.refreshes).toBe(1);
  });

  test('in its last minute ten programs get the present token immediately, and one of them fetches the next token', async () => {
    await at.login();
    const present = Object.values(at.machine.session?.tokens ?? {}).map(({ token }) => token);
    const held = Promise.withResolvers<void>();
    at.fakeServer.hold = held.promise;
    at.machine.age(255);
    // Their clocks stand: a busy machine may need longer for ten programs than the token has left.
    Object.assign(at.machine.env, { CLIENT_CLOCK: `${Date.now()},0`, NODE_OPTIONS: `--import=${CLOCK}` });
    // All of them end while the server has not responded: no program waits, and no stdout or stderr is held open.
    const ended = await Promise.all(Array.from({ length: 10 }, () => at.getToken()));
    for (const one of ended) expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(new Set(ended.map((one) => credentialIn(one).status.token))).toEqual(new Set(present));
    held.resolve();
    at.fakeServer.hold = undefined;
    await expect.poll(() => Object.values(at.machine.session?.tokens ?? {})[0]?.token, WAIT).not.toBe(present[0]);
    expect(at.fakeServer.counts.refreshes).toBe(1);
    expect(present).not.toContain(credentialIn(await at.getToken()).status.token);
    expect(at.fakeServer.counts.refreshes).toBe(1);
  });

  test('a renewal that fails in the background prints nothing, is not tried for each program, and keeps the session', async () => {
    await at.login();
    at.fakeServer.refreshAnswer = { status: 503, body: { error: 'temporarily_unavailable' } };
    at.machine.age(250);
    for (let call = 0; call < 4; call += 1) expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(() => at.fakeServer.counts.refreshes, WAIT).toBe(1);
    expect(at.machine.session).toBeDefined();
  });

  test('a killed holder of the lock does not block the next command', async () => {
    await at.login();
    at.machine.age(400);
    const asked = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    at.fakeServer.onRefresh = asked.resolve;
    at.fakeServer.hold = held.promise;
    const victim = at.machine.startPlugin('get-token', '--server', at.fakeServer.web, '--cluster', 'prod');
    const dead = at.machine.ended(victim);
    await asked.promise;
    victim.kill('SIGKILL');
    expect(await dead).toMatchObject({ code: null, stdout: '' });
    held.resolve();
    at.fakeServer.hold = undefined;
    expect(await at.getToken()).toMatchObject({ code: 0 });
    expect(at.fakeServer.counts.refreshes).toBe(2);
  });

  test('a revoked session is reported with the message of the server and deleted, and later commands report it as well', async () => {
    await at.login();
    at.machine.age(400);
    for (const session of at.fakeServer.sessions) session.over = 'This session was revoked by an admin (INC-4711).';
    const ended = await at.getToken('prod', '--no-browser', '--verbose');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('This session was revoked by an admin (INC-4711).');
    expect(ended.stderr).toContain(`Next: portcullis login --server ${at.fakeServer.web}`);
    expect(at.machine.session).toBeUndefined();
    expect((await at.machine.run('whoami')).stderr).toContain('INC-4711');
    expect(at.fakeServer.counts.refreshes).toBe(1);
  });

  test('a revoked session starts a new sign-in where a browser may be opened', async () => {
    await at.login();
    at.machine.age(400);
    for (const session of at.fakeServer.sessions) session.over = 'This session was revoked by an admin.';
    const ended = await at.getToken();
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain('revoked by an admin');
    expect(at.fakeServer.sessions).toHaveLength(2);
  });

  test('a server that is unavailable does not end the session, and the present token is used in its last minute', async () => {
    await at.login();
    at.fakeServer.refreshAnswer = {
      status: 503,
      body: { error: 'temporarily_unavailable', error_description: 'store away' },
    };
    at.machine.age(273);
    const lastMinute = await at.getToken();
    expect(lastMinute.code).toBe(0);
    expect(lastMinute.stderr).toContain('store away');
    at.machine.age(50);
    const over = await at.getToken();
    expect(over).toMatchObject({ code: 1, stdout: '' });
    expect(over.stderr).toContain('you stay signed in');
    at.fakeServer.refreshAnswer = undefined;
    expect((await at.getToken()).code).toBe(0);
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });

  test('a slow server delays a command once, not for each of its calls', async () => {
    await at.login();
    at.machine.age(400);
    const held = Promise.withResolvers<void>();
    at.fakeServer.hold = held.promise;
    const ended = await at.machine.runUnderOneParent(
      4,
      'get-token',
      '--server',
      at.fakeServer.web,
      '--cluster',
      'prod',
    );
    held.resolve();
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr.match(/you stay signed in/g)).toHaveLength(4);
    expect(at.fakeServer.counts.refreshes).toBe(1);
  });

  test('a parent that asks again early does not get the present token twice, and one that asks at the advised time does', async () => {
    await at.login();
    at.fakeServer.refreshAnswer = { status: 503, body: { error: 'temporarily_unavailable' } };
    const twice = ['get-token', '--server', at.fakeServer.web, '--cluster', 'prod'] as const;
    at.machine.age(250); // a minute before the end, and before kubectl was told to ask again
    const early = await at.machine.runUnderOneParent(2, ...twice);
    expect(early.code).toBe(1);
    expect(early.stdout.trim().split('\n')).toHaveLength(1);
    at.machine.age(23);
    const told = await at.machine.runUnderOneParent(2, ...twice);
    expect(told.code).toBe(0);
    expect(told.stdout.trim().split('\n')).toHaveLength(2);
  });

  test('a server that repeats a token in its error does not have it printed on the terminal', async () => {
    await at.login();
    at.machine.age(400);
    const said = `unknown token ${at.fakeServer.sessions[0]?.refreshToken}`;
    at.fakeServer.refreshAnswer = { status: 400, body: { error: 'invalid_grant', error_description: said } };
    const ended = await at.getToken('prod', '--no-browser', '--verbose');
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown token …') });
  });

  test('a cluster that this user may not use exits 3 and keeps the session', async () => {
    await at.login();
    const ended = await at.getToken('secret');
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('no access to secret');
    expect((await at.getToken()).code).toBe(0);
  });
});

describe('real kubectl', () => {
  test('presents token and certificate, and gets another token after a 401', async () => {
    at.fakeServer.clusterServer = at.fakeServer.api;
    await at.login();
    const file = join(at.machine.home, 'kubeconfig');
    await at.machine.run('kubeconfig', '--file', file, '--command', at.machine.installCommand());
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { kind: 'Status' } });
    const get = ['--kubeconfig', file, 'get', '--raw', '/-/admin/api/v1/x'] as const;
    expect(await at.machine.kubectl(...get)).toMatchObject({ code: 0 });
    const [session] = at.fakeServer.sessions;
    expect(at.fakeServer.adminRequests).toMatchObject([
      { audience: 'urn:portcullis:cluster:prod', thumbprint: session?.thumbprint },
    ]);
    const before = at.fakeServer.counts.refreshes;
    at.fakeServer.adminAnswer = () => ({ status: 401, body: { kind: 'Status' } });
    expect((await at.machine.kubectl(...get)).code).not.toBe(0);
    expect(at.fakeServer.counts.refreshes).toBe(before + 1);
  });

  test('that fails for a session that was revoked a moment ago signs in again, and is told to run once more', async () => {
    at.fakeServer.clusterServer = at.fakeServer.api;
    const file = join(at.machine.home, 'kubeconfig');
    await at.login();
    await at.machine.run('kubeconfig', '--file', file, '--command', at.machine.installCommand());
    const get = ['--kubeconfig', file, 'get', '--raw', '/-/admin/api/v1/x'] as const;
    const hint = 'portcullis: signed in again: run your command once more if it still fails\n';
    at.fakeServer.adminAnswer = () => ({ status: 401, body: { kind: 'Status' } });
    for (const session of at.fakeServer.sessions) session.over = 'This session was revoked by an admin.';
    const failed = await at.machine.kubectl(...get);
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toContain(hint);
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { kind: 'Status' } });
    expect(await at.machine.kubectl(...get)).toMatchObject({ code: 0, stderr: '' });
    // A command that signs in before its first request goes on by itself.
    await at.machine.run('logout', '--server', at.fakeServer.web);
    const whole = await at.machine.kubectl(...get);
    expect(whole).toMatchObject({ code: 0 });
    expect(whole.stderr).not.toContain('once more');
  });
});
