import { expect, test } from 'vitest';
import { compileAllow, mayUse } from '../../../../src/core/identity/cluster-access.ts';

const ALICE = { username: 'corp:alice', uid: 'corp/1', groups: ['corp:dev'], extra: { 'example.com/team': ['red'] } };

test.each([
  ['true', true],
  ['false', false],
  ['"corp:dev" in user.groups', true],
  ['user.groups.exists(g, g.startsWith("corp:")) && user.username.endsWith("alice")', true],
  ['"red" in user.extra["example.com/team"]', true],
  ['user.uid == "corp/2"', false],
  // A rule that cannot be evaluated means no.
  ['user.extra["example.com/none"][0] == "x"', false],
  ['user.groups[7] == "corp:dev"', false],
  ['user.groups.size() / 0 > 1', false],
])('%s gives %s', (source, expected) => {
  const allow = compileAllow(source);
  expect(allow.ok && mayUse(allow.value, ALICE)).toBe(expected);
  expect(allow.ok).toBe(true);
});

test.each(['', 'user.name == "x"', 'claims.sub == "x"', '"true"', 'user.username', 'user.groups ==', '1'])(
  'refuses to compile %j',
  (source) => {
    expect(compileAllow(source).ok).toBe(false);
  },
);
