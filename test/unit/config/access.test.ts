import { describe, expect, test } from 'vitest';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const ROLE = {
  name: 'shop-admins',
  description: 'Repairs in the shop',
  groups: ['shop-admins'],
  requesters: ['corp:dev'],
  approval: { groups: ['corp:leads'] },
  longest: '4h',
};
const corp = { name: 'corp', clientId: 'portcullis', issuer: 'https://login.example.com' };
const hub = { name: 'hub', type: 'github', clientId: 'p', clientSecretFile: 'client-secret', organizations: ['shop'] };

type Changes = Readonly<Record<string, unknown>>;

function withRoles(roles: readonly object[], { providers = [corp], groups = '*', ...access }: Changes = {}): object {
  const base = settings();
  const clusters = base.clusters.map((cluster) => ({ ...cluster, impersonate: { groups } }));
  return { ...base, clusters, providers, access: { roles, ...access } };
}
const one = (change: Changes): object => withRoles([{ ...ROLE, ...change }]);
const warningsOf = async (document: object): Promise<readonly string[]> =>
  (await loaded(document)).warnings.map(({ setting }) => setting).filter((setting) => setting.startsWith('access'));

describe('access', () => {
  test('has no role by default, and a role has one approver, no reason and every cluster', async () => {
    expect((await loaded(settings())).config.access).toEqual({ roles: [], freshness: 900, notify: [] });
    expect((await loaded(one({}))).config.access.roles).toEqual([
      { ...ROLE, approval: { groups: ['corp:leads'], count: 1 }, longest: 14_400 },
    ]);
  });

  test.each<[string, Changes, string]>([
    ['an approval that was forgotten', { approval: undefined }, 'approval'],
    ['an approval that is neither', { approval: 'anyone' }, 'approval'],
    ['no approver needed', { approval: { groups: ['corp:leads'], count: 0 } }, 'approval.count'],
    ['a cluster that there is not', { clusters: ['prod', 'dev'] }, 'clusters[1]'],
    ['no group', { groups: [] }, 'groups'],
    ['a group of Kubernetes itself', { groups: ['shop-admins', 'system:masters'] }, 'groups[1]'],
    ['the same in capitals', { groups: ['System:Masters'] }, 'groups[0]'],
    ['requesters that every user is among', { requesters: ['system:authenticated'] }, 'requesters[0]'],
    ['approvers that every user is among', { approval: { groups: ['system:authenticated'] } }, 'approval.groups[0]'],
    ['a group twice', { groups: ['a', 'b', 'a'] }, 'groups[2]'],
    ['a group with a line break', { groups: ['a\nb'] }, 'groups[0]'],
    ['a group with a blank behind it', { requesters: ['corp:dev '] }, 'requesters[0]'],
    ['a pattern that is none', { reason: 'INC-[0-9+' }, 'reason'],
    ['a pattern that only a group around it makes valid', { reason: 'a)|(?:b' }, 'reason'],
    ['a pattern that looks back, which takes exponential time', { reason: '(a+)+\\1' }, 'reason'],
    ['a pattern that is too large', { reason: '((a{30}){30}){30}' }, 'reason'],
    ['a minute less a second', { longest: '59s' }, 'longest'],
    ['more than a day', { longest: '25h' }, 'longest'],
    ['a name that is no label', { name: 'Shop Admins' }, 'name'],
  ])('refuses %s', async (_what, change, place) => {
    expect(await placesOf(one(change))).toEqual([`access.roles[0].${place}`]);
  });

  test('refuses two roles of one name', async () => {
    expect(await placesOf(withRoles([ROLE, ROLE]))).toEqual(['access.roles[1].name']);
  });

  test('refuses groups that no cluster of the role may impersonate', async () => {
    expect(await placesOf(withRoles([ROLE], { groups: ['others'] }))).toEqual(['access.roles[0].groups[0]']);
    expect(await warningsOf(withRoles([ROLE], { groups: ['others', 'shop-admins'] }))).toEqual([]);
  });

  test.each<[string, Changes, Changes, string]>([
    ['requesters', { requesters: ['hub:shop'], freshness: '1h' }, {}, 'requesters[0]'],
    ['approvers', { approval: { groups: ['corp:leads', 'hub:shop'] } }, {}, 'approval.groups[1]'],
  ])('refuses %s who can never prove a fresh sign-in', async (_what, change, access, place) => {
    const document = withRoles([{ ...ROLE, ...change }], { providers: [corp, hub], ...access });
    const [error, ...others] = await errorsOf(document);
    expect(others).toEqual([]);
    expect(error).toMatchObject({ path: `access.roles[0].${place}` });
    expect(error?.expected).toContain('github does not say when they signed in');
  });

  test('has nothing against such groups where no fresh sign-in is needed', async () => {
    const role = { ...ROLE, requesters: ['hub:shop'], approval: { groups: ['hub:shop'] } };
    const { config } = await loaded(withRoles([role], { providers: [corp, hub], freshness: 'off' }));
    expect(config.access.roles).toHaveLength(1);
  });

  test('warns of a role that no one can get, and of one that an attacker has at once', async () => {
    expect(await warningsOf(one({}))).toEqual([]);
    expect(await warningsOf(one({ requesters: [], approval: { groups: [] } }))).toEqual([
      'access.roles[0].requesters',
      'access.roles[0].approval.groups',
    ]);
    expect(await warningsOf(one({ clusters: [] }))).toEqual(['access.roles[0].clusters']);
    expect(await warningsOf(one({ approval: 'none' }))).toEqual(['access.roles[0].approval']);
    expect(await warningsOf(one({ approval: 'none', reason: 'INC-[0-9]+' }))).toEqual([]);
    expect(await warningsOf(withRoles([ROLE], { freshness: 'off' }))).toEqual(['access.freshness']);
  });
});
