import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { parseLimit } from '../../../../src/core/delegation/parse.ts';

const rule = (members: object) => ({ rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], ...members }] });
const many = (count: number) => Array.from({ length: count }, (_each, index) => `name-${index}`);

describe('a limit is rejected, with the place, for', () => {
  it.each<readonly [name: string, value: unknown, place: string, message: string]>([
    ['nothing', undefined, '', 'must be an object'],
    ['a list', [], '', 'must be an object'],
    ['no member', {}, '', 'would limit nothing'],
    ['a member of another name', { namespace: ['shop'] }, 'namespace', 'did you mean namespaces?'],
    ['a preset of another name', { preset: 'readonly' }, 'preset', 'must be read-only or read-only-with-secrets'],
    ['an empty member', { preset: 'read-only', namespaces: null }, 'namespaces', 'is empty'],
    ['a text for a list', { namespaces: 'shop' }, 'namespaces', 'must be a list'],
    ['all namespaces', { namespaces: ['*'] }, 'namespaces[0]', 'leave the list out'],
    ['no name of a namespace', { namespaces: ['shop', ''] }, 'namespaces[1]', 'cannot be the name of a namespace'],
    ['a namespace twice', { namespaces: ['shop', 'shop'] }, 'namespaces[1]', '"shop" is given twice'],
    ['a rule twice', { rules: [...rule({}).rules, ...rule({}).rules] }, 'rules[1]', 'given twice'],
    ['a rule without verbs', { rules: [{ resources: ['pods'] }] }, 'rules[0]', 'a rule needs verbs'],
    ['a rule about nothing', { rules: [{ verbs: ['get'] }] }, 'rules[0]', 'needs resources, or nonResourceURLs'],
    ['no API group', { rules: [{ verbs: ['get'], resources: ['pods'] }] }, 'rules[0]', '[""] is the core group'],
    ['a member of a rule of another name', rule({ verb: ['get'] }), 'rules[0].verb', 'did you mean verbs?'],
    ['a rule about both', rule({ nonResourceURLs: ['/metrics'] }), 'rules[0].apiGroups', 'make two rules of it'],
    ['a number', rule({ resourceNames: [5] }), 'rules[0].resourceNames[0]', 'must be a text'],
    ['a control character', rule({ resourceNames: ['a\nb'] }), 'rules[0].resourceNames[0]', 'control character'],
    [
      'a text that turns around',
      rule({ resourceNames: ['a\u202eb'] }),
      'rules[0].resourceNames[0]',
      'control character',
    ],
    ['all names', rule({ resourceNames: ['*'] }), 'rules[0].resourceNames[0]', 'leave the list out'],
    ['a verb that is none', rule({ verbs: ['read'] }), 'rules[0].verbs[0]', 'did you mean get, list and watch?'],
    ['a verb with a typo', rule({ verbs: ['get', 'lst'] }), 'rules[0].verbs[1]', 'did you mean list?'],
    ['a method', rule({ verbs: ['post'] }), 'rules[0].verbs[0]', 'did you mean create?'],
    ['exec', rule({ verbs: ['exec'] }), 'rules[0].verbs[0]', 'create of pods/exec'],
    ['a verb inside requests', rule({ verbs: ['bind'] }), 'rules[0].verbs[0]', 'checks it inside a create'],
    [
      'another one',
      rule({ verbs: ['unsafe-delete-ignore-read-errors'] }),
      'rules[0].verbs[0]',
      'checks it inside a create',
    ],
    ['a constrained verb', rule({ verbs: ['impersonate:user-info'] }), 'rules[0].verbs[0]', 'here it is "impersonate"'],
    ['a verb for a path', { rules: [{ verbs: ['list'], nonResourceURLs: ['/x'] }] }, 'rules[0].verbs[0]', 'methods'],
    [
      'a path without a slash',
      { rules: [{ verbs: ['get'], nonResourceURLs: ['x'] }] },
      'rules[0].nonResourceURLs[0]',
      'slash',
    ],
    [
      'a pattern inside',
      { rules: [{ verbs: ['get'], nonResourceURLs: ['/a*b'] }] },
      'rules[0].nonResourceURLs[0]',
      'at its end',
    ],
    [
      'a query',
      { rules: [{ verbs: ['get'], nonResourceURLs: ['/a?b'] }] },
      'rules[0].nonResourceURLs[0]',
      'is not a path',
    ],
    ['a singular', rule({ resources: ['pod'] }), 'rules[0].resources[0]', 'did you mean pods?'],
    ['a kind', rule({ resources: ['NetworkPolicy'] }), 'rules[0].resources[0]', 'did you mean networkpolicies?'],
    [
      'a short name, with a subresource',
      rule({ resources: ['po/log'] }),
      'rules[0].resources[0]',
      'did you mean pods/log?',
    ],
    ['upper case', rule({ apiGroups: ['x.io'], resources: ['Widgets'] }), 'rules[0].resources[0]', 'in lower case'],
    [
      'another group’s resource',
      rule({ resources: ['deployments'] }),
      'rules[0].resources[0]',
      'it is in the API group "apps"',
    ],
    ['an unknown resource', rule({ resources: ['podz'] }), 'rules[0].resources[0]', 'did you mean pods?'],
    ['an unknown subresource', rule({ resources: ['pods/logs'] }), 'rules[0].resources[0]', 'did you mean pods/log?'],
    ['a pattern of RBAC’s', rule({ resources: ['pods/*'] }), 'rules[0].resources[0]', 'name the subresource'],
    ['part of a name', rule({ resources: ['po*'] }), 'rules[0].resources[0]', 'stands for the whole name only'],
    ['the group core', rule({ apiGroups: ['core'] }), 'rules[0].apiGroups[0]', 'the core group is ""'],
    ['a version', rule({ apiGroups: ['apps/v1'] }), 'rules[0].apiGroups[0]', 'has a version'],
    ['too many rules', { rules: many(65) }, 'rules', 'has 65 entries, and may have 64'],
    ['too many names', rule({ resourceNames: many(129) }), 'rules[0].resourceNames', 'may have 128'],
    ['a name without an end', rule({ resourceNames: ['x'.repeat(1025)] }), 'rules[0].resourceNames[0]', 'longer than'],
    [
      '8 kB',
      { rules: many(64).map((name) => ({ ...rule({}).rules[0], resourceNames: [name, 'x'.repeat(80)] })) },
      '',
      'bytes',
    ],
    [
      'a member of the prototype',
      JSON.parse('{"__proto__": {"preset": "read-only"}}'),
      '__proto__',
      'is not known here',
    ],
  ])('%s', (_name, value, place, message) => {
    const parsed = parseLimit(value);
    expect(parsed).toMatchObject({ ok: false, reason: { place, message: expect.stringContaining(message) } });
  });
});

