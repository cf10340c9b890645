/** The requests that `portcullis proxy` forwards, and the files that it creates. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request as requestHttp } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openAddresses } from '../../support/open-addresses.ts';
import { answerOf, callLocal, sendRaw, type LocalKubeconfig } from '../../support/local-proxy.ts';
import { proxyStage } from './local-proxy-setup.ts';

const stage = proxyStage();
const PODS = '/api/v1/namespaces/default/pods';

interface Head {
  readonly line?: string;
  readonly host?: string;
  readonly token?: string;
  readonly more?: readonly string[];
}

/** A request that is forwarded when nothing is changed. */
function head(local: LocalKubeconfig, { line = `GET ${PODS}`, host, token, more = [] }: Head = {}): string {
  const lines = [`${line} HTTP/1.1`, `Host: ${host ?? `127.0.0.1:${local.port}`}`];
  if (token !== '') lines.push(`Authorization: Bearer ${token ?? local.secret}`);
  return [...lines, ...more, '', ''].join('\r\n');
}

/** The secret with another last character: the smallest difference. */
const almost = (secret: string): string => `${secret.slice(0, -1)}${secret.endsWith('A') ? 'Q' : 'A'}`;
const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
];
const subprotocol = (secret: string): string =>
  `Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.${Buffer.from(secret).toString('base64url')}`;

const REJECTED: readonly (readonly [name: string, status: number, of: (local: LocalKubeconfig) => string])[] = [
  ['without the secret', 401, (local) => head(local, { token: '' })],
  ['with another secret', 401, (local) => head(local, { token: 'A'.repeat(43) })],
  ['with a secret that is almost right', 401, (local) => head(local, { token: almost(local.secret) })],
  ['with the secret and more', 401, (local) => head(local, { token: `${local.secret}A` })],
  ['with the secret twice', 401, (local) => head(local, { more: [`Authorization: Bearer ${local.secret}`] })],
  [
    'with the secret as a password',
    401,
    (local) => head(local, { token: '', more: [`Authorization: Basic ${btoa(`x:${local.secret}`)}`] }),
  ],
  ['with the secret in a cookie', 401, (local) => head(local, { token: '', more: [`Cookie: token=${local.secret}`] })],
  ['an upgrade without the secret', 401, (local) => head(local, { token: '', more: UPGRADE })],
  [
    'an upgrade with the secret in a subprotocol',
    400,
    (local) => head(local, { token: '', more: [...UPGRADE, subprotocol(local.secret)] }),
  ],
  [
    'with the secret in a subprotocol as well',
    400,
    (local) => head(local, { more: [...UPGRADE, subprotocol(local.secret)] }),
  ],
  ['for the name of another site', 403, (local) => head(local, { host: `evil.example:${local.port}` })],
  ['for another port', 403, (local) => head(local, { host: `127.0.0.1:${local.port === 1 ? 2 : local.port - 1}` })],
  ['for no port', 403, (local) => head(local, { host: '127.0.0.1' })],
  ['for another loopback address', 403, (local) => head(local, { host: `127.0.0.2:${local.port}` })],
  ['for two hosts', 403, (local) => head(local, { more: ['Host: evil.example'] })],
  [
    'an upgrade for the name of another site',
    403,
    (local) => head(local, { host: `evil.example:${local.port}`, more: UPGRADE }),
  ],
  ['of a page of another site', 403, (local) => head(local, { more: ['Origin: https://evil.example'] })],
  ['of a page without an origin', 403, (local) => head(local, { more: ['Origin: null'] })],
  ['of a page of http', 403, (local) => head(local, { more: [`Origin: http://127.0.0.1:${local.port}`] })],
  [
    'a preflight of another site',
    403,
    (local) => head(local, { line: 'OPTIONS /', token: '', more: ['Origin: https://evil.example'] }),
  ],
  ['to an absolute target', 400, (local) => head(local, { line: 'GET http://evil.example/' })],
  [
    'to an absolute target that is this one',
    400,
    (local) => head(local, { line: `GET https://127.0.0.1:${local.port}${PODS}` }),
  ],
  ['to no target', 400, (local) => head(local, { line: 'OPTIONS *' })],
  ['for a tunnel', 405, (local) => head(local, { line: `CONNECT 127.0.0.1:${local.port}` })],
  ['to be told what it sent', 405, (local) => head(local, { line: 'TRACE /' })],
  [
    'that has its impersonation dropped',
    400,
    (local) => head(local, { more: ['Connection: keep-alive, Impersonate-User', 'Impersonate-User: root'] }),
  ],
  [
    'that has it dropped under another spelling',
    400,
    (local) => head(local, { more: ['Connection: impersonate_user'] }),
  ],
  [
    'with two lengths',
    400,
    (local) => head(local, { line: `POST ${PODS}`, more: ['Content-Length: 1', 'Transfer-Encoding: chunked'] }),
  ],
  ['with a head that is too long', 431, (local) => head(local, { more: [`X-Long: ${'a'.repeat(20_000)}`] })],
];

