/** Responses of a server are hostile until they are checked, and no reason to lose a credential that is still valid. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { reportedExpiryMs } from '../../../src/cli/session/session.ts';
import { DEVICE_PATH, DeviceServer, sendJson, TOKEN_PATH } from '../../support/device-server.ts';
import { Machine, type Ended } from './machine.ts';

let fakeServer = new DeviceServer();
let machine = new Machine();
machine.remove();

beforeEach(async () => {
  fakeServer = new DeviceServer();
  machine = new Machine();
  await fakeServer.start();
  writeFileSync(caFile(), fakeServer.certificates.ca);
});

afterEach(async () => {
  machine.remove();
  await fakeServer.stop();
  machine.checkOutput(fakeServer.secrets);
});

const caFile = (): string => join(machine.home, 'ca.pem');
const run = (command: string, ...more: readonly string[]): Promise<Ended> =>
  machine.run(command, '--server', fakeServer.origin, '--ca-file', caFile(), ...more);
const login = (...more: readonly string[]): Promise<Ended> => run('login', '--device', ...more);
const getToken = (...more: readonly string[]): Promise<Ended> =>
  run('get-token', '--cluster', 'prod', '--no-browser', ...more);

const signedIn = (): boolean =>
  existsSync(machine.cacheDir) &&
  readdirSync(machine.cacheDir, { recursive: true }).some((name) => String(name).endsWith('session.json'));

/** Colours, a link whose text is not its address, C1 controls that clear the screen, and letters that reverse the line. */
const NASTY =
  '\u001b[31mred\u001b]8;;https://evil.example\u0007click\u001b]8;;\u0007\u009b2J\u202egnol\r\nportcullis: fake';

describe('a server that is unavailable', () => {
  const page = '<html>bad gateway</html>';
  test.each<{ name: string; leave: () => Promise<void> | void; message: RegExp }>([
    {
      name: 'behind a load balancer',
      leave: () => {
        fakeServer.answers.set(TOKEN_PATH, (_, response) => {
          response.writeHead(502, { 'content-type': 'text/html' }).end(page);
        });
      },
      message: /responded with 502 and a page: a load balancer is there/,
    },
    {
      name: 'altogether',
      leave: () => fakeServer.stop(),
      message: /cannot be reached: no server listens there \(ECONNREFUSED\)/,
    },
  ])(
    '$name: the present token is used to its end, and a message says what is not valid',
    async ({ leave, message }) => {
      expect(await login()).toMatchObject({ code: 0 });
      await leave();
      // From the time that kubectl was given, which is in whole seconds: so a second after it. A busy machine has 14 s
      // from there to the end.
      const [token] = Object.values(machine.session?.tokens ?? {});
      if (token === undefined) throw new Error('no token');
      machine.age((reportedExpiryMs(token) - Date.now()) / 1000 + 1);
      const whileWaiting = await getToken();
      expect(whileWaiting.code).toBe(0);
      expect(JSON.parse(whileWaiting.stdout)).toMatchObject({ kind: 'ExecCredential' });
      expect(whileWaiting.stderr).toMatch(message);
      expect(whileWaiting.stderr).toContain('Continuing with the present token');

      machine.age(60);
      const after = await getToken();
      expect(after).toMatchObject({ code: 1, stdout: '' });
      expect(after.stderr).toMatch(message);
      expect(after.stderr).toMatch(/\n {2}Next: .*stay signed in/);
      expect(signedIn()).toBe(true);
    },
  );
});

