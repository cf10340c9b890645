import { describe, expect, it } from 'vitest';

import { policyRule, ruleAllows } from '../../../../../demo/cluster/rbac/rules.ts';
import type { Attributes } from '../../../../../demo/cluster/rbac/rules.ts';

const wants = (
  verb: string,
  resource: string,
  more: Partial<NonNullable<Attributes['resource']>> = {},
): Attributes => ({
  verb,
  resource: { group: '', namespace: 'default', subresource: '', name: '', ...more, resource },
});
const path = (verb: string, at: string): Attributes => ({ verb, path: at });

const pods = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };
const everything = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] };
const extras = {
  verbs: ['impersonate'],
  apiGroups: ['authentication.k8s.io'],
  resources: ['userextras/portcullis.dev/session'],
};
const extra = { group: 'authentication.k8s.io', name: 'x' };

describe('a rule', () => {
  it.each([
    ['its verb and resource', pods, wants('get', 'pods'), true],
    ['no other verb', pods, wants('delete', 'pods'), false],
    ['no other resource', pods, wants('get', 'secrets'), false],
    ['no other API group', pods, wants('get', 'pods', { group: 'metrics.k8s.io' }), false],
    ['no subresource that it does not name', pods, wants('get', 'pods', { subresource: 'exec' }), false],
    ['a subresource by name', { ...pods, resources: ['pods/log'] }, wants('get', 'pods', { subresource: 'log' }), true],
    ['not the resource of a subresource', { ...pods, resources: ['pods/log'] }, wants('get', 'pods'), false],
    [
      'a subresource of any resource',
      { ...pods, resources: ['*/log'] },
      wants('get', 'pods', { subresource: 'log' }),
      true,
    ],
    ['everything by stars', everything, wants('create', 'pods', { subresource: 'exec', group: 'x' }), true],
    ['no path by stars for resources', everything, path('get', '/metrics'), false],
    ['a named object', { ...pods, resourceNames: ['web-1'] }, wants('get', 'pods', { name: 'web-1' }), true],
    ['no other object', { ...pods, resourceNames: ['web-1'] }, wants('get', 'pods', { name: 'web-2' }), false],
    ['no list where it names objects', { ...pods, resourceNames: ['web-1'] }, wants('list', 'pods'), false],
    [
      'an extra key with a slash',
      extras,
      wants('impersonate', 'userextras', { ...extra, subresource: 'portcullis.dev/session' }),
      true,
    ],
    ['no other extra key', extras, wants('impersonate', 'userextras', { ...extra, subresource: 'scopes' }), false],
    ['a path', { verbs: ['get'], nonResourceURLs: ['/version'] }, path('get', '/version'), true],
    ['a path below a star', { verbs: ['get'], nonResourceURLs: ['/api/*'] }, path('get', '/api/v1'), true],
    ['no path beside a star', { verbs: ['get'], nonResourceURLs: ['/api/*'] }, path('get', '/apis'), false],
    ['no resource by a path', { verbs: ['*'], nonResourceURLs: ['*'] }, wants('get', 'pods'), false],
  ])('allows %s', (_what, rule, wanted, allowed) => {
    expect(ruleAllows(policyRule(rule), wanted)).toBe(allowed);
  });
});
