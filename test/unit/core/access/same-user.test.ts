import { expect, test } from 'vitest';
import { arePossiblyOne, knownAsOf } from '../../../../src/core/access/same-user.ts';

const CORP = { usernamePrefix: 'corp:', trustsEmail: false };
const names = (username: string, claims: object, mapping = CORP) => knownAsOf(mapping, { ...claims }, { username });

test.each([
  ['the name without its prefix', 'corp:Alice', {}, ['alice']],
  ['a name without that prefix as it is', 'alice', {}, ['alice']],
  [
    'a verified address too',
    'corp:as1',
    { email: 'Alice@Example.com', email_verified: true },
    ['as1', 'alice@example.com'],
  ],
  ['as Amazon Cognito writes it', 'corp:as1', { email: 'a@b.c', email_verified: 'true' }, ['as1', 'a@b.c']],
  ['not one that is not verified', 'corp:as1', { email: 'a@b.c', email_verified: false }, ['as1']],
  ['not one of which nothing is said', 'corp:as1', { email: 'a@b.c' }, ['as1']],
  ['nothing that is no text', 'corp:as1', { email: ['a@b.c'], email_verified: true }, ['as1']],
  ['one name once', 'corp:a@b.c', { email: 'A@B.C', email_verified: true }, ['a@b.c']],
  ['a name in another Unicode form', 'corp:ＡＬＩＣＥ', {}, ['alice']],
])('has %s', (_what, username, claims, expected) => {
  expect(names(username, claims)).toEqual(expected);
});

test('trusts each address where the operator does', () => {
  expect(names('corp:as1', { email: 'a@b.c' }, { ...CORP, trustsEmail: true })).toEqual(['as1', 'a@b.c']);
});

test('two accounts with one address, however it is written, may be one user', () => {
  const other = { usernamePrefix: '', trustsEmail: false };
  const one = names('corp:as1', { email: 'alice@example.com', email_verified: true });
  expect(arePossiblyOne(one, names('ALICE@EXAMPLE.COM', {}, other))).toBe(true);
  expect(arePossiblyOne(one, names('bob@example.com', {}, other))).toBe(false);
});
