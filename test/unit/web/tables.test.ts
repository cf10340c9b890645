import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { AppError, type ErrorCode } from '../../../src/core/errors.ts';
import { queryOf } from '../../../src/web/page/response.ts';
import { browserCookie } from '../../../src/web/browser/cookies.ts';
import { deviceOf } from '../../../src/web/page/client-label.ts';
import { errorMessages } from '../../../src/web/page/error-page.ts';
import { appErrorOf, statusOfCode } from '../../../src/http/error-status.ts';
import { kubeconfigFor } from '../../../src/web/my-sessions/my-sessions.ts';
import { ADMIN } from '../../../src/core/api/rejections.ts';
import { problemFor, problemOf } from '../../../src/http/problem.ts';
import { createRateLimiter, createTally } from '../../../src/core/rate-limit.ts';
import { bucketOf } from '../../../src/core/http/address.ts';
import { roleOf } from '../../../src/services/admin/roles.ts';
import { plainText } from '../../../src/http/request-context.ts';

const codes = Object.keys(statusOfCode) as ErrorCode[];

describe('errors', () => {
  test.each(codes)('%s has a page and a problem that never show the reason or the cause', (code) => {
    const error = new AppError(code, 'text for the user', { reason: 'canary_reason', cause: new Error('canary') });
    const problem = problemOf(error, 'request-1');
    expect(problem).toMatchObject({ status: statusOfCode[code], code, detail: 'text for the user' });
    expect(JSON.stringify(problem)).not.toContain('canary');
    expect(errorMessages[code].next).toMatch(/\.$/);
  });

  test('an error of another library is 500 without its message', () => {
    const problem = problemOf(new Error('canary: connect ECONNREFUSED 10.0.0.1'), 'request-1');
    expect(problem).toMatchObject({ status: 500, code: 'internal' });
    expect(problem.detail).not.toContain('canary');
  });

  test.each([
    [413, 413, 'bad_request'],
    [400, 400, 'bad_request'],
    [503, 500, 'internal'],
    [200, 500, 'internal'],
  ])('a foreign error with status %i is %i', (status, expected, code) => {
    const mapped = appErrorOf(Object.assign(new Error('canary'), { status }));
    expect(mapped).toMatchObject({ status: expected, error: { code } });
  });

  test('the admin API’s finer codes win', () => {
    const error = problemFor(ADMIN, { reason: 'username_ambiguous', users: 2, accounts: [] });
    expect(problemOf(error, 'r')).toMatchObject({ status: 409, code: 'username_ambiguous' });
  });
});

describe('the rate limit', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['', ''],
  ])('%s is counted as %s', (address, bucket) => {
    expect(bucketOf(address)).toBe(bucket);
  });

  test('refills with time, up to the limit and no further, and is no worse for a clock set back', () => {
    let now = 0;
    const limit = createRateLimiter(2, { nowMs: () => now });
    expect([limit.take('a'), limit.take('a'), limit.take('a'), limit.take('b')]).toEqual([0, 0, 30, 0]);
    now = 3_600_000;
    expect([limit.take('a'), limit.take('a'), limit.take('a')]).toEqual([0, 0, 30]);
    now = 0;
    expect(limit.take('a')).toBe(30);
  });
});

describe('what is refused again and again', () => {
  test('is audited once a minute for each key, with how often it happened since', () => {
    let now = 0;
    const tally = createTally({ nowMs: () => now });
    expect(['a', 'a', 'b', 'a'].map((key) => tally.add(key))).toEqual([1, undefined, 1, undefined]);
    now = 59_999;
    expect(tally.add('a')).toBeUndefined();
    now = 60_000;
    expect([tally.add('a', 4), tally.add('b')]).toEqual([7, 1]);
    // A clock that is set back hides nothing for long.
    now = -60_000;
    expect(tally.add('a')).toBe(1);
  });

  test('is a hundred events a minute over all keys, whatever comes, and what was left out comes later', () => {
    let now = 0;
    const tally = createTally({ nowMs: () => now });
    const flood = Array.from({ length: 5000 }, (_, index) => tally.add(String(index)));
    expect(flood.filter((count) => count !== undefined)).toHaveLength(100);
    now = 60_000;
    expect(tally.add('4999')).toBe(2);
  });
});

describe('the cookie', () => {
  const value = 'A'.repeat(43);

  test.each([
    [`portcullis=${value}`, value],
    [`a=b; portcullis=${value}; c=d`, value],
    [`xportcullis=${value}`, undefined],
    [`portcullis=${value}; portcullis=${'B'.repeat(43)}`, undefined],
    ['portcullis=short', undefined],
    [`portcullis="${value}"`, undefined],
    [undefined, undefined],
  ])('%s is read as %s', (cookie, expected) => {
    const req = { headers: cookie === undefined ? {} : { cookie } } as Parameters<
      ReturnType<typeof browserCookie>['read']
    >[0];
    expect(browserCookie('http://localhost:7444', 'portcullis').read(req)).toBe(expected);
  });

  test('has the __Host- prefix with https and not on loopback http', () => {
    expect(browserCookie('https://p.example.com', 'portcullis').name).toBe('__Host-portcullis');
    expect(browserCookie('http://localhost:1', 'portcullis').name).toBe('portcullis');
  });
});

