import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { request } from 'undici';
import { makeCertificates, type DemoCertificates } from '../../../demo/certificates.ts';
import { proxyMessage } from '../../../src/core/http/proxy-error.ts';
import { createEgress, type EgressProxy } from '../../../src/egress/egress.ts';
import { ConnectProxy } from '../../support/connect-proxy.ts';

const TARGET = 'https://siem.test';
let pair: DemoCertificates;
const server = createSecureServer({ allowHTTP1: true }, (request, response) => {
  response.end(request.httpVersion);
});

beforeAll(async () => {
  pair = await makeCertificates(['siem.test', 'localhost'], Date.now());
  server.setSecureContext(pair);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
});

async function startProxy(tls?: DemoCertificates) {
  const proxy = new ConnectProxy(tls);
  const port = await proxy.start();
  onTestFinished(() => proxy.stop());
  proxy.ways.set('siem.test:443', (server.address() as AddressInfo).port);
  return { proxy, port };
}

const NOTHING = { setting: 'outbound.proxy', noProxy: '', credentials: () => undefined, ca: () => undefined };

/** @returns a request that resolves with the version of HTTP that the destination saw, or with the proxy's error */
function requestsThrough(proxy: EgressProxy): () => Promise<string | undefined> {
  const { dispatcher } = createEgress({ connect: { ca: pair.ca, timeout: 5000 } }, proxy);
  onTestFinished(() => dispatcher.destroy());
  return async () => {
    try {
      return await (await request(TARGET, { dispatcher })).body.text();
    } catch (error) {
      return proxyMessage(error);
    }
  };
}

test('a proxy that is reached by https is verified with its own CAs, and not with those of the destination', async () => {
  const own = await makeCertificates(['localhost'], Date.now());
  const { proxy, port } = await startProxy(own);
  let ca = pair.ca;
  const send = requestsThrough({ ...NOTHING, url: `https://localhost:${port}`, ca: () => ca });
  expect(await send()).toMatch(
    new RegExp(
      `^The certificate of the proxy localhost:${port} is not trusted \\(.*\\)\\. Check outbound\\.proxyCaFile\\.$`,
    ),
  );
  expect(proxy.asked).toEqual([]);
  ({ ca } = own);
  // As without a proxy.
  expect(await send()).toBe('1.1');
});

test('each tunnel is opened with the name and password of the moment', async () => {
  const { proxy, port } = await startProxy();
  proxy.credentials = 'anna:second';
  let credentials = 'anna:first';
  const send = requestsThrough({ ...NOTHING, url: `http://127.0.0.1:${port}`, credentials: () => credentials });
  expect(await send()).toContain('(407)');
  credentials = 'anna:second';
  expect(await send()).toBe('1.1');
});

test('a certificate and a key that do not belong together, as halfway through a rotation, fail the request alone', async () => {
  const { port } = await startProxy();
  const { key } = await makeCertificates(['client'], Date.now());
  const { dispatcher } = createEgress(
    { connect: { ca: pair.ca, cert: pair.cert, key, timeout: 5000 } },
    { ...NOTHING, url: `http://127.0.0.1:${port}` },
  );
  onTestFinished(() => dispatcher.destroy());
  await expect(request(TARGET, { dispatcher })).rejects.toThrow(/key values mismatch/);
});

test.each([
  ['HTTPS_PROXY', 'except the host: outbound.noProxy.'],
  ['providers[0].proxy', 'set providers[0].proxy to none.'],
])('a rejection by the proxy of %s says what reaches the destination directly', async (setting, advice) => {
  const { proxy, port } = await startProxy();
  proxy.rejection = '403 Forbidden';
  expect(await requestsThrough({ ...NOTHING, setting, url: `http://127.0.0.1:${port}` })()).toContain(`, or ${advice}`);
});

test('a proxy that redirects opens no tunnel', async () => {
  const { proxy, port } = await startProxy();
  proxy.rejection = '302 Found';
  const send = requestsThrough({ ...NOTHING, url: `http://127.0.0.1:${port}` });
  expect(await send()).toContain('did not connect to siem.test:443 (302)');
});

test('a proxy that speaks in the destination’s place is rejected', async () => {
  const { proxy, port } = await startProxy();
  proxy.interjection = 'HTTP/1.1 200 OK\r\n\r\n';
  const send = requestsThrough({ ...NOTHING, url: `http://127.0.0.1:${port}` });
  expect(await send()).toContain('did not connect to siem.test:443 (an unexpected response)');
});
