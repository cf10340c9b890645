import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  dropEntry,
  ensureEntry,
  knownServers,
  locateEntry,
  readPins,
  readSession,
  writePins,
  writeSession,
  type CacheEntry,
} from '../../../../src/cli/session/cache.ts';
import { failureOfParent, failureSince, rememberForParent, shareFailure } from '../../../../src/cli/plugin/failures.ts';
import { cliError } from '../../../../src/cli/errors.ts';
import { dropOtherNotes, noteIssued } from '../../../../src/cli/plugin/rejected-token.ts';
import { tokenId, type CachedSession } from '../../../../src/cli/session/session.ts';
import { whichServer } from '../../../../src/cli/session/which-server.ts';
import { readEnvironment } from '../../../../src/cli/environment.ts';

let dir: string;
let entry: CacheEntry;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-cache-'));
  entry = locateEntry(dir, { url: 'https://a.example.com' });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const pins = { web: 'https://a.example.com', api: 'https://api.example.com:6443' };
const token = { token: 'abc', receivedAt: 0, expiresAt: 1 };
const session: CachedSession = {
  server: 'https://a.example.com',
  endpoints: { token: 'https://api/t', revocation: 'https://api/r', adminApi: 'https://api/a' },
  user: { sessionId: 's', sessionExpiresAt: 'x', account: 'c/1', username: 'u', groups: [], clusters: [] },
  refreshToken: 'refresh',
  binding: { certificate: 'CERT', privateKey: 'KEY' },
  tokens: {},
};

describe('an entry of the cache', () => {
  test('is another one for another server or another CA', () => {
    writeFileSync(join(dir, 'ca.crt'), 'PEM');
    const withCa = locateEntry(dir, { url: 'https://a.example.com', caFile: join(dir, 'ca.crt') });
    const other = locateEntry(dir, { url: 'https://b.example.com' });
    expect(new Set([entry.dir, withCa.dir, other.dir]).size).toBe(3);
    expect(() => locateEntry(dir, { url: 'https://a.example.com', caFile: join(dir, 'none') })).toThrow(/CA file/);
  });

  test('keeps the pinned hosts when the session goes, and loses them at logout', () => {
    writePins(entry, pins);
    writeSession(entry, session);
    expect(readSession(entry)).toEqual(session);
    expect(readPins(entry)).toEqual(pins);
    dropEntry(entry);
    expect(readPins(entry)).toBeUndefined();
  });

  test('of a delegated session is not created again once its folder is gone, so no key is left behind', () => {
    const delegated = { id: 'd', name: 'claude', rights: 'read-only', expiresAt: '' };
    const child = locateEntry(dir, { url: 'https://a.example.com', delegated });
    writeSession(child, session);
    rmSync(dir, { recursive: true });
    expect(() => writeSession(child, session)).toThrow(/The delegated session is over: .*\n.*PORTCULLIS_DELEGATED_DIR/);
    expect(existsSync(dir)).toBe(false);
  });

  test('does not answer with a session of another server', () => {
    writeSession(entry, { ...session, server: 'https://b.example.com' });
    expect(readSession(entry)).toBeUndefined();
  });

  test.skipIf(process.platform === 'win32')('is refused when its folder is a link', () => {
    mkdirSync(join(dir, 'elsewhere'), { mode: 0o700 });
    symlinkSync(join(dir, 'elsewhere'), entry.dir);
    expect(() => readSession(entry)).toThrow(/not a folder/);
    expect(() => writeSession(entry, session)).toThrow(/not a folder/);
  });
});

