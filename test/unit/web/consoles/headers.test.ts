import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cookieFromConsole, cookiesForConsole } from '../../../../src/web/consoles/cookie-jar.ts';
import { headersForConsole } from '../../../../src/web/consoles/request-headers.ts';
import { headersFromConsole } from '../../../../src/web/consoles/response-headers.ts';

const ORIGIN = 'https://headlamp.example.com';

const requestHeaders = (raw: readonly string[]): Record<string, unknown> =>
  headersForConsole({
    raw,
    headers: {},
    origin: ORIGIN,
    token: 'ours',
    username: 'corp:zoë',
    address: '203.0.113.7',
    upgrade: false,
  });

describe('headers for the console', () => {
  test('never carry a name of ours with a value that the browser chose, however it is spelt', () => {
    const names = [
      'authorization',
      'x-forwarded-for',
      'x-forwarded-user',
      'x-forwarded-id-token',
      'forwarded',
      'impersonate-user',
      'x-remote-group',
      'x-auth-request-email',
      'cookie',
      'proxy-authorization',
    ];
    const spelt = fc
      .tuple(fc.constantFrom(...names), fc.infiniteStream(fc.boolean()), fc.boolean())
      .map(([name, upper, underscores]) => {
        const cased = name.replace(/[a-z]/g, (letter) => (upper.next().value === true ? letter.toUpperCase() : letter));
        return underscores ? cased.replaceAll('-', '_') : cased;
      });
    fc.assert(
      fc.property(fc.array(spelt, { minLength: 1, maxLength: 5 }), (chosen) => {
        const raw = chosen.flatMap((name) => [name, 'chosen-by-the-browser']);
        expect(Object.values(requestHeaders(raw))).not.toContain('chosen-by-the-browser');
      }),
    );
  });

  test('carry names that are not ASCII as UTF-8 bytes, and repeated ones joined', () => {
    const headers = requestHeaders(['Accept', 'text/html', 'X-App', 'one', 'x-app', 'two']);
    expect(Buffer.from(String(headers['x-forwarded-user']), 'latin1').toString('utf8')).toBe('corp:zoë');
    expect(headers).toMatchObject({ accept: 'text/html', 'x-app': 'one, two' });
  });
});

test.each([
  ['theme=dark; __Host-portcullis=a; __Host-portcullis-console=b', 'theme=dark'],
  ['__HOST-PORTCULLIS=a; __Secure-portcullis_interaction=b; portcullis=c', undefined],
  ['=portcullis=a; portcullis; a b=c', undefined],
  ['my-portcullis=a', 'my-portcullis=a'],
  ['', undefined],
])('of the cookies %j the console gets %j', (header, expected) => {
  expect(cookiesForConsole(header)).toBe(expected);
});

test.each([
  ['a=b; DOMAIN=example.com; Path=/', 'a=b; Path=/'],
  ['a=b; domain; domain = example.com', 'a=b'],
  ['__Host-Portcullis-Console=x', undefined],
  ['portcullis_server.sig=x', undefined],
  ['=a', undefined],
  ['a', undefined],
  ['', undefined],
])('of %j the browser gets %j', (line, expected) => {
  expect(cookieFromConsole(line)).toBe(expected);
});

test('a redirect that the console chooses never leads to another host', () => {
  const parts = fc.constantFrom(
    '/',
    '\\',
    '\t',
    'evil.example',
    'https:',
    '@',
    ':',
    '?',
    '#',
    '.',
    '%2f',
    'headlamp.example.com',
  );
  const target = fc.array(parts, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(target, (location) => {
      const raw = ['Location', location];
      const outcome = headersFromConsole({ status: 302, raw, server: 'https://10.0.0.1', origin: ORIGIN });
      const sent = outcome.ok ? outcome.value[outcome.value.indexOf('Location') + 1] : '/';
      expect(new URL(sent ?? '/', `${ORIGIN}/deep/page`).origin).toBe(ORIGIN);
    }),
    { numRuns: 2000 },
  );
});
