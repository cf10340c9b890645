import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createBinding } from '../../../../src/cli/session/binding.ts';
import { listenOnLoopback, type Callback, type Loopback } from '../../../../src/cli/session/loopback.ts';
import { parseTokenResponse } from '../../../../src/cli/session/token-endpoint.ts';
import { openAddresses } from '../../../support/open-addresses.ts';

const issuer = 'https://portcullis.example.com';

describe('the loopback port', () => {
  let loopback: Loopback;
  let answered: Promise<Callback>;
  const abandon = new AbortController();
  beforeEach(async () => {
    loopback = await listenOnLoopback({ state: 'right-state', issuer });
    answered = loopback.wait(abandon.signal);
  });
  afterEach(() => loopback.close());

  const visit = (query: Record<string, string>): Promise<Response> =>
    fetch(`${loopback.redirectUri}?${new URLSearchParams(query).toString()}`, { redirect: 'manual' });

  test('takes the code and sends the browser on', async () => {
    const page = visit({ code: 'c', state: 'right-state', iss: issuer });
    const callback = await answered;
    expect(callback.code).toBe('c');
    await callback.respond({ location: `${issuer}/login/done` });
    expect(await page).toMatchObject({ status: 303 });
    expect((await page).headers.get('location')).toBe(`${issuer}/login/done`);
  });

  test.each([
    { name: 'a guessed state', query: { code: 'evil', state: 'wrong-state', iss: issuer } },
    { name: 'no state', query: { error: 'access_denied', iss: issuer } },
    { name: 'a longer state', query: { code: 'evil', state: 'right-state2', iss: issuer } },
  ])('is not moved by $name, and still takes the right answer', async ({ query }) => {
    expect((await visit(query)).status).toBe(400);
    const page = visit({ code: 'c', state: 'right-state', iss: issuer });
    const callback = await answered;
    expect(callback.code).toBe('c');
    await callback.respond({ location: issuer });
    await page;
  });

  /** With the right state, as a browser or another program would send it. */
  function send(headers: Record<string, string>, method = 'GET'): Promise<number | undefined> {
    const url = new URL(`${loopback.redirectUri}?code=c&state=right-state&iss=${encodeURIComponent(issuer)}`);
    return new Promise((resolve, reject) => {
      request(url, { method, headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
  }

  test.each<{ name: string; headers: Record<string, string>; method?: string }>([
    { name: 'another Host: a rebound name reaches nothing', headers: { host: 'evil.example.com' } },
    { name: 'localhost: that name may be anywhere', headers: { host: 'localhost' } },
    { name: 'a page elsewhere that posts', headers: { origin: 'https://evil.example.com' }, method: 'POST' },
    { name: 'a page elsewhere that fetches', headers: { origin: 'https://evil.example.com' } },
    {
      name: 'a page elsewhere that loads it as an image',
      headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
    },
    {
      name: 'a page elsewhere that frames it',
      headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
    },
  ])('is not moved by $name', async ({ headers, method }) => {
    const { host } = headers;
    const { port } = new URL(loopback.redirectUri);
    const status = await send(host === undefined ? headers : { ...headers, host: `${host}:${port}` }, method);
    expect(status).toBe(400);
    const page = visit({ code: 'right', state: 'right-state', iss: issuer });
    const callback = await answered;
    expect(callback.code).toBe('right');
    await callback.respond({ location: issuer });
    await page;
  });

  test('is moved by a browser’s own way: a page that another site redirects to', async () => {
    const navigation = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    const page = send(navigation);
    await (await answered).respond({ location: issuer });
    expect(await page).toBe(303);
  });

  test('answers once: a second visit with the right state is turned away, and the first stays', async () => {
    const page = visit({ code: 'first', state: 'right-state', iss: issuer });
    const callback = await answered;
    const again = await visit({ code: 'second', state: 'right-state', iss: issuer });
    expect(again.status).toBe(400);
    expect(await again.text()).toContain('already been completed');
    expect(callback.code).toBe('first');
    await callback.respond({ location: issuer });
    expect((await page).status).toBe(303);
  });

  test.each([
    { name: 'another issuer', query: { code: 'c', iss: 'https://evil.example.com' } },
    { name: 'no issuer', query: { code: 'c' } },
    { name: 'an error', query: { error: 'access_denied', error_description: '<script>x</script>', iss: issuer } },
    { name: 'no code', query: { iss: issuer } },
  ])('refuses $name', async ({ query }) => {
    const page = await visit({ ...query, state: 'right-state' });
    await expect(answered).rejects.toMatchObject({ code: 'sign_in_refused' });
    expect(page.status).toBe(400);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(await page.text()).not.toContain('<script>');
  });
});

test('two sign-ins at once have a port each', async () => {
  const both = await Promise.all([1, 2].map(() => listenOnLoopback({ state: 's', issuer })));
  expect(new Set(both.map(({ redirectUri }) => redirectUri)).size).toBe(2);
  for (const loopback of both) await loopback.close();
});

test('a sign-in waits at 127.0.0.1 alone: nothing of another machine reaches it', async () => {
  const loopback = await listenOnLoopback({ state: 's', issuer });
  expect(await openAddresses(Number(new URL(loopback.redirectUri).port))).toEqual(['127.0.0.1']);
  await loopback.close();
});

/** A network of its own, in which there is one port. */
const mayUnshare = process.platform === 'linux' && process.getuid?.() === 0;

test.skipIf(!mayUnshare)('where every port is taken it says so, and names the way without one', () => {
  const url = new URL('../../../../src/cli/session/loopback.ts', import.meta.url).href;
  const program = `
    const { listenOnLoopback } = await import('${url}');
    const expected = { state: 's', issuer: '${issuer}' };
    await listenOnLoopback(expected);
    await listenOnLoopback(expected).catch((error) => console.log(error.code, error.message));
    process.exit();`;
  // SIOCSIFFLAGS, IFF_UP and IFF_RUNNING (netdevice(7)), by the Perl that every Debian has; `ip` has to be installed.
  const loopbackUp =
    'socket my $s, 2, 2, 0 or die; my $lo = pack "a16 s x14", "lo", 0x41; ioctl $s, 0x8914, $lo or die';
  const onePort = `perl -e '${loopbackUp}' && echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range`;
  const script = `${onePort} && exec "$0" --input-type=module --eval "$1"`;
  const said = execFileSync('/usr/bin/unshare', ['--net', 'sh', '-c', script, process.execPath, program], {
    encoding: 'utf8',
  });
  expect(said).toMatch(/^internal No port on 127\.0\.0\.1 is free .*\(EADDRINUSE\)\.\n {2}Next: .*login --device/);
});

test('giving up ends the waiting with the reason', async () => {
  const loopback = await listenOnLoopback({ state: 's', issuer });
  const abandon = new AbortController();
  const answered = loopback.wait(abandon.signal);
  abandon.abort(new Error('no browser came'));
  await expect(answered).rejects.toThrow('no browser came');
  await loopback.close();
});

test('each session has a P-256 key and a certificate of its own that names no user', async () => {
  const now = Date.now();
  const [one, two] = await Promise.all([createBinding(now), createBinding(now)]);
  const certificate = new X509Certificate(one.certificate);
  expect(certificate.checkPrivateKey(createPrivateKey(one.privateKey))).toBe(true);
  expect(certificate.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
  expect(certificate.subject).toBe('CN=portcullis session');
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(one.certificate).not.toBe(two.certificate);
});

describe('a token answer', () => {
  const good = { access_token: 'a.b.c', token_type: 'Bearer', expires_in: 300 };

  test('counts the token’s life from the moment it came', () => {
    expect(parseTokenResponse(good, 1000)).toEqual({ token: { token: 'a.b.c', receivedAt: 1000, expiresAt: 301_000 } });
  });

  test('is not believed for more than a day', () => {
    expect(parseTokenResponse({ ...good, expires_in: 1e12 }, 0)?.token.expiresAt).toBe(86_400_000);
  });

  test.each([
    { ...good, access_token: undefined },
    { ...good, access_token: 'a\r\nb' },
    { ...good, token_type: 'DPoP' },
    { ...good, expires_in: '300' },
    { ...good, expires_in: 0 },
    { ...good, expires_in: -1 },
  ])('that is none is refused: %j', (body) => {
    expect(parseTokenResponse(body, 0)).toBeUndefined();
  });
});
