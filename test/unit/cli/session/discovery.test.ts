import { describe, expect, test } from 'vitest';
import { checkDiscovery } from '../../../../src/cli/session/discovery.ts';
import { checkMinimumVersion } from '../../../../src/cli/http/version.ts';

const server = 'https://portcullis.example.com';
const api = 'https://api.example.com:6443';
const good = {
  issuer: server,
  authorization_endpoint: `${server}/oauth/authorize`,
  mtls_endpoint_aliases: { token_endpoint: `${api}/-/oauth/token`, revocation_endpoint: `${api}/-/oauth/revoke` },
  portcullis: { minimumCli: '0.1.0', api, adminApi: `${api}/-/admin/api/v1` },
};
const pins = { web: server, api };

test('a good document gives the endpoints and the two hosts to pin', () => {
  expect(checkDiscovery(good, server, undefined)).toMatchObject({
    issuer: server,
    authorizationEndpoint: `${server}/oauth/authorize`,
    endpoints: { token: `${api}/-/oauth/token`, adminApi: `${api}/-/admin/api/v1` },
    pins,
  });
  expect(checkDiscovery(good, server, pins).pins).toEqual(pins);
});

describe('is rejected', () => {
  const aliases = good.mtls_endpoint_aliases;
  const own = good.portcullis;
  test.each([
    { name: 'nothing', change: { issuer: undefined } },
    { name: 'the issuer with a slash', change: { issuer: `${server}/` } },
    { name: 'another issuer', change: { issuer: 'https://evil.example.com' } },
    { name: 'a sign-in page on the api host', change: { authorization_endpoint: `${api}/authorize` } },
    { name: 'a sign-in page without TLS', change: { authorization_endpoint: 'http://portcullis.example.com/a' } },
    { name: 'a sign-in page on another port', change: { authorization_endpoint: `${server}:8443/a` } },
    { name: 'a script as sign-in page', change: { authorization_endpoint: 'javascript:alert(1)' } },
    { name: 'a sign-in page with a user', change: { authorization_endpoint: 'https://x@portcullis.example.com/a' } },
    { name: 'no api', change: { portcullis: { ...own, api: undefined } } },
    { name: 'an api without TLS', change: { portcullis: { ...own, api: 'http://127.0.0.1:1' } } },
    { name: 'an admin API elsewhere', change: { portcullis: { ...own, adminApi: 'https://evil.example.com/x' } } },
    {
      name: 'a token endpoint elsewhere',
      change: { mtls_endpoint_aliases: { ...aliases, token_endpoint: 'https://evil.example.com/t' } },
    },
    {
      name: 'a revocation endpoint on the web host',
      change: { mtls_endpoint_aliases: { ...aliases, revocation_endpoint: `${server}/r` } },
    },
    {
      name: 'a device endpoint on the web host',
      change: { mtls_endpoint_aliases: { ...aliases, device_authorization_endpoint: `${server}/oauth/device` } },
    },
    { name: 'no endpoints', change: { mtls_endpoint_aliases: undefined } },
  ])('$name', ({ change }) => {
    expect(() => checkDiscovery({ ...good, ...change }, server, undefined)).toThrow(
      expect.objectContaining({ code: 'forbidden' }),
    );
  });

  test('an api host that is not the pinned one, with the next step', () => {
    const before = { ...pins, api: 'https://old.example.com:6443' };
    expect(() => checkDiscovery(good, server, before)).toThrow(/old\.example\.com.*\n.*logout --server/s);
  });
});

test.each([
  { minimum: undefined, version: '0.1.0', ok: true },
  { minimum: 'soon', version: '0.1.0', ok: true },
  { minimum: '0.1.0', version: '0.1.0', ok: true },
  { minimum: '0.1.1', version: '0.1.0', ok: false },
  { minimum: '0.2.0', version: '0.10.0', ok: true },
  { minimum: '0.2.0', version: '1.0.0', ok: true },
  { minimum: '1.0.0', version: '0.99.99', ok: false },
])('a server that needs $minimum and a program $version: $ok', ({ minimum, version, ok }) => {
  let rejection = '';
  try {
    checkMinimumVersion(minimum, version);
  } catch (error) {
    rejection = String(error);
  }
  expect(rejection.includes('upgrade')).toBe(!ok);
});
