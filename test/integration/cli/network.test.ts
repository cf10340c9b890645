/** The network between the program and the server: proxies, CAs, IPv6. The tests run the whole program as a user does. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sendRequest } from '../../../src/cli/http/http-client.ts';
import { makeCertificates } from '../../../demo/certificates.ts';
import { ConnectProxy } from '../../support/connect-proxy.ts';
import { DEVICE_PATH, DeviceServer, sendJson, type DeviceServerOptions } from '../../support/device-server.ts';
import { Machine, type Ended } from './machine.ts';
import { thumbprintOfPem } from './fake-server.ts';

/** A host name that only the proxy can resolve. */
const ORIGIN = 'https://api.portcullis.test';
const NAMES = ['api.portcullis.test', '127.0.0.1', '::1'];

let fakeServer = new DeviceServer();
let machine = new Machine();
machine.remove();
const proxies: ConnectProxy[] = [];

beforeEach(() => {
  fakeServer = new DeviceServer();
  machine = new Machine();
});

afterEach(async () => {
  machine.remove();
  await fakeServer.stop();
  for (const proxy of proxies.splice(0)) await proxy.stop();
  machine.checkOutput(fakeServer.secrets);
});

async function startProxy(...options: ConstructorParameters<typeof ConnectProxy>) {
  const proxy = new ConnectProxy(...options);
  proxies.push(proxy);
  const port = await proxy.start();
  proxy.ways.set('api.portcullis.test:443', fakeServer.port);
  return { proxy, port };
}

async function startFakeServer(place: DeviceServerOptions = {}): Promise<void> {
  await fakeServer.start({ names: NAMES, ...place });
}

function file(name: string, text: string): string {
  const path = join(machine.home, name);
  writeFileSync(path, text);
  return path;
}

/** Signs in by a code that is approved immediately. */
const login = (...more: readonly string[]): Promise<Ended> =>
  machine.run(
    'login',
    '--device',
    '--server',
    fakeServer.origin,
    '--ca-file',
    file('ca.pem', fakeServer.certificates.ca),
    ...more,
  );

describe('behind a proxy', () => {
  test('TLS runs end to end: the certificate reaches the server, and the messages hold no credential', async () => {
    await startFakeServer();
    fakeServer.origin = ORIGIN;
    const { proxy, port } = await startProxy();
    proxy.credentials = 'anna:p%w-canary';
    // Node's own support for proxies must not interfere when the user has enabled it.
    machine.env = { HTTPS_PROXY: `http://anna:p%25w-canary@127.0.0.1:${port}`, NODE_USE_ENV_PROXY: '1' };
    const signedIn = await login('--verbose');
    expect(signedIn).toMatchObject({ code: 0, stdout: '' });
    const asked = await machine.run('get-token', '--server', ORIGIN, '--cluster', 'prod', '--verbose');
    expect(asked.code).toBe(0);

    expect(new Set(proxy.asked.map(({ target }) => target))).toEqual(new Set(['api.portcullis.test:443']));
    const { status } = JSON.parse(asked.stdout) as { status: { clientCertificateData: string } };
    expect(new Set(fakeServer.thumbprints)).toEqual(new Set([thumbprintOfPem(status.clientCertificateData)]));

    const message = signedIn.stderr + asked.stderr;
    expect(message).not.toContain('canary');
    expect(message).toContain(`through 127.0.0.1:${port}`);
    for (const id of fakeServer.requestIds.slice(0, 3)) expect(message).toContain(`request id ${id}`);
  });

  test('the proxy is not used for hosts in NO_PROXY, and never for loopback', async () => {
    await startFakeServer();
    const { proxy, port } = await startProxy();
    machine.env = { https_proxy: `127.0.0.1:${port}`, no_proxy: '.portcullis.test' };
    expect(await login()).toMatchObject({ code: 0 });
    fakeServer.origin = ORIGIN;
    const ended = await login();
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/api\.portcullis\.test cannot be reached: .*name.* \((?:ENOTFOUND|EAI_AGAIN)\)/);
    expect(proxy.asked).toEqual([]);
  });

  test('a proxy that is reached by https is verified with the CAs of SSL_CERT_FILE', async () => {
    await startFakeServer();
    const own = await makeCertificates(['localhost'], Date.now());
    const { proxy, port } = await startProxy(own);
    const network = { httpsProxy: `https://localhost:${port}`, noProxy: '', certDirs: [] };
    const question = {
      method: 'GET',
      url: `${ORIGIN}/.well-known/openid-configuration`,
      ca: fakeServer.certificates.ca,
    } as const;
    await expect(sendRequest(question, network)).rejects.toMatchObject({ reason: 'proxy_unreachable' });
    expect(proxy.asked).toEqual([]);
    const certFile = file('proxy-ca.pem', own.ca);
    await expect(sendRequest(question, { ...network, certFile })).resolves.toMatchObject({ status: 200 });
  });

  test.each<{ name: string; arrange: (proxy: ConnectProxy) => void; reason: string; message: RegExp }>([
    {
      name: 'asks for a password',
      arrange: (proxy) => (proxy.credentials = 'a:b'),
      reason: 'proxy_authentication_required',
      message: /does not connect to api\.portcullis\.test \(407\)\.\n {2}Next: put its name and password/,
    },
    {
      name: 'forbids the server',
      arrange: (proxy) => (proxy.rejection = '403 Forbidden'),
      reason: 'proxy_refused',
      message: /\(403\)\.\n {2}Next: .*NO_PROXY/,
    },
    { name: 'cannot reach it', arrange: (proxy) => proxy.ways.clear(), reason: 'proxy_refused', message: /\(502\)/ },
    {
      name: 'speaks in the server’s place',
      arrange: (proxy) => (proxy.interjection = 'HTTP/1.1 200 OK\r\n\r\n'),
      reason: 'proxy_refused',
      message: /an unexpected response/,
    },
  ])('a proxy that $name is reported with the reason', async ({ arrange, reason, message }) => {
    await startFakeServer();
    const { proxy, port } = await startProxy();
    arrange(proxy);
    const asked = sendRequest(
      { method: 'GET', url: `${ORIGIN}/x`, ca: fakeServer.certificates.ca },
      { httpsProxy: `http://127.0.0.1:${port}`, noProxy: '', certDirs: [] },
    );
    await expect(asked).rejects.toMatchObject({ code: 'upstream_unavailable', reason });
    await expect(asked).rejects.toThrow(message);
  });

  test('a proxy that intercepts TLS with its own CA is not accepted, and the message names it', async () => {
    await startFakeServer();
    const intercepting = new DeviceServer();
    await intercepting.start({ names: NAMES });
    const { proxy, port } = await startProxy();
    proxy.ways.set('api.portcullis.test:443', intercepting.port);
    const asked = sendRequest(
      { method: 'POST', url: `${ORIGIN}/-/oauth/token`, ca: fakeServer.certificates.ca, body: { form: { a: 'b' } } },
      { httpsProxy: `http://127.0.0.1:${port}`, noProxy: '', certDirs: [] },
    );
    await expect(asked).rejects.toMatchObject({ reason: 'server_untrusted' });
    await expect(asked).rejects.toThrow(/inspects TLS connections.*NO_PROXY/);
    await intercepting.stop();
    expect(intercepting.requestIds).toEqual([]);
  });

  test('a proxy that is unavailable, or has an unsupported protocol, is named without its password', async () => {
    fakeServer.origin = ORIGIN;
    for (const [address, code, message] of [
      ['http://anna:canary@127.0.0.1:1', 1, 'The proxy 127.0.0.1:1 of HTTPS_PROXY cannot be reached (ECONNREFUSED)'],
      ['socks5://anna:canary@127.0.0.1:1', 2, 'HTTPS_PROXY has a protocol that is not supported'],
    ] as const) {
      machine.env = { HTTPS_PROXY: address };
      const ended = await machine.run('login', '--device', '--server', ORIGIN, '--verbose');
      expect(ended).toMatchObject({ code, stdout: '' });
      expect(ended.stderr).toContain(message);
      expect(ended.stderr).not.toContain('canary');
    }
  });
});

