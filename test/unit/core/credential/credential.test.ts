import { describe, expect, test } from 'vitest';
import { clusterAudience } from '../../../../src/core/core.ts';
import { checkBinding, readCredential } from '../../../../src/core/credential/credential.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';

const AUDIENCE = clusterAudience('prod');
const THUMBPRINT = 'A'.repeat(43);
const PAYLOAD = {
  iss: 'https://portcullis.example.com',
  sub: 'corp/a/b',
  aud: AUDIENCE,
  iat: 1_700_000_000,
  exp: 1_700_000_300,
  jti: 't1',
  client_id: 'portcullis-cli',
  sid: 's1',
  ep: 'e1',
  ln: 7,
  cnf: { 'x5t#S256': THUMBPRINT },
};

const without = (claim: keyof typeof PAYLOAD): Record<string, unknown> =>
  Object.fromEntries(Object.entries(PAYLOAD).filter(([key]) => key !== claim));

test('reads our access token', () => {
  expect(readCredential(PAYLOAD, AUDIENCE)).toEqual({
    ok: true,
    value: {
      account: 'corp/a/b',
      provider: 'corp',
      session: 's1',
      keys: coveringKeys({ account: 'corp/a/b', provider: 'corp', session: 's1' }),
      tokenId: 't1',
      audience: AUDIENCE,
      client: 'portcullis-cli',
      issuedAt: 1_700_000_000,
      expiresAt: 1_700_000_300,
      position: { epoch: 'e1', number: 7 },
      thumbprint: THUMBPRINT,
    },
  });
});

test('reads one without a binding, and an audience that is a list of one', () => {
  const outcome = readCredential({ ...without('cnf'), aud: [AUDIENCE], ln: 0 }, AUDIENCE);
  expect(outcome).toMatchObject({ ok: true, value: { position: { number: 0 } } });
  expect(outcome.ok && 'thumbprint' in outcome.value).toBe(false);
});

test.each([
  [
    { roles: ['admin'], auth_time: 1_699_999_000 },
    { wasAdmin: true, authTime: 1_699_999_000 },
  ],
  [{ roles: ['admin'] }, { wasAdmin: true }],
  [{ roles: ['admin'], auth_time: '1699999000' }, { wasAdmin: true }],
  [{ roles: ['auditor'], auth_time: 1_699_999_000 }, {}],
  [{ roles: 'admin' }, {}],
  [{ roles: [['admin']] }, {}],
])('reads of an admin %j: %j', (claims, expected) => {
  const outcome = readCredential({ ...PAYLOAD, ...claims }, AUDIENCE);
  const { wasAdmin, authTime } = outcome.ok ? outcome.value : {};
  expect(JSON.parse(JSON.stringify({ wasAdmin, authTime }))).toEqual(expected);
});

test.each(['sub', 'iat', 'exp', 'jti', 'client_id', 'sid', 'ep', 'ln', 'aud'] as const)(
  'takes a token without %s for a foreign one',
  (claim) => {
    expect(readCredential(without(claim), AUDIENCE)).toEqual({ ok: false, reason: 'foreign_token' });
  },
);

test.each([
  [{ sub: 'corp' }, 'foreign_token'],
  [{ sub: '/x' }, 'foreign_token'],
  [{ sub: 'corp/' }, 'foreign_token'],
  [{ sub: 7 }, 'foreign_token'],
  [{ sid: '' }, 'foreign_token'],
  [{ ln: '7' }, 'foreign_token'],
  [{ ln: -1 }, 'foreign_token'],
  [{ ln: 1.5 }, 'foreign_token'],
  [{ exp: Number.POSITIVE_INFINITY }, 'foreign_token'],
  [{ aud: [AUDIENCE, 'other'] }, 'foreign_token'],
  [{ aud: [] }, 'foreign_token'],
  [{ aud: clusterAudience('test') }, 'wrong_audience'],
  [{ aud: `${AUDIENCE} ` }, 'wrong_audience'],
  [{ cnf: null }, 'malformed_token'],
  [{ cnf: {} }, 'malformed_token'],
  [{ cnf: { jkt: THUMBPRINT } }, 'malformed_token'],
  [{ cnf: { 'x5t#S256': THUMBPRINT, jkt: 'x' } }, 'malformed_token'],
  [{ cnf: { 'x5t#S256': '' } }, 'malformed_token'],
  [{ cnf: { 'x5t#S256': 7 } }, 'malformed_token'],
])('refuses %j: %s', (changes, reason) => {
  expect(readCredential({ ...PAYLOAD, ...changes }, AUDIENCE)).toEqual({ ok: false, reason });
});

describe('binding', () => {
  const other = 'B'.repeat(43);
  test.each([
    // token, connection, session
    [THUMBPRINT, THUMBPRINT, THUMBPRINT, undefined],
    [THUMBPRINT, undefined, THUMBPRINT, 'certificate_missing'],
    [THUMBPRINT, other, THUMBPRINT, 'certificate_mismatch'],
    [THUMBPRINT, THUMBPRINT, other, 'certificate_mismatch'],
    [THUMBPRINT, THUMBPRINT, undefined, 'certificate_mismatch'],
    [THUMBPRINT, other, other, 'certificate_mismatch'],
    [undefined, THUMBPRINT, THUMBPRINT, 'token_unbound'],
    [undefined, undefined, undefined, 'token_unbound'],
  ])('token %s, connection %s, session %s: %s', (token, presented, session, expected) => {
    expect(checkBinding(token === undefined ? {} : { thumbprint: token }, presented, session)).toBe(expected);
  });

  test.each([
    // token, connection, session
    [undefined, undefined, undefined, undefined],
    [undefined, THUMBPRINT, undefined, undefined],
    // A session that is bound is never reached by a token that is not.
    [undefined, THUMBPRINT, THUMBPRINT, 'token_unbound'],
    [undefined, undefined, THUMBPRINT, 'token_unbound'],
    [THUMBPRINT, undefined, THUMBPRINT, 'certificate_missing'],
  ])(
    'of a client whose tokens may be unbound: token %s, connection %s, session %s: %s',
    (token, presented, session, expected) => {
      expect(checkBinding(token === undefined ? {} : { thumbprint: token }, presented, session, true)).toBe(expected);
    },
  );
});