describe('small things', () => {
  test.each([
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox on Linux'],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0',
      'Edge on Windows',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17 Safari/605.1.15',
      'Safari on macOS',
    ],
    ['Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36', 'Chrome on Android'],
    ['portcullis/0.1.0 (linux; x64)', 'portcullis on Linux'],
    ['something else', 'something else'],
    ['', 'Unknown device'],
  ])('%s is %s', (userAgent, device) => {
    expect(deviceOf(userAgent)).toBe(device);
  });

  test('text of a header loses control, invisible and bidirectional characters', () => {
    expect(plainText('a\u0000b\u001b[31m\u202Ec\u200Bd\u2028e', 99)).toBe('ab[31mcde');
    expect(plainText('x'.repeat(300), 256)).toHaveLength(256);
  });

  test.each([
    ['/callback/corp?code=a&state=b', '?code=a&state=b'],
    ['/callback/corp', ''],
    ['//evil.example/x?y', '?y'],
  ])('the query of %s is %s', (target, query) => {
    expect(queryOf(target)).toBe(query);
  });

  test.each([
    [['platform'], 'admin'],
    [['security'], 'auditor'],
    [['security', 'platform'], 'admin'],
    [['Platform'], undefined],
    [[], undefined],
  ])('groups %j are %s', (groups, role) => {
    const user = { account: 'corp/u', identity: { username: 'u', uid: 'u', groups, extra: {} } } as const;
    const admin = { groups: ['platform'], auditors: ['security'], freshness: 900, dualControl: 'off' } as const;
    expect(roleOf(user, { admin, workload: [] })).toBe(role);
    expect(roleOf(user, { admin: { ...admin, groups: [], auditors: [] }, workload: [] })).toBeUndefined();
  });

  test.each([
    ['ci/repo:a', undefined],
    ['probe/sa:b', 'drill'],
    ['siem/sa:b', 'revoker'],
    ['ci-other/u', 'admin'],
  ] as const)('the account %s in an admin group is %s: a workload has its rule’s role only', (account, role) => {
    const admin = { groups: ['platform'], auditors: [], freshness: 900, dualControl: 'off' } as const;
    const workload = [
      { name: 'ci', role: 'none', clusters: [] } as const,
      { name: 'probe', role: 'drill', clusters: [] } as const,
      { name: 'siem', role: 'revoker', clusters: [] } as const,
    ];
    const identity = { username: 'u', uid: 'u', groups: ['platform'], extra: {} };
    expect(roleOf({ account, identity }, { admin, workload })).toBe(role);
  });

  test('a kubeconfig calls the plugin, once for each cluster, and trusts the given CA', () => {
    const clusters = ['prod', 'staging'].map((name) => ({ name, publicUrl: `https://${name}.example.com:6443` }));
    const config = parse(kubeconfigFor({ publicUrl: 'https://p.example.com' }, clusters, 'PEM')) as Record<
      string,
      unknown
    >;
    expect(config).toMatchObject({ apiVersion: 'v1', kind: 'Config', 'current-context': 'prod@p.example.com' });
    expect(config['clusters']).toMatchObject([
      { cluster: { server: 'https://prod.example.com:6443', 'certificate-authority-data': 'UEVN' } },
      { cluster: { server: 'https://staging.example.com:6443' } },
    ]);
    expect(config['users']).toMatchObject([
      {
        user: {
          exec: {
            apiVersion: 'client.authentication.k8s.io/v1',
            command: 'portcullis',
            args: ['get-token', '--server', 'https://p.example.com', '--cluster', 'prod'],
            interactiveMode: 'Never',
            provideClusterInfo: false,
          },
        },
      },
      {},
    ]);
    expect(kubeconfigFor({ publicUrl: 'https://p.example.com' }, clusters, undefined)).not.toContain(
      'certificate-authority',
    );
    const hints = ['https://intranet.example.com/portcullis', undefined].map((installUrl) =>
      kubeconfigFor({ publicUrl: 'https://p.example.com', ...(installUrl && { installUrl }) }, clusters, undefined),
    );
    expect(hints[0]).toContain('signs you in to this cluster: get it at https://intranet.example.com/portcullis');
    expect(hints[1]).toContain('ask your platform team where to get it (docs/install-cli.md)');
  });
});
