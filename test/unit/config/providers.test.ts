import { expect, test } from 'vitest';
import { loaded, placesOf, settings } from './sandbox.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const BASE = { name: 'corp', clientId: 'portcullis' };
const OWN = { issuer: 'https://login.example.com' };
const KEY = { serviceAccountFile: 'token', impersonatedAdmin: 'admin@example.com' };

const withProvider = (provider: object): ReturnType<typeof settings> => ({
  ...settings(),
  providers: [{ ...BASE, ...provider }],
  // Anyone who may be an admin is another test's matter.
  admin: {},
});

test.each([
  [
    { type: 'oidc', ...OWN },
    { issuer: OWN.issuer, username: 'claims.email', groups: undefined },
  ],
  [
    { type: 'okta', ...OWN },
    { issuer: OWN.issuer, username: 'claims.preferred_username', groups: 'claims.groups' },
  ],
  [
    { type: 'keycloak', ...OWN },
    { username: 'claims.preferred_username', groups: 'claims.groups' },
  ],
  [{ type: 'google' }, { issuer: 'https://accounts.google.com', username: 'claims.email', groups: undefined }],
  [
    { type: 'google', ...KEY },
    { groups: 'claims.groups', impersonatedAdmin: 'admin@example.com' },
  ],
  [
    { type: 'entra', tenant: TENANT },
    {
      issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
      username: 'claims.preferred_username',
      groups: 'claims.groups',
    },
  ],
])('a provider %j has what its type is like', async (provider, expected) => {
  const { config } = await loaded(withProvider(provider));
  const [first] = config.providers;
  expect({ groups: undefined, ...first }).toMatchObject({
    usernamePrefix: 'corp:',
    groupsPrefix: 'corp:',
    ...expected,
  });
});

test.each([
  ['an issuer of one’s own for Google', { type: 'google', ...OWN }, ['providers[0].issuer']],
  ['an issuer of one’s own for Entra', { type: 'entra', tenant: TENANT, ...OWN }, ['providers[0].issuer']],
  ['further hosts for Google', { type: 'google', hosts: ['evil.example'] }, ['providers[0].hosts']],
  ['a type that there is not', { type: 'saml', ...OWN }, ['providers[0].type']],
  ['Entra without a tenant', { type: 'entra' }, ['providers[0].tenant']],
  ['every tenant in the world', { type: 'entra', tenant: 'common' }, ['providers[0].tenant']],
  ['a tenant by its domain', { type: 'entra', tenant: 'example.onmicrosoft.com' }, ['providers[0].tenant']],
  ['Okta without an issuer', { type: 'okta' }, ['providers[0].issuer']],
  ['a tenant of Keycloak', { type: 'keycloak', ...OWN, tenant: TENANT }, ['providers[0].tenant']],
  [
    'a service account without an administrator',
    { type: 'google', serviceAccountFile: 'token' },
    ['providers[0].impersonatedAdmin'],
  ],
  [
    'an administrator without a service account',
    { type: 'google', impersonatedAdmin: 'admin@example.com' },
    ['providers[0].serviceAccountFile'],
  ],
  [
    'a service account’s key that is not there',
    { type: 'google', ...KEY, serviceAccountFile: 'missing.json' },
    ['providers[0].serviceAccountFile'],
  ],
])('refuses %s', async (_name, provider, places) => {
  expect(await placesOf(withProvider(provider))).toEqual(places);
});

test('says at each start that anyone who makes groups chooses their names', async () => {
  const { warnings } = await loaded(withProvider({ type: 'entra', tenant: TENANT, groupsAs: 'name' }));
  expect(warnings).toContainEqual(expect.objectContaining({ setting: 'providers[0].groupsAs' }));
});
