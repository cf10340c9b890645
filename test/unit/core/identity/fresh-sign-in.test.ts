import { describe, expect, test } from 'vitest';
import { readAuthTime, type Unproven } from '../../../../src/core/identity/auth-time.ts';
import {
  liftCommand,
  unprovableMessage,
  unprovenMessage,
  unprovenWarning,
  type FreshnessConfig,
  type FreshPurpose,
} from '../../../../src/core/identity/fresh-sign-in.ts';

const NOW = 1_800_000_000;
const TOKEN = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl';

describe('the claim auth_time', () => {
  test.each<[string, unknown, number | Unproven]>([
    ['of now', NOW, NOW],
    ['of years ago', 1_000_000_000, 1_000_000_000],
    ['with a fraction, as a NumericDate may have', NOW - 0.5, NOW - 1],
    ['as far ahead as clocks differ', NOW + 60, NOW + 60],
    ['a second more', NOW + 61, { defect: 'future', seen: String(NOW + 61) }],
    ['that is left out', undefined, { defect: 'missing', seen: 'absent' }],
    ['of 0', 0, { defect: 'missing', seen: '0' }],
    ['of 1', 1, { defect: 'missing', seen: '1' }],
    ['in milliseconds', NOW * 1000, { defect: 'missing', seen: `${NOW}000` }],
    ['that is null', null, { defect: 'malformed', seen: 'null' }],
    ['below 0', -5, { defect: 'malformed', seen: '-5' }],
    ['that no number can hold', Infinity, { defect: 'malformed', seen: 'Infinity' }],
    ['as a date', '2027-01-15T08:00:00Z', { defect: 'malformed', seen: 'text 2027-01-15T08:00:00Z' }],
    ['as digits', `${NOW}`, { defect: 'malformed', seen: `text ${NOW}` }],
    ['as a text that may be a token', TOKEN, { defect: 'malformed', seen: `text of ${TOKEN.length} characters` }],
    ['as a long text of digits', '1'.repeat(5000), { defect: 'malformed', seen: 'text of 5000 characters' }],
    ['as a list', [NOW], { defect: 'malformed', seen: 'a list' }],
    ['as an object', { at: NOW }, { defect: 'malformed', seen: 'of type object' }],
    ['as true', true, { defect: 'malformed', seen: 'of type boolean' }],
  ])('%s', (_name, claim, expected) => {
    expect(readAuthTime(claim, { now: NOW, clockSkew: 60 })).toEqual(expected);
  });
});

const UNPROVEN: readonly Unproven[] = [
  { defect: 'missing', seen: 'absent' },
  { defect: 'missing', seen: '0' },
  { defect: 'stale', seen: String(NOW - 3600) },
  { defect: 'future', seen: String(NOW + 3600) },
  { defect: 'malformed', seen: 'null' },
];
const LIFT = 'portcullis unlock corp/alice --fresh --reason REASON';
const SHELL = 'portcullis revoke --config FILE and portcullis lock --config FILE';

/** For each purpose, what has to be named, and what would not help there. */
const WAYS: readonly (readonly [FreshPurpose, readonly string[], readonly string[]])[] = [
  ['revocation', [`${LIFT} --config FILE`, LIFT], ['admin.freshness', 'access.freshness']],
  ['admin', [SHELL, 'admin.freshness: off'], ['unlock', 'access.freshness']],
  ['approval', ['another approver', 'access.freshness: off'], ['unlock', 'admin.freshness', SHELL]],
  ['request', ['without freshness in access.roles'], ['unlock', 'admin.freshness', SHELL]],
  ['step-up', [SHELL, 'admin.freshness: off', 'access.freshness: off', 'stepUp'], ['unlock', 'another account']],
  ['device', ['portcullis login'], ['unlock', 'freshness:']],
  ['client', [SHELL, 'admin.freshness: off'], ['unlock', 'access.freshness']],
];