describe('text of a server', () => {
  const reject = (status: number, body: Record<string, unknown>, headers: Record<string, string> = {}): void => {
    fakeServer.answers.set(TOKEN_PATH, (_, response) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      sendJson(response, status, body);
    });
  };

  test.each([
    { status: 400, error: 'invalid_grant', code: 1 },
    { status: 400, error: 'invalid_target', code: 3 },
    { status: 400, error: NASTY, code: 1 },
    { status: 503, error: 'temporarily_unavailable', code: 1 },
  ])('is printed without terminal control characters: $status $error', async ({ status, error, code }) => {
    expect(await login()).toMatchObject({ code: 0 });
    machine.age(3600);
    reject(status, { error, error_description: NASTY });
    const ended = await getToken('--verbose');
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toContain('click');
    // checkOutput finds control characters; the rest must be one line, so that no second line looks like ours.
    expect(ended.stderr).not.toMatch(/^portcullis: fake/m);
    expect(ended.stderr).not.toMatch(/\p{Cf}/u);
  });

  test('that repeats the refresh token is printed without it', async () => {
    expect(await login()).toMatchObject({ code: 0 });
    machine.age(3600);
    fakeServer.answers.set(TOKEN_PATH, (_, response, form) =>
      sendJson(response, 400, { error: 'invalid_request', error_description: `no: ${form.get('refresh_token')}` }),
    );
    const ended = await getToken('--verbose');
    expect(ended.stderr).toContain('no: …');
  });

  test('about a session is printed with a hint when a clock is off by minutes', async () => {
    expect(await login()).toMatchObject({ code: 0 });
    machine.age(3600);
    reject(400, { error: 'invalid_grant' }, { date: new Date(Date.now() + 12 * 60_000).toUTCString() });
    const ended = await getToken('--verbose');
    expect(ended.stderr).toMatch(
      /Next: this machine's clock is 12 min behind the server's: correct it, then: portcullis login/,
    );
  });

  test('about an admin’s token is printed with that hint as well', async () => {
    expect(await login()).toMatchObject({ code: 0 });
    fakeServer.answers.set('/-/admin/api/v1/locks', (_, response) => {
      response.setHeader('date', new Date(Date.now() - 3 * 3_600_000).toUTCString());
      sendJson(response, 401, { title: NASTY, detail: NASTY, code: NASTY });
    });
    const ended = await run('locks', '--verbose');
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toMatch(
      /Next: this machine's clock is 3 h ahead of the server's: correct it, then: portcullis login/,
    );
    expect(ended.stderr).not.toMatch(/^portcullis: fake|\p{Cf}/mu);
  });

  test.each<{ name: string; grant: Record<string, unknown>; message: string }>([
    {
      name: 'an access token with escape sequences',
      grant: { access_token: 'a\u001b[31mb' },
      message: 'without a token',
    },
    {
      name: 'an access token that ends a header line',
      grant: { access_token: 'a\r\nX: b' },
      message: 'without a token',
    },
    {
      name: 'a refresh token with escape sequences',
      grant: { refresh_token: 'a\u001b[31mb' },
      message: 'without a token',
    },
    {
      name: 'a session whose id is a shell’s command',
      grant: {
        portcullis: { session: { id: '$(id)', expiresAt: 'x' }, account: 'a', username: 'b', clusters: [] },
      },
      message: 'sent no user for this sign-in',
    },
  ])('are rejected as a sign-in: $name', async ({ grant, message }) => {
    fakeServer.grant = grant;
    const ended = await login();
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(message);
    expect(signedIn()).toBe(false);
  });

  test.each([
    { name: 'a script', verification_uri: 'javascript:alert(1)' },
    { name: 'a file', verification_uri: 'file:///etc/passwd' },
    { name: 'an option', verification_uri: '-x' },
    { name: 'another host', verification_uri: 'https://evil.example.com/device' },
    { name: 'http', verification_uri: 'http://127.0.0.1/device' },
  ])('do not send a user to $name to enter the code', async ({ verification_uri }) => {
    const code = { device_code: 'd', user_code: NASTY, verification_uri, expires_in: 600, interval: 1 };
    fakeServer.answers.set(DEVICE_PATH, (_, response) => sendJson(response, 200, code));
    const ended = await login();
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).not.toContain(verification_uri);
    expect(fakeServer.thumbprints).toEqual([]);
  });
});