test.each([
  { preset: 'read-only' },
  { rules: [] },
  { namespaces: [] },
  rule({ verbs: [], resources: [] }),
  rule({ verbs: ['*'], apiGroups: ['*'], resources: ['*', '*/scale'] }),
  rule({ apiGroups: ['', 'apps'], resources: ['pods/log', 'deployments/scale'] }),
  rule({ apiGroups: ['stable.example.com'], resources: ['pod', 'crontabs/anything'] }),
  rule({
    verbs: ['impersonate'],
    resources: ['users', 'groups', 'serviceaccounts'],
    resourceNames: ['system:masters'],
  }),
  rule({
    verbs: ['impersonate'],
    apiGroups: ['authentication.k8s.io'],
    resources: ['uids', 'userextras/example.com/team'],
  }),
  { rules: [{ verbs: ['get'], nonResourceURLs: ['/metrics', '/logs/*', '*'] }] },
])('accepts %j', (limit) => {
  expect(parseLimit(limit)).toEqual({ ok: true, value: limit });
});

test('knows every resource of the client library’s Kubernetes', () => {
  const folder = 'node_modules/@kubernetes/client-node/dist/gen/apis';
  const source = readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const paths = source.matchAll(
    /'\/(?:api|apis\/(?<group>[a-z0-9.]+))\/v[a-z0-9]+\/(?:namespaces\/\{namespace\}\/)?(?<resource>[a-z]+)(?:\/\{name\}(?:\/(?<sub>[a-z]+))?)?'/g,
  );
  const named = [...paths].flatMap(({ groups }) => {
    const { group = '', resource = '', sub } = groups ?? {};
    return resource === 'watch' ? [] : [{ group, resource: sub === undefined ? resource : `${resource}/${sub}` }];
  });
  expect(named.length).toBeGreaterThan(150);
  const unknown = named.filter(
    ({ group, resource }) => !parseLimit(rule({ apiGroups: [group], resources: [resource] })).ok,
  );
  expect(unknown).toEqual([]);
});
