import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  dropEntry,
  dropSession,
  locateEntry,
  readSession,
  writeSession,
  type CacheEntry,
} from '../../../../src/cli/session/cache.ts';
import { dropReadyFiles, writeReadyFiles } from '../../../../src/cli/plugin/ready-file.ts';
import { execCredential } from '../../../../src/cli/plugin/exec-credential.ts';
import { freshUntilMs, isFresh, tokenId, type CachedSession } from '../../../../src/cli/session/session.ts';

let dir: string;
let entry: CacheEntry;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-ready-'));
  entry = locateEntry(dir, { url: 'https://a.example.com:8443/base' });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const token = { token: 'abc', receivedAt: 1_000_001, expiresAt: 1_300_001 };
const session: CachedSession = {
  server: 'https://a.example.com:8443/base',
  endpoints: { token: 'https://api/t', revocation: 'https://api/r', adminApi: 'https://api/a' },
  user: { sessionId: 's', sessionExpiresAt: 'x', account: 'c/1', username: 'u', groups: [], clusters: [] },
  refreshToken: 'refresh',
  binding: { certificate: 'CERT', privateKey: 'KEY' },
  tokens: { 'urn:portcullis:cluster:prod': token, 'urn:portcullis:admin': token },
};
const PROD = 'ready,https:,,a.example.com:8443,base,prod';

const readyFiles = (where = entry): string[] => readdirSync(where.dir).filter((name) => name.startsWith('ready'));
const linesOf = (name: string): string[] => readFileSync(join(entry.dir, name), 'utf8').split('\n');

// Only Linux has a reader of them.
const LINUX = process.platform === 'linux';

describe.runIf(LINUX)('a ready file', () => {
  test('is there for each cluster of which the session has a token, and for nothing else', () => {
    writeSession(entry, session);
    expect(readyFiles()).toEqual([PROD]);
    expect(statSync(join(entry.dir, PROD)).mode & 0o777).toBe(0o600);
  });

  test.each(['win32', 'darwin'] as const)('is not written on %s, where nothing reads it', (platform) => {
    writeSession(entry, session);
    dropReadyFiles(entry);
    writeReadyFiles(entry, session, platform);
    expect(readyFiles()).toEqual([]);
  });

  test('says what it is for, and ends with what kubectl is to read', () => {
    writeSession(entry, session);
    const [head, ...lines] = linesOf(PROD);
    const sizes = [PROD, 'session.json'].map((name) => statSync(join(entry.dir, name)).size);
    expect(head).toBe(`portcullis-ready 1 ${sizes.join(' ')}`);
    const answer = execCredential(token, session.binding).trimEnd();
    const until = String(Math.floor(freshUntilMs(token) / 1000));
    expect(lines).toEqual([session.server, 'prod', '1001', until, tokenId(token), answer, '']);
    expect(statSync(join(entry.dir, 'served', tokenId(token))).mode & 0o777).toBe(0o700);
  });

  test('never counts as fresh longer than the token does', () => {
    const some = Array.from({ length: 40 }, (_, index) => ({
      token: `t${index}`,
      receivedAt: 1_000_000 + index * 73,
      expiresAt: 1_300_000 + index * 131,
    }));
    const tokens = Object.fromEntries(some.map((one) => [`urn:portcullis:cluster:${one.token}`, one]));
    writeSession(entry, { ...session, tokens });
    for (const one of some) {
      const [, , , notBefore, until] = linesOf(PROD.replace('prod', one.token)).map(Number);
      expect(isFresh(one, Number(notBefore) * 1000)).toBe(true);
      // The last millisecond of the last second that the front takes for fresh.
      expect(isFresh(one, Number(until) * 1000 - 1)).toBe(true);
    }
  });

  test('has another name where the host has a CA of its own, which lies beside it', () => {
    writeFileSync(join(dir, 'ca.crt'), 'PEM\n');
    const withCa = locateEntry(dir, { url: session.server, caFile: join(dir, 'ca.crt') });
    writeSession(withCa, session);
    expect(readyFiles(withCa)).toEqual([PROD.replace('ready', 'ready-ca')]);
    expect(readFileSync(join(withCa.dir, 'ca.pem'), 'utf8')).toBe('PEM\n');
  });

  test('is not made for a cluster whose name could be more than a name, nor for one too long for a file', () => {
    const names = ['../x', 'a/b', 'a\nb', '', 'x'.repeat(250)];
    const tokens = Object.fromEntries(names.map((name) => [`urn:portcullis:cluster:${name}`, token]));
    writeSession(entry, { ...session, tokens });
    expect(readyFiles()).toEqual([]);
    expect(readSession(entry)).toBeDefined();
  });
});

describe.runIf(LINUX)('a ready file does not outlive', () => {
  beforeEach(() => writeSession(entry, session));

  test('its token', () => {
    writeSession(entry, { ...session, tokens: { 'urn:portcullis:cluster:dev': token } });
    expect(readyFiles()).toEqual([PROD.replace('prod', 'dev')]);
  });

  test('its session', () => {
    dropSession(entry);
    expect(readyFiles()).toEqual([]);
  });

  test('its server', () => {
    dropEntry(entry);
    expect(() => readyFiles()).toThrow('ENOENT');
  });

  test('a session that could not be written', () => {
    rmSync(join(entry.dir, 'session.json'));
    mkdirSync(join(entry.dir, 'session.json', 'x'), { recursive: true });
    expect(() => writeSession(entry, session)).toThrow(/EISDIR|directory/);
    expect(readyFiles()).toEqual([]);
  });
});

test.runIf(LINUX)('where ready files cannot be written the session is kept all the same', () => {
  writeSession(entry, session);
  rmSync(join(entry.dir, 'served'), { recursive: true });
  writeFileSync(join(entry.dir, 'served'), '');
  writeSession(entry, session);
  expect(readyFiles()).toEqual([]);
  expect(readSession(entry)).toEqual(session);
});
