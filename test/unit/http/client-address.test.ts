import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { addressSet } from '../../../src/proxy/listener/proxy-protocol.ts';
import { clientAddresses } from '../../../src/http/client-address.ts';
import { makeCertificate } from '../../support/upstream.ts';
import { LIMITS, annotation, beginAt, browserAt, closeStages, openStage, type Stage } from '../web/harness.ts';

afterEach(closeStages);

const SITE = 'https://portcullis.example.com';
const isTrustedProxy = addressSet(['127.0.0.0/8', '10.0.0.0/8', 'fd00::/8']);

/** Returns a request as Node has it, on a connection without TLS. */
const plainRequest = (peer: string, forwarded: readonly string[] = []): IncomingMessage =>
  ({
    socket: { remoteAddress: peer },
    headersDistinct: { 'x-forwarded-for': forwarded },
  }) as unknown as IncomingMessage;

describe('the address of a browser behind a trusted proxy', () => {
  const addressOf = clientAddresses({ publicUrl: SITE, isTrustedProxy });

  test.each([
    ['what the ingress says', ['203.0.113.7'], '203.0.113.7'],
    ['what it says last, whatever came with the request', ['198.51.100.1, 203.0.113.7'], '203.0.113.7'],
    ['what it says in a line of its own', ['198.51.100.1', '203.0.113.7'], '203.0.113.7'],
    ['what the first of several proxies says', ['198.51.100.1, 203.0.113.7, 10.1.2.3,fd00::7'], '203.0.113.7'],
    ['IPv6', ['2001:db8::7'], '2001:db8::7'],
    ['IPv4 in the dress of IPv6', ['::ffff:203.0.113.7, ::ffff:10.1.2.3'], '203.0.113.7'],
  ])('is %s', (_what, forwarded, address) => {
    expect(addressOf(plainRequest('10.0.0.1', forwarded))).toEqual({ address });
    expect(addressOf(plainRequest('::ffff:10.0.0.1', forwarded))).toEqual({ address });
  });

  test.each([
    ['nothing', []],
    ['nothing but proxies', ['10.1.2.3']],
    ['no address', ['198.51.100.1, unknown']],
    ['an address with a port', ['198.51.100.1, 203.0.113.7:4711']],
    ['an empty place', ['198.51.100.1,']],
  ])('is not known where the header has %s', (_what, forwarded) => {
    expect(addressOf(plainRequest('10.0.0.1', forwarded))).toEqual({ address: '10.0.0.1', shared: true });
  });

  test('is not read from the header of any other peer', () => {
    expect(addressOf(plainRequest('203.0.113.9', ['203.0.113.7']))).toEqual({ address: '203.0.113.9', shared: true });
  });
});

test('without trusted proxies no header is read, and a plain connection to an HTTPS site has a shared address', () => {
  const forged = plainRequest('203.0.113.9', ['203.0.113.7']);
  expect(clientAddresses({ publicUrl: SITE })(forged)).toEqual({ address: '203.0.113.9', shared: true });
  expect(clientAddresses({ publicUrl: 'http://localhost' })(forged)).toEqual({ address: '203.0.113.9' });
});

test('a proxy that passes TLS on writes no header, so a header on such a connection is ignored', async () => {
  const server = createServer(await makeCertificate('localhost'));
  const seen: object[] = [];
  server.on('request', (req, res) => {
    for (const believed of [addressSet([]), isTrustedProxy]) {
      seen.push(clientAddresses({ publicUrl: SITE, isTrustedProxy: believed })(req));
    }
    res.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const asked = request({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false });
  asked.setHeader('x-forwarded-for', '203.0.113.7');
  const [response] = (await once(asked.end(), 'response')) as [IncomingMessage];
  response.resume();
  await once(server.close(), 'close');
  expect(seen).toEqual([{ address: '127.0.0.1' }, { address: '127.0.0.1', shared: true }]);
});

describe('sign-ins behind an ingress', () => {
  const limits = { ...LIMITS, signInsPerMinute: 2 };
  const behind = (named: boolean): Promise<Stage> =>
    openStage({
      config: { limits, publicUrl: SITE },
      change: (deps) => ({ ...deps, ...(named ? { isTrustedProxy } : {}) }),
    });

  test('are counted by the user’s own address when the ingress is trusted, and the audit log has it too', async () => {
    const stage = await behind(true);
    const browser = browserAt(stage);
    const start = (from: string) => browser.get('/login/start?provider=corp').set('X-Forwarded-For', from);
    for (const status of [303, 303, 429]) await start('198.51.100.1, 203.0.113.7').expect(status);
    await start('203.0.113.8').expect(303);
    const [refused] = stage.named('sign-in-refused');
    expect(annotation(refused, 'reason')).toBe('too_many_sign_ins');
    expect(refused?.sourceIPs).toEqual(['203.0.113.7']);
  });

  test('are not counted by address when it is not: one attacker would shut all users out', async () => {
    const stage = await behind(false);
    const browser = browserAt(stage);
    for (let index = 0; index < 10; index += 1) await beginAt(browser);
    expect(stage.corp.begun).toHaveLength(10);
    expect(stage.named('sign-in-refused')).toEqual([]);
  });
});
