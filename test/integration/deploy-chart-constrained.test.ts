/** The rights that the chart renders from `clusters[].impersonate.constrained`. */
import { describe, expect, it } from 'vitest';
import { only, rendered, valuesOf } from '../support/chart.ts';

const set = (setting: string): string[] => ['--set', setting];
const rules = async (...args: string[]): Promise<unknown> =>
  only(await rendered('--values', valuesOf('small'), ...args), 'ClusterRole')['rules'];

describe('the ClusterRole', () => {
  it('has no legacy right where the values say constrained, and reads alone where they say read', async () => {
    const of = async (constrained: string, ...args: string[]) => {
      const prod = { name: 'prod', impersonate: { groups: ['corp:a'], extra: ['example.com/a'], constrained } };
      const settings = ['--set-json', `clusters=${JSON.stringify([prod])}`];
      return (await rules(...settings, ...args)) as readonly { resources?: readonly string[]; verbs: string[] }[];
    };
    const verbs = async (...args: Parameters<typeof of>) => [
      ...new Set((await of(...args)).flatMap((one) => one.verbs)),
    ];
    const on = (mode: string, ...names: string[]) => names.map((name) => `impersonate-on:${mode}:${name}`);
    expect((await verbs('read')).toSorted()).toEqual(
      ['create', 'impersonate:user-info', ...on('user-info', 'create', 'get', 'list', 'watch')].toSorted(),
    );
    expect(await verbs('read', ...set('rbac.serviceAccounts=true'))).toEqual(
      expect.arrayContaining(['impersonate:serviceaccount', ...on('serviceaccount', 'get', 'list', 'watch')]),
    );
    expect(await verbs('all')).toEqual(expect.arrayContaining(on('user-info', '', 'delete', 'post')));
    for (const constrained of ['read', 'all']) expect(await verbs(constrained)).not.toContain('impersonate');
    const names = (await of('read')).flatMap(({ resources = [] }) => resources);
    expect(names).toEqual(expect.arrayContaining(['pods/log', 'userextras/example.com/a']));
    expect(names.filter((each) => /secrets|\/(?:exec|attach|portforward|proxy)$/.test(each))).toEqual([]);
    const group = { apiGroups: ['authentication.k8s.io'], resources: ['groups'], verbs: ['impersonate:user-info'] };
    expect(await of('read')).toContainEqual({ ...group, resourceNames: ['corp:a'] });
  });
});