describe('a request', () => {
  test('with the secret, for the address of the listener, reaches the server', async () => {
    const { local } = await stage.onPort();
    expect(await sendRaw(local, head(local))).toMatch(/^HTTP\/1\.1 200 /);
    expect(await sendRaw(local, head(local, { host: `localhost:${local.port}` }))).toMatch(/^HTTP\/1\.1 200 /);
    expect(await sendRaw(local, head(local, { more: [`Origin: https://127.0.0.1:${local.port}`] }))).toMatch(
      /^HTTP\/1\.1 200 /,
    );
    expect(stage.instance.requests).toHaveLength(3);
    expect(await openAddresses(local.port)).toEqual(['127.0.0.1']);
  });

  test('without the secret or for another address is rejected, and nothing of it reaches the server', async () => {
    const { local } = await stage.onPort();
    for (const [name, status, of] of REJECTED) {
      const answer = await sendRaw(local, of(local));
      expect(answer.slice(0, 12), name).toBe(`HTTP/1.1 ${status}`);
      expect(answer, name).not.toContain(local.secret);
    }
    expect(stage.instance.requests).toEqual([]);
    expect(stage.instance.connections).toEqual([]);
    // The proxy goes on.
    expect((await callLocal(local, PODS)).status).toBe(200);
  });

  test('over plain HTTP is not forwarded', async () => {
    const { local } = await stage.onPort();
    const heard = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(local.port, '127.0.0.1', () => socket.write(head(local)));
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.on('error', () => undefined).on('close', () => resolve(text));
    });
    expect(heard).not.toContain('HTTP/1.1 2');
    expect(stage.instance.requests).toEqual([]);
  });
});

describe('the kubeconfig', () => {
  test('is readable by this user only, and stdout has its path and nothing else', async () => {
    const path = join(stage.at.machine.home, 'run.kubeconfig');
    const { child, local, ended } = await stage.onPort('--kubeconfig', path);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(Buffer.from(local.secret, 'base64url')).toHaveLength(32);
    child.kill('SIGTERM');
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${path}\n` });
    expect(stderr).not.toContain(local.secret);
    expect(existsSync(path)).toBe(false);
  });

  test('has another secret in each run', async () => {
    const [one, other] = [await stage.onPort(), await stage.onPort()];
    expect(one.local.secret).not.toBe(other.local.secret);
    expect(one.line).not.toBe(other.line);
    expect((await callLocal({ ...other.local, secret: one.local.secret }, PODS)).status).toBe(401);
  });

  test.each(['a file', 'a link to a file', 'a link to nothing'])('is not written over %s', async (kind) => {
    const { home } = stage.at.machine;
    const [path, target] = [join(home, 'there'), join(home, 'target')];
    if (kind !== 'a link to nothing') writeFileSync(kind === 'a file' ? path : target, 'precious');
    if (kind !== 'a file') symlinkSync(target, path);
    const { code, stdout, stderr } = await stage.refused('--kubeconfig', path);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`${path} exists and is not overwritten.`);
    const found = existsSync(path) ? readFileSync(path, 'utf8') : 'nothing';
    expect(found).toBe(kind === 'a link to nothing' ? 'nothing' : 'precious');
  });

  test('that another program has put in its place stays', async () => {
    const path = join(stage.at.machine.home, 'run.kubeconfig');
    const { child, ended } = await stage.onPort('--kubeconfig', path);
    writeFileSync(`${path}.other`, 'another run’s');
    renameSync(`${path}.other`, path);
    child.kill('SIGINT');
    expect((await ended).code).toBe(0);
    expect(readFileSync(path, 'utf8')).toBe('another run’s');
  });
});

describe('the socket', () => {
  const folder = (mode = 0o700): string => {
    const path = join(stage.at.machine.home, 'run');
    mkdirSync(path);
    chmodSync(path, mode);
    return path;
  };

  test('serves programs of this user, and is removed at the end', async () => {
    const path = join(folder(), 'socket');
    const { child, line, ended } = await stage.start('--socket', path);
    expect(line).toBe(path);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    const call = async (headers: Readonly<Record<string, string>>): Promise<number | undefined> => {
      const request = requestHttp({ socketPath: path, path: PODS, agent: false, headers });
      const answer = answerOf(request);
      request.end();
      return (await answer).statusCode;
    };
    expect(await call({ host: 'localhost' })).toBe(200);
    expect(await call({ host: 'evil.example' })).toBe(403);
    expect(await call({ host: 'localhost', origin: 'http://localhost' })).toBe(403);
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test.each([0o750, 0o701, 0o777])('is not created in a folder of mode %o', async (mode) => {
    const { code, stdout, stderr } = await stage.refused('--socket', join(folder(mode), 'socket'));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`has the mode ${mode.toString(8)}, and 700 is needed`);
  });

  test.skipIf(process.getuid?.() !== 0)('is not created in a folder of another user', async () => {
    const place = folder();
    chownSync(place, 65_534, 65_534);
    const { code, stderr } = await stage.refused('--socket', join(place, 'socket'));
    expect(code).toBe(2);
    expect(stderr).toContain('belongs to another user');
  });

  test('is not created behind a link, nor over an existing file', async () => {
    const place = folder();
    const link = join(stage.at.machine.home, 'link');
    symlinkSync(place, link);
    expect((await stage.refused('--socket', join(link, 'socket'))).stderr).toContain('a link is not followed');
    writeFileSync(join(place, 'socket'), 'precious');
    const taken = await stage.refused('--socket', join(place, 'socket'));
    expect(taken.code).toBe(1);
    expect(taken.stderr).toContain('is taken');
    expect(readFileSync(join(place, 'socket'), 'utf8')).toBe('precious');
  });
});

test.each([
  [['--port', '65536'], '--port is not a port number.'],
  [['--port', 'x'], '--port is not a port number.'],
  [['--socket', '/x/y', '--port', '1'], '--socket excludes'],
  [['--socket', '/x/y', '--kubeconfig', '/x/z'], '--socket excludes'],
])('a usage error exits 2: %j', async (message, said) => {
  const { code, stdout, stderr } = await stage.refused(...message);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(said);
});
