/** No token in the audit log: not under a name that says so, and not under one that does not. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { auditUri } from '../../../../src/core/audit/uri.ts';
import { cpuClock } from '../../../support/cpu-time.ts';

const RUNS = { numRuns: 2000 };
const base64url = fc.stringMatching(/^[A-Za-z0-9_-]{12,60}$/);
/** Every JWT begins with `{"`, which is `eyJ` in base64url. */
const jwt = fc.tuple(base64url, base64url, base64url).map(([head, claims, signature]) => ({
  text: `eyJ${head}.eyJ${claims}.${signature}`,
  parts: [claims, signature],
}));
const noise = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom('&', '?', '=', ';', '%3F', '/', '#', 'a', '%26', '@', ' '),
);

test('hides a JWT wherever it stands in a target, and keeps it hidden', () => {
  // Behind one of these a token begins; glued to other letters it would be part of a longer word.
  const before = fc
    .tuple(
      fc.array(noise, { maxLength: 4 }),
      fc.constantFrom('/', '?x=', '&state2=', '?', ':', ' ', '"', 'Bearer ', 'Bearer%20', '%22', '='),
    )
    .map(([list, last]) => list.join('') + last);
  fc.assert(
    fc.property(before, jwt, fc.array(noise, { maxLength: 4 }), (front, { text, parts }, behind) => {
      const uri = auditUri(`/api${front}${text}${behind.join('')}`);
      for (const part of parts) expect(uri).not.toContain(part);
      expect(auditUri(uri)).toBe(uri);
    }),
    RUNS,
  );
});

test('hides a JWT whose dots are encoded, and one that the end of the line cuts off', () => {
  fc.assert(
    fc.property(jwt, fc.constantFrom('%2e', '%2E', '%252E'), ({ text, parts: [claims = ''] }, dot) => {
      expect(auditUri(`/api?x=${text.replaceAll('.', dot)}`)).not.toContain(claims);
      expect(auditUri(`/api?x=${'a'.repeat(8100)}/${text}`)).not.toContain(claims.slice(0, 8));
    }),
    RUNS,
  );
});

test('shows a place in a list as it is', () => {
  const place = '/api/v1/pods?limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0';
  expect(auditUri(place)).toBe(place);
});

test('hides what is behind a name of a secret, however often each of its characters is encoded', () => {
  const name = fc.constantFrom(
    'access_token',
    'SECRET',
    'private-key',
    'key',
    'pin',
    'my.pwd',
    'connection_string',
    'sid',
  );
  const escaped = (character: string, times: number): string => {
    const escape = `%${character.charCodeAt(0).toString(16)}`;
    return times === 0
      ? character
      : Array.from({ length: times - 1 }).reduce<string>((text) => text.replace('%', '%25'), escape);
  };
  const levels = fc.array(fc.nat({ max: 3 }), { minLength: 17, maxLength: 17 });
  const place = fc.constantFrom(['?a=1&', '='], ['?', '='], ['?u=%2Fy%3F', '%3D'], [';', '='], ['%253F', '%253D']);
  fc.assert(
    fc.property(name, levels, place, (plain, times, [before = '', sign = '']) => {
      const text = plain
        .split('')
        .map((character, index) => escaped(character, times[index] ?? 0))
        .join('');
      const uri = auditUri(`/x${before}${text}${sign}s3cret`);
      expect(uri).toContain('REDACTED');
      expect(uri).not.toContain('s3cret');
    }),
    RUNS,
  );
});

test('takes the short way only where the long one leads to the same', () => {
  const name = fc.constantFrom(
    'limit',
    'watch',
    'timeoutSeconds',
    'container',
    'stdout',
    'token',
    'command',
    'labelSelector',
    '',
  );
  const value = fc.oneof(
    fc.stringMatching(/^[\w.~-]{0,12}$/),
    fc.constantFrom('eyJh.b.c', '%41', 'a=b', 'a?token=s', 'a;b'),
  );
  const pair = fc.tuple(name, value).map(([key, text]) => `${key}=${text}`);
  const query = fc.array(pair, { maxLength: 4 }).map((pairs) => pairs.join('&'));
  // A blank is encoded on the long way, and is on no short one.
  fc.assert(
    fc.property(fc.constantFrom('/api/v1/pods', '/a~b.c'), query, (path, text) => {
      const long = auditUri(`${path}?${text}&x= `);
      expect(`${auditUri(`${path}?${text}`)}&x=%20`).toBe(long);
    }),
    RUNS,
  );
});

test('takes no longer for a hostile query', () => {
  const spent = cpuClock();
  for (const text of ['limit=1&'.repeat(900), `${'limit='.repeat(1300)}?`, `limit=${'a'.repeat(8000)}?`])
    auditUri(`/x?${text}`);
  expect(spent()).toBeLessThan(200);
});

// Each name that throws cost ten microseconds: forty such requests, without any credential, held a replica up for its lease.
test.each(['c%&', 'c%ff&', '%ff&', '%&'])('takes no longer for names that cannot be decoded (%s)', (pair) => {
  const target = `/x?${pair.repeat(16_000 / pair.length)}`;
  auditUri(target);
  const spent = cpuClock();
  for (let times = 0; times < 10; times += 1) auditUri(target);
  expect(spent()).toBeLessThan(100);
});

test('hides a secret whose name has bytes that are not UTF-8', () => {
  expect(auditUri('/x?%ff%74oken=S3CRET')).toBe('/x?%ff%74oken=REDACTED');
});

/** Milliseconds of the quickest of many: the others had to wait for something else. */
function quickest(target: string): number {
  const times = Array.from({ length: 100 }, () => {
    const before = performance.now();
    auditUri(target);
    return performance.now() - before;
  });
  return Math.min(...times);
}

test('looks for a nested name once, and not for each of a thousand separators', () => {
  const plain = quickest(`/x${':'.repeat(8100)}`);
  expect(quickest(`/x${';'.repeat(8100)}`)).toBeLessThan(5 * plain);
});

test.each(['://', '%3A%2F%2F', '%253A%252F%252F', 'token"', 'a"', '"', '%25', '%2522', 'a:', '@'])(
  'takes no longer for %s a thousand times',
  (piece) => {
    const target = `/x?q=://${piece.repeat(8000 / piece.length)}`;
    auditUri(target);
    const spent = cpuClock();
    for (let times = 0; times < 10; times += 1) auditUri(target);
    expect(spent()).toBeLessThan(100);
  },
);

test('is printable and comes out again unchanged, whatever comes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const uri = auditUri(text);
      expect(uri).toMatch(/^[!-~]*$/);
      expect(auditUri(uri)).toBe(uri);
    }),
    RUNS,
  );
});
