import { describe, expect, it } from 'vitest';
import type { Outbound } from '../../../src/idp/outbound.ts';
import { allPages } from '../../../src/idp/vendors/api.ts';
import { readsGroups } from '../../../src/idp/vendors/groups.ts';

const API = 'https://api.example.com/groups';

/** Every page names `next` as the one after it. */
function api(next: string | undefined): { readonly outbound: Outbound; readonly asked: string[] } {
  const asked: string[] = [];
  const outbound: Outbound = async (url) => {
    asked.push(url);
    return new Response(JSON.stringify({ next }));
  };
  return { outbound, asked };
}

const read = (outbound: Outbound): Promise<readonly string[]> =>
  allPages({
    provider: 'corp',
    outbound,
    first: API,
    accessToken: 'token-of-alice',
    read: (body) => ({ items: [], next: (body as { next?: string }).next }),
    maxGroups: 10,
    reason: 'groups_overage',
    rejection: 'no',
  });

describe('the pages of a vendor’s API', () => {
  it.each([
    'https://evil.example/groups',
    'https://api.example.com:8443/groups',
    'https://api.example.com.evil.example/groups',
    'https://api.example.com@evil.example/groups',
    'http://api.example.com/groups',
    '//evil.example/groups',
    'nonsense',
  ])('do not lead the user’s token to %s', async (next) => {
    const { outbound, asked } = api(next);
    await expect(read(outbound)).rejects.toMatchObject({ code: 'provider_unavailable', reason: 'groups_overage' });
    expect(asked).toEqual([API]);
  });

  it('end', async () => {
    const { outbound } = api(undefined);
    await expect(read(outbound)).resolves.toEqual([]);
    const endless = api(API);
    await expect(read(endless.outbound)).rejects.toMatchObject({ code: 'provider_unavailable' });
    expect(endless.asked.length).toBeLessThan(100);
  });
});

describe('whether groups are worth a request', () => {
  const plain = { username: 'claims.sub', extra: {}, rules: [] };
  it.each([
    ['no expression reads them', plain, false],
    ['groups are roles', { ...plain, groups: 'claims.roles' }, false],
    ['they are the groups', { ...plain, groups: 'claims.groups' }, true],
    ['they are a part of the groups', { ...plain, groups: 'claims.roles + claims.groups' }, true],
    ['they are read by index', { ...plain, groups: 'claims["groups"]' }, true],
    ['a name is worked out', { ...plain, groups: 'claims["gro" + "ups"]' }, true],
    ['a rule keeps out by them', { ...plain, rules: [{ expression: '!("contractors" in claims.groups)' }] }, true],
    ['an extra is made of them', { ...plain, extra: { 'example.com/teams': 'claims.groups' } }, true],
  ])('%s', (_name, provider, expected) => {
    expect(readsGroups(provider)).toBe(expected);
  });
});
