import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimsProvider } from '../../src/core/identity/types.ts';
import type { AppError } from '../../src/core/errors.ts';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { graphAnswer, startVendorApi, type VendorApi } from '../support/vendor-api.ts';
import { startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const ALICE = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';

/** @see https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference */
const CLAIMS = {
  tid: TENANT,
  oid: ALICE,
  ver: '2.0',
  preferred_username: 'alice@example.com',
  name: 'Alice',
  roles: ['Operator'],
  groups: ['group-1', 'group-2'],
  _claim_names: undefined,
  _claim_sources: undefined,
  hasgroups: undefined,
};

/** @see https://learn.microsoft.com/en-us/security/zero-trust/develop/configure-tokens-group-claims-app-roles#group-overages */
const OVERAGE = {
  ...CLAIMS,
  groups: undefined,
  _claim_names: { groups: 'src1' },
  _claim_sources: { src1: { endpoint: `https://graph.windows.net/${TENANT}/users/${ALICE}/getMemberObjects` } },
};

const group = (index: number): object => ({
  '@odata.type': '#microsoft.graph.group',
  id: `group-${index}`,
  displayName: `Group ${index}`,
});

describe('a provider of type entra', () => {
  let idp: VendorIdp;
  let graph: VendorApi;

  beforeAll(async () => {
    graph = await startVendorApi();
  });
  afterAll(() => graph.close());
  beforeEach(async () => {
    idp = await startVendorIdp({ scopes: ['openid', 'profile', 'email', 'offline_access'], claims: CLAIMS });
    graph.asked.length = 0;
    graph.answer = graphAnswer(
      graph,
      Array.from({ length: 1250 }, (_, index) => group(index)),
    );
  });
  afterEach(() => idp.close());

  const entra = (
    options: { groupsAs?: 'id' | 'name'; maxGroups?: number } = {},
    mapping: Partial<ClaimsProvider> = {},
  ): IdentityProvider =>
    vendor(
      idp.issuer,
      { type: 'entra', tenant: TENANT, groupsAs: options.groupsAs ?? 'id', ca: () => graph.ca },
      { maxGroups: options.maxGroups ?? 2000, mapping },
      { graph: graph.origin, googleApi: 'https://localhost:1', googleToken: 'https://localhost:1/token' },
    );

  const withOverage = async (provider: IdentityProvider): Promise<ProviderSignIn> => {
    idp.claims = OVERAGE;
    return signIn(idp, provider);
  };

  it('identifies an account by tenant and object id, and needs no verified e-mail address for its name', async () => {
    const user = await signIn(idp, entra());
    expect(user).toMatchObject({
      subject: `${TENANT}.${ALICE}`,
      identity: { username: 'corp:alice@example.com', groups: ['corp:group-1', 'corp:group-2'] },
    });
    expect(user.refreshToken).toBeTypeOf('string');
    expect(graph.asked).toEqual([]);
    expect(idp.asked).not.toContain('/me');
  });

  it('asks for offline access without a page for consent, and for what Graph needs only where groups are used', async () => {
    const { url } = await entra().begin();
    expect(url.searchParams.get('prompt')).toBeNull();
    expect(url.searchParams.get('scope')).toBe(
      'openid profile email offline_access https://graph.microsoft.com/User.Read',
    );
    const names = await entra({ groupsAs: 'name' }).begin({ fresh: true });
    expect(names.url.searchParams.get('prompt')).toBe('login');
    expect(names.url.searchParams.get('scope')).toContain('https://graph.microsoft.com/GroupMember.Read.All');
    const roles = await entra({}, { groups: 'claims.roles' }).begin();
    expect(roles.url.searchParams.get('scope')).toBe('openid profile email offline_access');
  });

  it.each([
    ['of another tenant', { tid: '99999999-2222-3333-4444-555555555555' }, 'tenant_foreign'],
    ['of no tenant', { tid: undefined }, 'tenant_foreign'],
    ['without an object id', { oid: undefined }, 'oid_missing'],
    ['whose object id is none', { oid: '../x' }, 'oid_missing'],
  ])('rejects a user %s', async (_name, claims, reason) => {
    idp.claims = { ...CLAIMS, ...claims };
    expect(await rejection(signIn(idp, entra()))).toMatchObject({ code: 'sign_in_refused', reason });
  });

  it('uses app roles as groups, and then does not ask Graph, whatever groups the token has', async () => {
    const user = await withOverage(entra({}, { groups: 'claims.roles' }));
    expect(user.identity.groups).toEqual(['corp:Operator']);
    expect(graph.asked).toEqual([]);
  });

  // @see https://learn.microsoft.com/en-us/graph/api/user-list-transitivememberof
  it('reads all pages from Graph where the token is too small, and leaves out what is no group', async () => {
    const others = [
      { '@odata.type': '#microsoft.graph.directoryRole', id: 'role', displayName: 'Global Administrator' },
      { '@odata.type': '#microsoft.graph.administrativeUnit', id: 'unit', displayName: 'Unit' },
    ];
    graph.answer = graphAnswer(graph, [...others, ...Array.from({ length: 1250 }, (_, index) => group(index))]);
    const { identity } = await withOverage(entra());
    expect(identity.groups).toHaveLength(1250);
    expect(identity.groups).toContain('corp:group-1249');
    expect(graph.asked).toHaveLength(2);
    for (const { authorization } of graph.asked) expect(authorization).toMatch(/^Bearer ./);
  });

  it('resolves the marker of the implicit flow too', async () => {
    idp.claims = { ...CLAIMS, groups: undefined, hasgroups: true };
    expect((await signIn(idp, entra())).identity.groups).toHaveLength(1250);
  });

  it('uses the names of Graph for groups where that is configured', async () => {
    graph.answer = graphAnswer(graph, [group(1)]);
    expect((await signIn(idp, entra({ groupsAs: 'name' }))).identity.groups).toEqual(['corp:Group 1']);
  });

  it('rejects more groups than can be used, without reading on', async () => {
    expect(await rejection(withOverage(entra({ maxGroups: 100 })))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'groups_too_many',
    });
    expect(graph.asked).toHaveLength(1);
  });

  const elsewhere = { '@odata.nextLink': 'https://evil.example/v1.0/me/transitiveMemberOf' };
  it.each([
    ['forbids it', { status: 403, body: {} }, 'sign_in_refused'],
    ['does not know the token', { status: 401, body: {} }, 'sign_in_refused'],
    ['has had too many requests', { status: 429, body: {} }, 'provider_unavailable'],
    ['is broken', { status: 503, body: {} }, 'provider_unavailable'],
    ['goes elsewhere', { status: 302, body: {} }, 'provider_unavailable'],
    ['answers nonsense', { body: { value: 'all of them' } }, 'provider_unavailable'],
    ['names a next page at another host', { body: { value: [], ...elsewhere } }, 'provider_unavailable'],
  ])('never treats a user as one without groups where Graph %s', async (_name, answer, code) => {
    graph.answer = () => answer;
    expect(await rejection(withOverage(entra()))).toMatchObject({ code, reason: 'groups_overage' });
    expect(graph.asked).toHaveLength(1);
  });

  it('does not read pages without end', async () => {
    graph.answer = ({ url }) => ({ body: { value: [], '@odata.nextLink': url.href } });
    expect(await rejection(withOverage(entra()))).toMatchObject({
      code: 'provider_unavailable',
      reason: 'groups_overage',
    });
    expect(graph.asked.length).toBeLessThan(100);
  });

  it('does not treat a group as one without a name where Graph may not show it', async () => {
    graph.answer = graphAnswer(graph, [{ ...group(1), displayName: null }]);
    expect(await rejection(signIn(idp, entra({ groupsAs: 'name' })))).toMatchObject({ reason: 'groups_unresolved' });
  });

  it('stores a rotated refresh token before it asks Graph, so that it is not lost when Graph fails', async () => {
    const provider = entra();
    const first = await withOverage(provider);
    graph.answer = () => ({ status: 503, body: {} });
    const kept: string[] = [];
    const keep = async (newest: string): Promise<void> => void kept.push(newest);
    const error = await rejection(provider.recheck(first.subject, first.refreshToken ?? '', keep));
    expect(error satisfies AppError).toMatchObject({ code: 'provider_unavailable' });
    expect(kept).toEqual([expect.any(String)]);
    graph.answer = graphAnswer(graph, [group(7)]);
    const second = await provider.recheck(first.subject, kept[0] ?? '', keep);
    expect(second.identity.groups).toEqual(['corp:group-7']);
  });

  it('rejects a re-check that returns another user of the tenant', async () => {
    const provider = entra();
    const first = await signIn(idp, provider);
    idp.claims = { ...CLAIMS, oid: 'ffffffff-bbbb-cccc-dddd-eeeeeeeeeeee' };
    expect(await rejection(provider.recheck(first.subject, first.refreshToken ?? ''))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'subject_changed',
    });
  });
});
