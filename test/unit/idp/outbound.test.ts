import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VENDOR_HOSTS } from '../../../src/core/identity/provider-types.ts';
import { assertProviderUrl, createOutbound, guardMessage } from '../../../src/idp/outbound.ts';

const CORP = { issuer: new URL('https://login.example.com/tenant'), hosts: ['keys.example.com'] };

/** A page of GitHub's: 100 teams, each with its organisation. */
const TEAM = Object.fromEntries(
  Array.from({ length: 30 }, (_, index) => [`url_${index}`, `https://api.github.com/${'t'.repeat(60)}`]),
);
const LARGE = JSON.stringify(Array.from({ length: 100 }, () => ({ ...TEAM, organization: TEAM })));

/** A token response whose ID token has this many bytes of small objects. */
const token = (bytes: number) =>
  JSON.stringify({ access_token: 'a', id_token: jwt(`{"sub":"1","x":[${'{},'.repeat(bytes / 3)}{}]}`) });
const jwt = (payload: string) => `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(payload).toString('base64url')}.c2ln`;
/** Names of 40 kB of groups in each of two tokens. */
const GROUPS = JSON.stringify({
  access_token: jwt(
    JSON.stringify({ groups: Array.from({ length: 1_500 }, (_, index) => `group-${index}-of-a-company`) }),
  ),
  id_token: jwt(JSON.stringify({ groups: Array.from({ length: 1_500 }, (_, index) => `group-${index}-of-a-company`) })),
});

