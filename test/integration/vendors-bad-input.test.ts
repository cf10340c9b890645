import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimsProvider } from '../../src/core/identity/types.ts';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { CALLBACK } from '../support/vendor-idp.ts';
import { rejection, vendor } from '../support/vendors.ts';

const NAMED = { username: 'claims.preferred_username' };
const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('what a provider may send and no user is signed in by', () => {
  let server: HostileProvider;

  beforeEach(async () => {
    server = await startHostileProvider();
  });
  afterEach(() => server.close());

  const provider = (mapping: Partial<ClaimsProvider> = {}): IdentityProvider =>
    vendor(server.issuer, { type: 'oidc' }, { mapping: { ...NAMED, ...mapping } });

  async function finish(corp: IdentityProvider, lies: Lies): Promise<ProviderSignIn> {
    const { challenge } = await corp.begin();
    server.lie(lies);
    const query = { code: challenge.nonce, state: challenge.state, iss: server.issuer };
    return corp.finish(new URL(`${CALLBACK}?${new URLSearchParams(query).toString()}`), challenge);
  }

  const rows: readonly [string, Record<string, unknown>, string, Partial<ClaimsProvider>?][] = [
    ['a name that is null', { preferred_username: null }, 'username_not_string'],
    ['no name', { preferred_username: undefined }, 'username_not_string'],
    ['a name that is a number', { preferred_username: 7 }, 'username_not_string'],
    ['names in a list', { preferred_username: ['alice'] }, 'username_not_string'],
    ['an empty name', { preferred_username: '' }, 'username_empty'],
    ['a name that begins with a space', { preferred_username: ' alice' }, 'username_white_space'],
    ['a name with a line break', { preferred_username: 'alice\r\nImpersonate-Group: x' }, 'username_characters'],
    ['a name that is read from right to left', { preferred_username: 'a\u202Ebob' }, 'username_characters'],
    ['a name of 5 kB', { preferred_username: 'a'.repeat(5000) }, 'username_too_long'],
    [
      'a name that Kubernetes reserves',
      { preferred_username: 'system:admin' },
      'username_reserved',
      { usernamePrefix: '' },
    ],
    ['one of Kubernetes’ own groups', { groups: ['system:masters'] }, 'group_reserved', { groupsPrefix: '' }],
    ['groups that are null', { groups: null }, 'groups_not_strings'],
    ['groups that are numbers', { groups: [1, 2] }, 'groups_not_strings'],
    ['groups by name and id', { groups: { dev: 1 } }, 'groups_not_strings'],
    ['a group with a control character', { groups: ['dev\u0000'] }, 'group_characters'],
    ['300 kB of groups', { groups: Array.from({ length: 20_000 }, (_, index) => `group-${index}`) }, 'groups_too_many'],
    ['a marker that there are too many', { _claim_names: { groups: 'src1' } }, 'groups_overage'],
  ];
  it.each(rows)('%s', async (_name, claims, reason, mapping) => {
    const lies: Lies = { idToken: (honest) => ({ ...honest, ...claims }) };
    expect(await rejection(finish(provider(mapping), lies))).toMatchObject({ code: 'sign_in_refused', reason });
  });

  /** The honest token with another header, and a signature made of what is public. */
  const forged =
    (header: object, sign: (input: string) => string): NonNullable<Lies['token']> =>
    (honest) => {
      const input = `${encoded(header)}.${String(honest['id_token']).split('.')[1] ?? ''}`;
      return { status: 200, body: JSON.stringify({ ...honest, id_token: `${input}.${sign(input)}` }) };
    };

  it('an ID token without a signature', async () => {
    for (const alg of ['none', 'None', 'NONE']) {
      const error = await rejection(finish(provider(), { token: forged({ alg }, () => '') }));
      expect(error).toMatchObject({ code: 'provider_unavailable' });
    }
  });

  it('an ID token signed with the public key, or the client’s secret, as if it were a shared key', async () => {
    const keys = await (await fetch(`${server.issuer}/jwks`)).text();
    for (const secret of [keys, 's3cret-of-the-gate']) {
      const sign = (input: string): string => createHmac('sha256', secret).update(input).digest('base64url');
      const error = await rejection(finish(provider(), { token: forged({ alg: 'HS256', kid: 'k1' }, sign) }));
      expect(error).toMatchObject({ code: 'provider_unavailable' });
    }
  });

  it.each([
    ['a subject that is a number', { sub: 42 }],
    ['an empty subject', { sub: '' }],
    ['a subject that is missing', { sub: undefined }],
    ['a token that counts from tomorrow on', { nbf: Math.floor(Date.now() / 1000) + 86_400 }],
  ])('an ID token with %s', async (_name, claims) => {
    const lies: Lies = { idToken: (honest) => ({ ...honest, ...claims }) as typeof honest };
    expect(await rejection(finish(provider(), lies))).toMatchObject({ code: 'provider_unavailable' });
  });

  it('but a user is signed in by a clock that is less than a minute off', async () => {
    const nbf = Math.floor(Date.now() / 1000) + 45;
    const user = await finish(provider(), { idToken: (honest) => ({ ...honest, nbf }) });
    expect(user.subject).toBe('42');
  });
});
