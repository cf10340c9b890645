import { describe, expect, test } from 'vitest';
import { PROVIDER_TYPES, PROVIDERS } from '../../../src/core/identity/provider-types.ts';
import { createGithubProvider } from '../../../src/idp/github/github.ts';
import { createVendorProvider } from '../../../src/idp/vendors/vendors.ts';
import { compileMapping } from '../../../src/core/identity/claims.ts';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const OWN = { issuer: 'https://login.example.com' };
const corp = { name: 'corp', clientId: 'portcullis', ...OWN };
const hub = {
  name: 'hub',
  type: 'github',
  clientId: 'portcullis',
  clientSecretFile: 'client-secret',
  organizations: '*',
};
const google = {
  name: 'goo',
  type: 'google',
  clientId: 'portcullis',
  serviceAccountFile: 'token',
  impersonatedAdmin: 'admin@example.com',
};

const withAdmins = (admin: object, ...providers: object[]) => ({
  ...settings(),
  providers: [corp, ...providers],
  admin,
});

describe('admin.freshness', () => {
  test.each([
    [{}, 900],
    [{ freshness: '1m' }, 60],
    [{ freshness: '24h' }, 86_400],
    [{ freshness: 'off' }, 'off'],
  ])('of %j is %j', async (admin, expected) => {
    const { config } = await loaded(withAdmins(admin));
    expect(config.admin.freshness).toBe(expected);
  });

  test('that is off is worth a sentence at each start', async () => {
    const { warnings } = await loaded(withAdmins({ groups: ['corp:a'], freshness: 'off' }));
    expect(warnings).toContainEqual(expect.objectContaining({ setting: 'admin.freshness' }));
  });

  test.each(['59s', '25h', '0s', 'on', '15', 900, true, ''])('is no %j', async (freshness) => {
    const [error] = await errorsOf(withAdmins({ freshness }));
    expect(error).toMatchObject({ path: 'admin.freshness', expected: expect.stringContaining('1m to 24h') });
  });
});

describe('providers[].freshness', () => {
  test.each([
    [{ ...corp, name: 'idp' }, 'auto'],
    [{ ...corp, name: 'idp', freshness: 'login' }, 'login'],
    [{ ...corp, name: 'idp', freshness: 'none' }, 'none'],
    [{ ...hub, freshness: 'none' }, 'none'],
    [hub, 'none'],
  ])('of %j is %j', async (provider, expected) => {
    const { config } = await loaded(withAdmins({}, provider));
    expect(config.providers[1]?.freshness).toBe(expected);
  });

  test.each([
    ['a word of its own', { ...corp, name: 'idp', freshness: 'off' }],
    ['a proof of a type that has none', { ...hub, freshness: 'auto' }],
  ])('is an error as %s', async (_name, provider) => {
    expect(await placesOf(withAdmins({}, provider))).toEqual(['providers[1].freshness']);
  });
});

describe('an admin group of a provider that does not say when a user signed in', () => {
  test.each<[string, object, object, readonly string[]]>([
    ['GitHub', hub, { groups: ['corp:platform', 'hub:example/platform'] }, ['admin.groups[1]']],
    ['Google with its directory', google, { groups: ['goo:platform'] }, ['admin.groups[0]']],
    [
      'Google with groups of one’s own making',
      { name: 'goo', type: 'google', clientId: 'x', groups: '["all"]' },
      { groups: ['goo:all'] },
      ['admin.groups[0]'],
    ],
    [
      'an empty prefix, which begins every group',
      { ...hub, groupsPrefix: '' },
      { groups: ['corp:platform'] },
      ['admin.groups[0]'],
    ],
    [
      'a prefix that begins another’s',
      { ...hub, groupsPrefix: 'co' },
      { groups: ['corp:platform'] },
      ['admin.groups[0]'],
    ],
    [
      'a provider of the standard that is said to prove nothing',
      { ...corp, name: 'idp', groups: 'claims.groups', freshness: 'none' },
      { groups: ['idp:platform'] },
      ['admin.groups[0]'],
    ],
    ['every such group', hub, { groups: ['hub:a', 'hub:b'] }, ['admin.groups[0]', 'admin.groups[1]']],
    ['a freshness of its own', hub, { groups: ['hub:a'], freshness: '1h' }, ['admin.groups[0]']],
  ])('is an error: %s', async (_name, provider, admin, places) => {
    expect(await placesOf(withAdmins(admin, provider))).toEqual(places);
  });

  test('is told with the group, the provider, and what to do', async () => {
    const [error] = await errorsOf(withAdmins({ groups: ['hub:example/platform'] }, hub));
    for (const word of ['"hub:example/platform"', 'hub', 'github', 'another provider', 'admin.freshness: off']) {
      expect(error?.expected).toContain(word);
    }
  });

  test('is reported beside an error elsewhere in the same section', async () => {
    const admin = { groups: ['hub:a'], freshness: '1s' };
    expect(await placesOf(withAdmins(admin, hub))).toEqual(['admin.freshness', 'admin.groups[0]']);
  });

  test.each<[string, object, object]>([
    ['while it is off', hub, { groups: ['hub:a'], freshness: 'off' }],
    ['where no admin group is theirs', hub, { groups: ['corp:platform'] }],
    ['where they are auditors, who change nothing', hub, { groups: ['corp:platform'], auditors: ['hub:a'] }],
    ['where no user is in a group by it', { name: 'goo', type: 'google', clientId: 'x' }, { groups: ['goo:platform'] }],
    ['where the provider says it', { name: 'ms', type: 'entra', clientId: 'x', tenant: TENANT }, { groups: ['ms:a'] }],
  ])('is none %s', async (_name, provider, admin) => {
    await expect(loaded(withAdmins(admin, provider))).resolves.toBeDefined();
  });
});

/** Two modules have it, since neither may import the other. */
test.each(PROVIDER_TYPES)(
  'whether %s says when a user signed in is the same in the configuration and towards the provider',
  (type) => {
    const mapping = compileMapping({
      name: 'corp',
      usernamePrefix: '',
      groupsPrefix: '',
      username: 'claims.sub',
      extra: {},
      emailVerified: 'claim',
      rules: [],
      userRules: [],
    });
    if (!mapping.ok) throw new Error('the mapping does not compile');
    const common = {
      name: 'corp',
      issuer: OWN.issuer,
      clientId: 'x',
      clientSecret: () => 'x',
      hosts: [],
      redirectUri: 'https://portcullis.example/callback/corp',
      mapping: mapping.value,
      clock: { nowMs: Date.now },
    };
    const groups = { wantsGroups: true, maxGroups: 10 };
    const provider =
      type === 'github'
        ? createGithubProvider({ ...common, host: 'github.com' })
        : createVendorProvider(
            type === 'entra'
              ? { ...common, ...groups, type, tenant: TENANT, groupsAs: 'id' }
              : { ...common, ...groups, type },
          );
    expect(provider.provesFreshness).toBe(PROVIDERS[type].provesFreshness);
  },
);