describe('a token that the same parent asks for again', () => {
  beforeEach(() => ensureEntry(entry));
  const later = (): number => Date.now() + 1000;

  test('was refused; another parent may have it', () => {
    expect(noteIssued(entry, token, '10-1', later())).toBe(true);
    expect(noteIssued(entry, token, '10-1', later())).toBe(false);
    expect(noteIssued(entry, token, '10-2', later())).toBe(true);
    expect(noteIssued(entry, token, '11-1', later())).toBe(true);
    expect(noteIssued(entry, { ...token, token: 'new' }, '10-1', later())).toBe(true);
  });

  test('was not refused when the two calls ran side by side', () => {
    const note = join(entry.dir, 'served', tokenId(token), '10-1');
    expect(noteIssued(entry, token, '10-1', 5_000)).toBe(true);
    utimesSync(note, 10, 10);
    expect(noteIssued(entry, token, '10-1', 5_000)).toBe(true);
    expect(noteIssued(entry, token, '10-1', 11_000)).toBe(false);
  });

  test('is forgotten when the token is no longer in the cache', () => {
    noteIssued(entry, token, '10-1', later());
    dropOtherNotes(entry, [token]);
    expect(noteIssued(entry, token, '10-1', later())).toBe(false);
    dropOtherNotes(entry, []);
    expect(noteIssued(entry, token, '10-1', later())).toBe(true);
  });
});

describe('the memory of failures', () => {
  beforeEach(() => ensureEntry(entry));
  const failure = cliError('sign_in_refused', 'no');

  test.each([
    { after: 0, told: true },
    { after: 30_000, told: true },
    { after: 30_001, told: false },
    { after: -1, told: false },
  ])('tells a parent the same for 30 seconds: after $after ms $told', ({ after, told }) => {
    const now = Date.now();
    rememberForParent(entry, '10-1', failure, now);
    expect(failureOfParent(entry, '10-1', now + after) !== undefined).toBe(told);
    expect(failureOfParent(entry, '10-2', now + after)).toBeUndefined();
  });

  test('keeps code and message', () => {
    rememberForParent(entry, '10-1', failure, 5);
    expect(failureOfParent(entry, '10-1', 6)).toMatchObject({ code: 'sign_in_refused', message: 'no' });
  });

  test('clears what is old when it takes something new', () => {
    rememberForParent(entry, '10-1', failure, Date.now());
    const old = join(entry.dir, 'failures', '10-1');
    utimesSync(old, 1, 1);
    rememberForParent(entry, '10-2', failure, Date.now());
    expect(() => statSync(old)).toThrow('ENOENT');
  });

  test('tells who waited of what came after they began, and none of what came before', () => {
    shareFailure(entry, 'sign-in', failure, 100);
    expect(failureSince(entry, 'sign-in', 100, 200)).toMatchObject({ message: 'no' });
    expect(failureSince(entry, 'sign-in', 101, 200)).toBeUndefined();
    expect(failureSince(entry, 'refresh', 0, 200)).toBeUndefined();
  });
});

describe('which server is meant', () => {
  const environment = (server?: string) =>
    readEnvironment(
      { PORTCULLIS_CACHE_DIR: dir, ...(server === undefined ? {} : { PORTCULLIS_SERVER: server }) },
      'linux',
      '/home/a',
    );

  test('is the one that is named, else the one of the environment, else the only one in the cache', () => {
    writePins(entry, pins);
    expect(whichServer(environment('https://e.example.com'), { server: 'https://n.example.com/' }).url).toBe(
      'https://n.example.com',
    );
    expect(whichServer(environment('https://e.example.com'), {}).url).toBe('https://e.example.com');
    expect(whichServer(environment(), {}).url).toBe('https://a.example.com');
  });

  test('keeps the CA that the server was signed in to with', () => {
    writeFileSync(join(dir, 'ca.crt'), 'PEM');
    const caFile = join(dir, 'ca.crt');
    writePins(locateEntry(dir, { url: 'https://c.example.com', caFile }), pins);
    expect(whichServer(environment(), {})).toEqual({ url: 'https://c.example.com', caFile });
    expect(whichServer(environment(), { server: 'https://c.example.com' })).toMatchObject({ caFile });
    expect(knownServers(dir)).toHaveLength(1);
  });

  test('must be chosen when there are several, and be given when there is none', () => {
    expect(() => whichServer(environment(), {})).toThrow('portcullis login --server');
    writePins(entry, pins);
    writePins(locateEntry(dir, { url: 'https://b.example.com' }), pins);
    expect(() => whichServer(environment(), {})).toThrow(/--server https:\/\/[ab]\.example\.com  or  --server/);
  });
});