describe.each(WAYS)('the message of a fresh sign-in that is not proven, for %s', (purpose, named, not) => {
  const of = (unproven: Unproven): string =>
    unprovenMessage(unproven, { provider: 'corp', purpose, account: 'corp/alice', now: NOW });

  test.each(UNPROVEN.filter(({ defect }) => defect !== 'malformed'))(
    'names what was seen, and ways for it: %j',
    (seen) => {
      const message = of(seen);
      expect(message).toContain(seen.seen === 'absent' ? 'no auth_time' : seen.seen);
      for (const way of named) expect(message).toContain(way);
      for (const way of [...not, 'providers[].freshness', 'without asking you']) expect(message).not.toContain(way);
    },
  );

  test('names no way at this provider where nothing of a sign-in can be read', () => {
    expect(of({ defect: 'malformed', seen: 'null' })).toContain('The ID token of corp has null as auth_time');
    expect(of({ defect: 'malformed', seen: 'null' })).not.toContain('unlock');
  });

  test('at a provider that proves nothing, names the same ways', () => {
    if (purpose === 'revocation') return;
    for (const way of named) expect(unprovableMessage('corp', purpose)).toContain(way);
  });
});

test('the message says what the provider did, and about clocks only where a moment lies in the future', () => {
  const of = (unproven: Unproven): string =>
    unprovenMessage(unproven, { provider: 'corp', purpose: 'admin', now: NOW });
  const [, zero, stale, future] = UNPROVEN.map(of);
  expect(zero).toContain('corp does not say when you signed in: auth_time in its ID token is 0');
  expect(stale).toContain(`corp says that you signed in at 2027-01-15T07:00:00Z (auth_time ${NOW - 3600})`);
  expect(stale).toContain('Sign out at corp, then start again');
  expect(future).toContain('the clock of this server is 3600 seconds behind that');
  for (const text of [zero, stale]) expect(text).not.toContain('clock');
});

test.each([
  ['corp/alice', 'corp/alice'],
  ['corp/auth0|5f7c', "'corp/auth0|5f7c'"],
  ['corp/a; rm -rf ~', "'corp/a; rm -rf ~'"],
  ['corp/$(id)', "'corp/$(id)'"],
  // What the shell or RFC 6749 would change.
  ["corp/o'neil", 'corp/SUBJECT'],
  ['corp/zoë', 'corp/SUBJECT'],
  ['corp/a\nb', 'corp/SUBJECT'],
  ['corp/a\\b', 'corp/SUBJECT'],
] as const)('the command that lifts it names the account %j as one argument', (account, argument) => {
  expect(liftCommand('corp', account)).toBe(`portcullis unlock ${argument} --fresh --reason REASON`);
});

describe('the warning before a fresh sign-in is needed', () => {
  const config: FreshnessConfig = {
    admin: { groups: ['admins'], freshness: 900 },
    access: { freshness: 900, roles: [{ approval: { groups: ['leads'], count: 1 } }, { approval: 'none' }] },
    providers: [
      { name: 'corp', freshness: 'auto' },
      { name: 'old', freshness: 'max_age' },
      { name: 'quiet', freshness: 'login' },
      { name: 'hub', freshness: 'none' },
    ],
  };
  const of = (provider: string, groups: readonly string[], authTime?: number, rest = {}): string | undefined =>
    unprovenWarning(
      { provider, identity: { groups }, ...(authTime === undefined ? {} : { authTime }), ...rest },
      config,
    );

  test.each([
    ['an admin', 'corp', ['admins'], ['revoke, lock or unlock', SHELL]],
    ['an approver', 'corp', ['leads'], ['may not be able to approve']],
    ['both', 'old', ['leads', 'admins'], ['revoke, lock or unlock, nor approve', SHELL]],
  ])('is for %s without an auth_time', (_name, provider, groups, named) => {
    for (const text of [`${provider} did not say when you signed in`, ...named]) {
      expect(of(provider, groups)).toContain(text);
    }
  });

  test.each<[string, string | undefined]>([
    ['a user who is neither', of('corp', ['developers'])],
    ['an admin with an auth_time', of('corp', ['admins'], NOW)],
    ['an admin whose ordinary sign-in asks for none', of('quiet', ['admins'])],
    ['a provider that proves nothing', of('hub', ['admins'])],
    ['a workload', of('ci', ['admins'])],
    ['a delegated session', of('corp', ['admins'], undefined, { delegation: {} })],
    [
      'an admin who needs none',
      unprovenWarning(
        { provider: 'corp', identity: { groups: ['admins', 'leads'] } },
        { ...config, admin: { ...config.admin, freshness: 'off' }, access: { ...config.access, freshness: 'off' } },
      ),
    ],
  ])('is not for %s', (_name, warning) => {
    expect(warning).toBeUndefined();
  });
});
