import { describe, expect, test } from 'vitest';
import { readEnvironment } from '../../../../src/cli/environment.ts';
import { execCredential } from '../../../../src/cli/plugin/exec-credential.ts';
import {
  formatSession,
  freshUntilMs,
  isAlive,
  isFresh,
  parseClusters,
  parseSession,
  reportedExpiryMs,
  tokenId,
  type CachedSession,
} from '../../../../src/cli/session/session.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const token = { token: 'abc', receivedAt: start, expiresAt: start + 300_000 };
const at = (seconds: number): number => start + seconds * 1000;

const session: CachedSession = {
  server: 'https://portcullis.example.com',
  endpoints: { token: 'https://api/t', revocation: 'https://api/r', adminApi: 'https://api/a' },
  user: {
    sessionId: 's-1',
    sessionExpiresAt: '2026-01-02T00:00:00Z',
    account: 'corp/1',
    username: 'alice',
    groups: ['dev'],
    clusters: [{ name: 'prod', server: 'https://prod' }],
  },
  refreshToken: 'refresh',
  binding: { certificate: 'CERT', privateKey: 'KEY' },
  tokens: { 'urn:portcullis:cluster:prod': token },
};

/** Each is renewed at a moment of its own. */
const tokens = Array.from({ length: 200 }, (_, index) => ({ ...token, token: `token-${index}` }));

describe('how long a token is used', () => {
  test.each([
    { at: -1, fresh: false, alive: false, why: 'the clock was set back' },
    { at: 0, fresh: true, alive: true, why: 'just received' },
    { at: 225, fresh: true, alive: true, why: 'more than a minute and a quarter left' },
    { at: 240, fresh: false, alive: true, why: 'a minute left' },
    { at: 281, fresh: false, alive: true, why: 'good for who cannot get another' },
    { at: 285, fresh: false, alive: false, why: 'too near the end' },
    { at: 300, fresh: false, alive: false, why: 'over' },
  ])('after $at s: fresh $fresh, alive $alive ($why)', ({ at: seconds, fresh, alive }) => {
    for (const one of tokens) {
      expect(isFresh(one, at(seconds))).toBe(fresh);
      expect(isAlive(one, at(seconds))).toBe(alive);
    }
  });

  test('is spread over a quarter of a minute, by the token alone', () => {
    const moments = tokens.map((one) => freshUntilMs(one) - start);
    expect(Math.min(...moments)).toBeLessThan(228_000);
    expect(Math.max(...moments)).toBeGreaterThan(237_000);
    expect(tokens.map((one) => freshUntilMs({ ...one }) - start)).toEqual(moments);
  });

  test('a short token is renewed in the last quarter of its life', () => {
    const short = tokens.map((one) => ({ ...one, expiresAt: at(10) }));
    expect(short.every((one) => isFresh(one, at(7.4)))).toBe(true);
    expect(short.some((one) => isFresh(one, at(8)))).toBe(false);
  });

  test('kubectl asks again before the end, and gets a new token when it does', () => {
    for (const one of tokens) {
      expect(reportedExpiryMs(one)).toBeGreaterThan(at(261));
      expect(reportedExpiryMs(one)).toBeLessThanOrEqual(at(270));
      expect(isFresh(one, reportedExpiryMs(one))).toBe(false);
      expect(isAlive(one, reportedExpiryMs(one))).toBe(true);
    }
  });
});

test('ExecCredential is one line of client.authentication.k8s.io/v1 with token, certificate, key and expiry', () => {
  const text = execCredential(token, session.binding);
  expect(text.endsWith('\n')).toBe(true);
  expect(JSON.parse(text)).toEqual({
    kind: 'ExecCredential',
    apiVersion: 'client.authentication.k8s.io/v1',
    status: {
      token: 'abc',
      clientCertificateData: 'CERT',
      clientKeyData: 'KEY',
      expirationTimestamp: '2026-01-01T00:04:24Z',
    },
  });
});

test.each([
  [
    '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":true}}',
    'v1beta1',
  ],
  ['{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"}', 'v1'],
  ['{"apiVersion":["client.authentication.k8s.io/v1beta1"]}', 'v1'],
  ['null', 'v1'],
  ['{', 'v1'],
  [undefined, 'v1'],
])('ExecCredential has the version that the program asks for: %s', (info, version) => {
  const { execVersion } = readEnvironment({ ...(info !== undefined && { KUBERNETES_EXEC_INFO: info }) }, 'linux', '/');
  expect(JSON.parse(execCredential(token, session.binding, execVersion))).toMatchObject({
    apiVersion: `client.authentication.k8s.io/${version}`,
    status: { token: 'abc', clientKeyData: 'KEY' },
  });
});

describe('the cached session', () => {
  /** The file's text with some of its keys changed. */
  const written = (change: Record<string, unknown>): string =>
    JSON.stringify({ ...(JSON.parse(formatSession(session)) as object), ...change });

  test('keeps the keys of the file, which earlier versions have written', () => {
    expect(Object.keys(JSON.parse(formatSession(session)) as object)).toEqual([
      'version',
      'server',
      'endpoints',
      'person',
      'refreshToken',
      'binding',
      'tokens',
    ]);
    expect(parseSession(written({}))).toEqual(session);
  });

  test('is read as it was written', () => {
    expect(parseSession(formatSession(session))).toEqual(session);
  });

  test.each([
    { name: 'no JSON', text: '{"version":1' },
    { name: 'nothing', text: '' },
    { name: 'another version', text: written({ version: 2 }) },
    { name: 'no refresh token', text: written({ refreshToken: undefined }) },
    { name: 'no key', text: written({ binding: { certificate: 'CERT' } }) },
    { name: 'a user that is a list', text: written({ person: [] }) },
  ])('is not believed with $name', ({ text }) => {
    expect(parseSession(text)).toBeUndefined();
  });

  test('drops a token that could break a header', () => {
    const odd = { ...session, tokens: { a: { ...token, token: 'abc\r\nX: y' }, b: token } };
    expect(Object.keys(parseSession(formatSession(odd))?.tokens ?? {})).toEqual(['b']);
  });
});

test.each([
  { name: '../prod', server: 'https://prod' },
  { name: '$(id)', server: 'https://prod' },
  { name: 'prod', server: 'http://prod' },
  { name: 'prod', server: 'file:///etc/passwd' },
  { name: 'prod', server: 7 },
])('leaves out a cluster that must not reach a kubeconfig: $name $server', (cluster) => {
  expect(parseClusters([cluster])).toEqual([]);
});

test('a token’s id does not show it', () => {
  expect(tokenId(token)).not.toContain('abc');
  expect(tokenId(token)).not.toBe(tokenId({ ...token, token: 'abd' }));
});