describe('discovery', () => {
  const own = (change: Record<string, unknown>): Record<string, unknown> => ({
    portcullis: { api: fakeServer.origin, adminApi: `${fakeServer.origin}/-/admin/api/v1`, ...change },
  });
  test.each<{ name: string; change: () => Record<string, unknown> }>([
    { name: 'a file to sign in at', change: () => ({ authorization_endpoint: 'file:///etc/passwd' }) },
    { name: 'a script', change: () => ({ authorization_endpoint: 'javascript:alert(1)' }) },
    { name: 'a command', change: () => ({ authorization_endpoint: '$(id)' }) },
    { name: 'an option', change: () => ({ authorization_endpoint: '-x' }) },
    { name: 'a command in a path', change: () => ({ authorization_endpoint: `${fakeServer.origin}/$(id)` }) },
    { name: 'a command in a query', change: () => ({ authorization_endpoint: `${fakeServer.origin}/a?b=$(id)` }) },
    { name: 'another host', change: () => ({ authorization_endpoint: 'https://evil.example.com/a' }) },
    { name: 'http', change: () => ({ authorization_endpoint: fakeServer.origin.replace('https:', 'http:') }) },
    { name: 'an api on http', change: () => own({ api: fakeServer.origin.replace('https:', 'http:') }) },
    { name: 'an api that is a command', change: () => own({ api: 'https://$(id)' }) },
    { name: 'an admin API elsewhere', change: () => own({ adminApi: 'https://evil.example.com/x' }) },
    { name: 'no endpoints', change: () => ({ mtls_endpoint_aliases: [] }) },
  ])('that names $name is rejected before any other request is sent', async ({ change }) => {
    fakeServer.discovery = change();
    const ended = await login();
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toMatch(/is rejected: .*\n {2}Next: check the address with your platform team/);
    expect(ended.stderr).not.toMatch(/\$\(id\)|evil/);
    expect(fakeServer.requestIds).toHaveLength(1);
  });

  test('that requires a newer program is reported with the way to get it, without control characters', async () => {
    fakeServer.discovery = own({ minimumCli: `99.0.0${NASTY}` });
    const ended = await login();
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(/the server needs 99\.0\.0.*\n {2}Next: upgrade portcullis/);
  });
});

test('with --verbose every step prints its request id, and no output has a token', async () => {
  const printed = [await login('--verbose'), await run('whoami', '--verbose'), await run('logout', '--verbose')];
  for (const { stderr } of printed) expect(stderr).toMatch(/: 200 after \d+ ms, request id req-[0-9a-f]{12}$/m);
  const everything = printed.map(({ stdout, stderr }) => stdout + stderr).join('');
  expect(fakeServer.secrets.length).toBeGreaterThan(3);
  for (const secret of fakeServer.secrets) expect(everything).not.toContain(secret);
});

test('with --verbose no message of get-token has a credential: from the cache, renewed, or renewed after a rejection', async () => {
  await login();
  const asked = [
    '--server',
    fakeServer.origin,
    '--ca-file',
    caFile(),
    '--cluster',
    'prod',
    '--no-browser',
    '--verbose',
  ];
  const cached = await getToken('--verbose');
  machine.age(400);
  const renewed = await getToken('--verbose');
  const refused = await machine.runUnderOneParent(2, 'get-token', ...asked);
  expect(renewed.stderr).toMatch(/asking .* for a new token/);
  expect(refused.stderr).toContain('the cached token was rejected');
  for (const { code, stdout, stderr } of [cached, renewed, refused]) {
    expect(code).toBe(0);
    // The credential is in the list of secrets, so the search would find it.
    expect(fakeServer.secrets.some((secret) => stdout.includes(secret))).toBe(true);
    for (const secret of [...fakeServer.secrets, 'PRIVATE KEY', 'CERTIFICATE']) expect(stderr).not.toContain(secret);
  }
});
