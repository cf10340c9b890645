import { describe, expect, test } from 'vitest';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const rule = { verbs: ['delete'], apiGroups: [''], resources: ['pods'] };
const corp = { name: 'corp', clientId: 'portcullis', issuer: 'https://login.example.com' };
const hub = { name: 'hub', type: 'github', clientId: 'p', clientSecretFile: 'client-secret', organizations: ['shop'] };
const withStepUp = (stepUp: unknown, providers: readonly object[] = [corp]): object => ({
  ...settings(),
  providers,
  stepUp,
});
const one = (change: object): object => withStepUp([{ rules: [rule], maxAge: '15m', ...change }]);

describe('stepUp', () => {
  test('is none by default, and the core group is the empty text', async () => {
    expect((await loaded(settings())).config.stepUp).toEqual([]);
    expect((await loaded(one({}))).config.stepUp).toEqual([{ rules: [rule], maxAge: 900 }]);
  });

  test.each<[string, object, string]>([
    ['a cluster that there is not', { clusters: ['prod', 'dev'] }, 'clusters[1]'],
    ['seconds', { maxAge: '59s' }, 'maxAge'],
    ['more than a day', { maxAge: '25h' }, 'maxAge'],
    ['no rule', { rules: [] }, 'rules'],
    ['no verb', { rules: [{ ...rule, verbs: [] }] }, 'rules[0].verbs'],
    ['a verb that no request has', { rules: [rule, { ...rule, verbs: ['delete', 'exec'] }] }, 'rules[1].verbs[1]'],
    [
      'a verb of RBAC that is asked within a request',
      { rules: [{ ...rule, verbs: ['escalate'] }] },
      'rules[0].verbs[0]',
    ],
    ['a misspelt member', { rules: [{ ...rule, namespace: ['shop'] }] }, 'rules[0].namespace'],
    ['resources without a group', { rules: [{ verbs: ['get'], resources: ['pods'] }] }, 'rules[0]'],
    ['a kind in place of a resource', { rules: [{ ...rule, resources: ['Pod'] }] }, 'rules[0].resources[0]'],
    ['a pattern in a name', { rules: [{ ...rule, resourceNames: ['*'] }] }, 'rules[0].resourceNames[0]'],
    ['paths beside resources', { rules: [{ ...rule, nonResourceURLs: ['/metrics'] }] }, 'rules[0].apiGroups'],
    ['the same rule twice', { rules: [rule, rule] }, 'rules[1]'],
  ])('refuses %s', async (_what, change, place) => {
    expect(await placesOf(one(change))).toEqual([`stepUp[0].${place}`]);
  });

  test('says what is meant by a verb that no request has', async () => {
    const [error] = await errorsOf(one({ rules: [{ ...rule, verbs: ['exec'] }] }));
    expect(error?.expected).toContain('did you mean create of pods/exec?');
  });

  test.each<[object, string, string]>([
    [hub, 'providers[1].type', 'github does not say when they signed in'],
    [{ ...corp, name: 'other', freshness: 'none' }, 'providers[1].freshness', 'its freshness is none'],
  ])('refuses a provider whose users can never prove a sign-in: %j', async (provider, place, because) => {
    const [error, ...others] = await errorsOf(withStepUp([{ rules: [rule], maxAge: '15m' }], [corp, provider]));
    expect(others).toEqual([]);
    expect(error).toMatchObject({ path: place, expected: expect.stringContaining(because) });
    expect(error?.expected).toContain('or no stepUp');
    expect((await loaded(withStepUp([], [corp, provider]))).config.stepUp).toEqual([]);
  });

  test('has nothing against workloads, which are refused at each request', async () => {
    const workload = [
      {
        name: 'ci',
        issuer: 'https://ci.example.com',
        match: 'true',
        username: 'claims.sub',
        clusters: ['prod'],
      },
    ];
    const { config } = await loaded({ ...one({}), workload });
    expect(config.stepUp).toHaveLength(1);
  });

  test.each<[object, string]>([
    [{ clusters: [] }, 'stepUp[0].clusters'],
    [{ rules: [{ ...rule, resources: [] }] }, 'stepUp[0].rules[0]'],
    [{ rules: [rule, { ...rule, namespaces: [] }] }, 'stepUp[0].rules[1]'],
    [{ rules: [{ verbs: ['get'], nonResourceURLs: [] }] }, 'stepUp[0].rules[0]'],
    [{ rules: [{ ...rule, verbs: ['impersonate'] }] }, 'stepUp[0].rules[0]'],
  ])('warns of %j, which no request touches', async (change, setting) => {
    const { warnings } = await loaded(one(change));
    expect(warnings).toContainEqual({ setting, message: expect.stringContaining('never asks for a recent sign-in') });
  });

  test('does not warn of what is touched', async () => {
    const impersonate = { verbs: ['impersonate'], apiGroups: ['*'], resources: ['userextras/scopes'] };
    const { warnings } = await loaded(one({ rules: [rule, impersonate] }));
    expect(warnings.map(({ setting }) => setting)).not.toContainEqual(expect.stringContaining('stepUp'));
  });
});