describe('a URL that discovery names', () => {
  it.each(['https://login.example.com/token', 'https://login.example.com:8443/token', 'https://keys.example.com/jwks'])(
    'is followed to the provider: %s',
    (url) => {
      expect(assertProviderUrl(url, CORP).href).toBe(url);
    },
  );

  it.each([
    'http://login.example.com/token',
    'https://evil.example/token',
    'https://login.example.com.evil.example/token',
    'https://login.example.com@evil.example/token',
    'https://sub.login.example.com/token',
    'http://localhost/token',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'https://169.254.169.254/latest/meta-data',
    'https://[::ffff:169.254.169.254]/latest',
    'nonsense',
  ])('is not followed anywhere else: %s', (url) => {
    expect(() => assertProviderUrl(url, CORP)).toThrow(/not https|neither the issuer's host|Invalid URL/);
  });

  it.each([
    ['https://accounts.google.com', VENDOR_HOSTS.google, 'https://oauth2.googleapis.com/token'],
    ['https://accounts.google.com', VENDOR_HOSTS.google, 'https://www.googleapis.com/oauth2/v3/certs'],
    ['https://accounts.google.com', VENDOR_HOSTS.google, 'https://openidconnect.googleapis.com/v1/userinfo'],
    ['https://login.microsoftonline.com/t/v2.0', VENDOR_HOSTS.entra, 'https://graph.microsoft.com/oidc/userinfo'],
  ])('of %s is followed to the vendor’s other hosts', (issuer, hosts, url) => {
    expect(assertProviderUrl(url, { issuer: new URL(issuer), hosts }).href).toBe(url);
  });

  it('may be plain http only between loopback and loopback', () => {
    const demo = { issuer: new URL('http://localhost:7447'), hosts: ['intranet.example'] };
    expect(assertProviderUrl('http://localhost:7447/token', demo).port).toBe('7447');
    expect(() => assertProviderUrl('http://intranet.example/token', demo)).toThrow('not https');
  });
});

describe('a request to a provider', () => {
  let server: Server;
  let port: number;
  let reached: string[];

  beforeAll(async () => {
    reached = [];
    server = createServer((req, res) => {
      reached.push(req.url ?? '');
      if (req.url === '/redirect') res.writeHead(302, { location: '/elsewhere' }).end();
      else if (req.url === '/long') res.end('x'.repeat(1024 * 1024 + 1));
      else if (req.url === '/many') res.end(`[${'{},'.repeat(30_000)}{}]`);
      else if (req.url === '/large') res.end(LARGE);
      else if (req.url === '/token') res.end(token(700_000));
      else if (req.url === '/jwt') res.end(jwt(`[${'{},'.repeat(200_000)}{}]`));
      else if (req.url === '/groups') res.end(GROUPS);
      else res.end('{}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => server.close());

  const get = { method: 'GET', headers: {} };
  const outbound = () => createOutbound({ issuer: new URL(`http://localhost:${port}`), hosts: [] });

  it('comes back as it was answered', async () => {
    const answer = await outbound()(`http://localhost:${port}/ok`, get);
    expect(await answer.text()).toBe('{}');
  });

  it('follows no redirect', async () => {
    expect((await outbound()(`http://localhost:${port}/redirect`, get)).status).toBe(302);
    expect(reached).not.toContain('/elsewhere');
  });

  it('takes no answer that is cheap to send and dear to hold, and as many teams as GitHub lists', async () => {
    await expect(outbound()(`http://localhost:${port}/many`, get)).rejects.toThrow(/more than 50000 values/);
    expect(await (await outbound()(`http://localhost:${port}/large`, get)).text()).toBe(LARGE);
  });

  it('takes no token whose payload is dear to parse, and tokens of 1,500 groups', async () => {
    await expect(outbound()(`http://localhost:${port}/token`, get)).rejects.toThrow(/more than 50000 values/);
    await expect(outbound()(`http://localhost:${port}/jwt`, get)).rejects.toThrow(/more than 50000 values/);
    expect(await (await outbound()(`http://localhost:${port}/groups`, get)).text()).toBe(GROUPS);
  });

  it('are given to those who parse them one in a turn of the event loop', async () => {
    let [now, most] = [0, 0];
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        await outbound()(`http://localhost:${port}/ok`, get);
        if (now === 0) setImmediate(() => (now = 0));
        now += 1;
        most = Math.max(most, now);
      }),
    );
    // Behind the one that came with a poll of the sockets another one has its turn before the next poll.
    expect(most).toBeLessThanOrEqual(2);
  });

  it('takes no answer without an end', async () => {
    await expect(outbound()(`http://localhost:${port}/long`, get)).rejects.toThrow(/larger than/);
  });

  it.each([
    '127.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '169.254.169.254',
    '0.0.0.0',
    '[fd00:ec2::254]',
    '224.0.0.1',
    '[64:ff9b::a9fe:a9fe]',
  ])('is not sent to %s for a provider that is not on loopback', async (host) => {
    const issuer = new URL(`https://${host}:${port}`);
    await expect(
      createOutbound({ issuer: new URL('https://login.example.com'), hosts: [issuer.hostname] })(issuer.href, get),
    ).rejects.toThrow('not an address of an identity provider');
  });

  it.each(['169.254.169.254', '127.0.0.1', 'localhost'])('is not sent to %s behind a proxy either', async (host) => {
    const proxy = { url: `http://127.0.0.1:${port}`, setting: 'x', noProxy: '', credentials: () => '', ca: () => '' };
    const send = createOutbound({ issuer: new URL('https://login.example.com'), hosts: [host], proxy });
    const error: unknown = await send(`https://${host}/`, get).catch((error) => error);
    expect(guardMessage(error)).toContain('Portcullis did not connect');
  });

  it('is judged by the address that a name resolves to, not by the name', async () => {
    const issuer = new URL(`https://login.example.com`);
    const answer = createOutbound({ issuer, hosts: ['localhost'] })(`https://localhost:${port}/rebound`, get);
    await expect(answer).rejects.toMatchObject({ cause: { message: expect.stringContaining('refusing to connect') } });
    expect(reached).not.toContain('/rebound');
    const message = guardMessage(await answer.catch((error: unknown) => error));
    expect(message).toContain('Portcullis did not connect');
    expect(message).toContain('only where providers[].issuer itself names a loopback host');
    expect(message).not.toMatch(/127\.0|::1/);
  });

  it('is no rejection by the guard where no server listens', async () => {
    const gone = new URL('http://localhost:9');
    const error: unknown = await createOutbound({ issuer: gone, hosts: [] })(gone.href, get).catch((error) => error);
    expect(error).toBeInstanceOf(Error);
    expect(guardMessage(error)).toBeUndefined();
  });
});