describe('a CA of the company', () => {
  // The api host is verified in the same way as the web host.
  beforeEach(async () => {
    await startFakeServer();
    fakeServer.discovery = { portcullis: { api: fakeServer.origin, adminApi: `${fakeServer.origin}/-/admin/api/v1` } };
    fakeServer.answers.set(DEVICE_PATH, (_, response) => sendJson(response, 403, { error: 'access_denied' }));
  });
  const tryLogin = (env: Record<string, string>): Promise<Ended> => {
    machine.env = env;
    return machine.run('login', '--device', '--server', fakeServer.origin);
  };
  /** The device endpoint was reached, over TLS. */
  const REACHED = 3;

  test.each(['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'])('in %s is trusted', async (name) => {
    expect((await tryLogin({ [name]: file('company.pem', fakeServer.certificates.ca) })).code).toBe(REACHED);
  });

  test('in the folder SSL_CERT_DIR is trusted', async () => {
    const dir = join(machine.home, 'certs');
    mkdirSync(dir);
    writeFileSync(join(dir, 'company.crt'), fakeServer.certificates.ca);
    expect((await tryLogin({ SSL_CERT_DIR: `/nowhere:${dir}` })).code).toBe(REACHED);
  });

  test('that is configured nowhere is not trusted, and a file that cannot be read is named', async () => {
    const ended = await tryLogin({ SSL_CERT_FILE: join(machine.home, 'missing.pem') });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('is not trusted here');
    expect(ended.stderr).toContain('missing.pem, which cannot be read');
    expect(ended.stderr).toContain('give --ca-file');
  });

  test('is required even when Node is configured to skip verification', async () => {
    const ended = await tryLogin({ NODE_TLS_REJECT_UNAUTHORIZED: '0' });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('is not trusted here');
    expect(fakeServer.requestIds).toEqual([]);
  });
});

test('a sign-in and a token request work with a server on IPv6', async () => {
  await startFakeServer({ address: '::1' });
  machine.env = { HTTPS_PROXY: 'http://127.0.0.1:1' };
  expect(await login()).toMatchObject({ code: 0 });
  expect(await machine.run('get-token', '--server', fakeServer.origin, '--cluster', 'prod')).toMatchObject({ code: 0 });
  expect(fakeServer.origin).toContain('[::1]');
});
