import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileLimits, isAlwaysAllowed } from '../../../../src/core/delegation/evaluate.ts';
import type { RightsRule } from '../../../../src/core/delegation/rights.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { compileStepUp, type StepUpRequest } from '../../../../src/core/step-up/requirement.ts';

const APPLY = 'application/apply-patch+yaml';
const JSON_PATCH = 'application/json-patch+json';

const asked = (method: string, target: string, more: Partial<StepUpRequest> = {}): StepUpRequest => ({
  info: requestInfo(method, target),
  upgrade: false,
  contentTypes: [],
  ...more,
});

const touches = (rule: RightsRule, request: StepUpRequest): boolean =>
  compileStepUp([{ rules: [rule], maxAge: 60 }], 'prod')?.(request) === 60;

const core = { apiGroups: [''] };
const deletePods: RightsRule = { verbs: ['delete'], ...core, resources: ['pods'] };
const readSecret: RightsRule = { verbs: ['get'], ...core, resources: ['secrets'], resourceNames: ['db'] };
const readShop: RightsRule = { verbs: ['get'], ...core, resources: ['secrets'], namespaces: ['shop'] };
const shell: RightsRule = { verbs: ['create'], ...core, resources: ['pods/exec'] };
const readPods: RightsRule = { verbs: ['get'], ...core, resources: ['pods'] };
const readProxy: RightsRule = { verbs: ['get'], ...core, resources: ['services/proxy'], resourceNames: ['web'] };
const createPods: RightsRule = { verbs: ['create'], ...core, resources: ['pods'] };
const createRoles: RightsRule = { verbs: ['create'], apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles'] };
const everything: RightsRule = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] };
const metrics: RightsRule = { verbs: ['get'], nonResourceURLs: ['/metrics', '/logs/*'] };
const POD = '/api/v1/namespaces/shop/pods/p';
const SECRETS = '/api/v1/namespaces/shop/secrets';
const SECRET = `${SECRETS}/db`;
const SERVICE = '/api/v1/namespaces/shop/services/web';
const ROLE = '/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/r';

test.each<[string, boolean, RightsRule, StepUpRequest]>([
  ['the request itself', true, deletePods, asked('DELETE', POD)],
  ['another verb', false, deletePods, asked('GET', POD)],
  ['another resource', false, deletePods, asked('DELETE', '/api/v1/namespaces/shop/secrets/p')],
  ['another group', false, deletePods, asked('DELETE', '/apis/metrics.k8s.io/v1/namespaces/shop/pods/p')],
  ['all of them at once', true, deletePods, asked('DELETE', '/api/v1/namespaces/shop/pods')],
  ['a subresource, as in RBAC', false, deletePods, asked('DELETE', `${POD}/status`)],
  ['a method of tomorrow', true, deletePods, asked('OPTIONS', POD)],
  [
    'the old way to a pod behind the API server',
    true,
    { ...deletePods, resources: ['pods/proxy'] },
    asked('GET', '/api/v1/proxy/namespaces/shop/pods/p/x'),
  ],
  ['the same, by the pod', true, deletePods, asked('GET', '/api/v1/proxy/namespaces/shop/pods/p/x')],
  ['a path that has no resource', true, deletePods, asked('DELETE', '/api/v1/watch')],

  ['the name', true, readSecret, asked('GET', '/api/v1/namespaces/shop/secrets/db')],
  ['another name', false, readSecret, asked('GET', '/api/v1/namespaces/shop/secrets/other')],
  ['a list, which has all of them', true, readSecret, asked('GET', '/api/v1/namespaces/shop/secrets')],
  ['a watch', true, readSecret, asked('GET', '/api/v1/namespaces/shop/secrets?watch=1')],
  ['a watch by its old path', true, readSecret, asked('GET', '/api/v1/watch/namespaces/shop/secrets/other')],
  [
    'a selector that an aggregated API may ignore',
    true,
    readSecret,
    asked('GET', '/api/v1/secrets?fieldSelector=metadata.name%3Dother'),
  ],
  [
    'a create, whose name is in the body',
    true,
    { ...readSecret, verbs: ['create'] },
    asked('POST', '/api/v1/namespaces/shop/secrets'),
  ],
  ['a list, where only lists are named', true, { ...readSecret, verbs: ['list'] }, asked('GET', '/api/v1/secrets')],
  [
    'one object, where only lists are named',
    false,
    { ...readSecret, verbs: ['list'] },
    asked('GET', '/api/v1/namespaces/shop/secrets/db'),
  ],

  ['the namespace', true, readShop, asked('GET', '/api/v1/namespaces/shop/secrets/db')],
  ['another namespace', false, readShop, asked('GET', '/api/v1/namespaces/dev/secrets/db')],
  ['all namespaces', true, readShop, asked('GET', '/api/v1/secrets')],

  ['a shell by SPDY', true, shell, asked('POST', `${POD}/exec?command=sh`, { upgrade: true })],
  ['a shell by WebSocket, which is a GET', true, shell, asked('GET', `${POD}/exec?command=sh`, { upgrade: true })],
  [
    'a shell, where the rule has the method',
    true,
    { ...shell, verbs: ['get'] },
    asked('GET', `${POD}/exec?command=sh`, { upgrade: true }),
  ],
  [
    'a console of an aggregated API',
    true,
    { ...shell, apiGroups: ['*'], resources: ['*/vnc'] },
    asked('GET', '/apis/sub.kubevirt.io/v1/namespaces/shop/vms/v/vnc', { upgrade: true }),
  ],

  ['an apply, which creates', true, createPods, asked('PATCH', POD, { contentTypes: [APPLY] })],
  ['a patch of what is there', false, createPods, asked('PATCH', POD, { contentTypes: [JSON_PATCH] })],
  ['an update that creates', true, createRoles, asked('PUT', ROLE)],
  ['an update, where patches are named', true, { ...deletePods, verbs: ['patch'] }, asked('PUT', POD)],
  [
    'a patch, where updates are named',
    true,
    { ...deletePods, verbs: ['update'] },
    asked('PATCH', POD, { contentTypes: [JSON_PATCH] }),
  ],

  ['a patch, whose response has the object', true, readSecret, asked('PATCH', SECRET, { contentTypes: [JSON_PATCH] })],
  ['an update, whose response has the object', true, readSecret, asked('PUT', SECRET)],
  ['a delete, whose response may have it', true, readSecret, asked('DELETE', SECRET)],
  ['a dry run of deleting all, which lists them', true, readShop, asked('DELETE', `${SECRETS}?dryRun=All`)],
  ['the same, where lists are named', true, { ...readShop, verbs: ['list'] }, asked('DELETE', SECRETS)],
  ['a create, whose response has only what was sent', false, readShop, asked('POST', SECRETS)],
  ['the whole object by its status', true, readPods, asked('GET', `${POD}/status`)],
  ['the whole object by the response to a change of a part', true, readPods, asked('PATCH', `${POD}/resize`)],
  ['an eviction, which deletes', true, deletePods, asked('POST', `${POD}/eviction`)],
  ['the log, which is no object', false, readPods, asked('GET', `${POD}/log`)],
  [
    'a change of a part, where changes are named',
    false,
    { ...readPods, verbs: ['patch'] },
    asked('PATCH', `${POD}/status`),
  ],
  ['another method to what is behind a proxy', true, readProxy, asked('POST', `${SERVICE}/proxy/`)],
  [
    'a shell by POST, where the rule has the other method',
    true,
    { ...shell, verbs: ['get'] },
    asked('POST', `${POD}/exec`),
  ],
  ['the name with a port', true, readProxy, asked('GET', '/api/v1/namespaces/shop/services/web:80/proxy/')],
  ['the name with a scheme', true, readProxy, asked('GET', '/api/v1/namespaces/shop/services/https:web:/proxy/')],
  ['another name with a port', false, readProxy, asked('GET', '/api/v1/namespaces/shop/services/dev:80/proxy/')],

  ['everything', true, everything, asked('GET', `${POD}/log`)],
  ['no path, where all resources are named', false, everything, asked('GET', '/metrics')],
  ['a path', true, metrics, asked('GET', '/metrics')],
  ['a path with a slash behind it', true, metrics, asked('GET', '/metrics/')],
  ['a path below', false, metrics, asked('GET', '/metrics/cadvisor')],
  ['a path that begins so', true, metrics, asked('GET', '/logs/kube-apiserver.log')],
  ['what the beginning is about', true, metrics, asked('GET', '/logs')],
  ['another method', false, metrics, asked('POST', '/metrics')],
  ['discovery, with which each client begins', false, { verbs: ['*'], nonResourceURLs: ['*'] }, asked('GET', '/apis')],
  [
    'what is no discovery, and asks for a WebSocket',
    true,
    { verbs: ['*'], nonResourceURLs: ['*'] },
    asked('GET', '/apis', { upgrade: true }),
  ],
  [
    'a review of one’s own rights',
    false,
    everything,
    asked('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'),
  ],
  [
    'a review of the rights of others',
    true,
    everything,
    asked('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews'),
  ],
  ['a rule without resources', false, { verbs: ['*'], apiGroups: ['*'], resources: [] }, asked('GET', POD)],
  ['a rule without namespaces', false, { ...everything, namespaces: [] }, asked('GET', '/api/v1/pods')],
  ['a rule without names', false, { ...everything, resourceNames: [] }, asked('GET', '/api/v1/pods')],
])('%s: %j', (_what, expected, rule, request) => {
  expect(touches(rule, request)).toBe(expected);
});

describe('the strictest rule', () => {
  const compiled = compileStepUp(
    [
      { rules: [everything], maxAge: 3600 },
      { clusters: ['dev'], rules: [everything], maxAge: 10 },
      { clusters: [], rules: [everything], maxAge: 5 },
      { clusters: ['prod'], rules: [shell, deletePods], maxAge: 60 },
    ],
    'prod',
  );
  test('counts, where several are touched', () => {
    expect([asked('GET', POD), asked('DELETE', POD), asked('GET', '/metrics')].map((each) => compiled?.(each))).toEqual(
      [3600, 60, undefined],
    );
  });
  test('is none for a cluster that no rule is about', () => {
    expect(compileStepUp([{ clusters: ['dev'], rules: [everything], maxAge: 10 }], 'prod')).toBeUndefined();
  });
});

const some = (...values: readonly string[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 3 });
const rule: fc.Arbitrary<RightsRule> = fc.oneof(
  fc.record(
    {
      verbs: some(
        'get',
        'list',
        'watch',
        'create',
        'update',
        'patch',
        'delete',
        'deletecollection',
        'impersonate',
        '*',
      ),
      apiGroups: some('', 'apps', '*'),
      resources: some('pods', 'pods/log', 'pods/exec', 'secrets', 'users', 'pods/proxy', '*', '*/log', '*/proxy'),
      resourceNames: some('a', 'b'),
      namespaces: some('shop', 'dev'),
    },
    { requiredKeys: ['verbs', 'apiGroups', 'resources'] },
  ),
  fc.record({ verbs: some('get', 'post', '*'), nonResourceURLs: some('/metrics', '/logs/*', '/lo*', '*') }),
);
const segment = fc.constantFrom(
  'pods',
  'secrets',
  'users',
  'a',
  'b',
  'shop',
  'dev',
  'namespaces',
  'watch',
  'proxy',
  'log',
  'exec',
  '',
);
const target = fc
  .tuple(
    fc.constantFrom('/api/v1/', '/apis/apps/v1/', '/apis/x.io/v1/', '/metrics', '/logs/', '/'),
    fc.array(segment, { maxLength: 6 }),
    fc.constantFrom('', '?watch=1', '?fieldSelector=metadata.name%3Da'),
  )
  .map(([start, rest, query]) => `${start}${rest.join('/')}${query}`);
const request = fc
  .tuple(
    fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
    target,
    fc.boolean(),
    fc.constantFrom([], [APPLY], [JSON_PATCH]),
  )
  .map(([method, path, upgrade, contentTypes]) => asked(method, path, { upgrade, contentTypes }));

test('whatever RBAC would say that the rules allow touches them', () => {
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 4 }), request, (rules, each) => {
      const { info, upgrade } = each;
      fc.pre(upgrade || !isAlwaysAllowed(info));
      const isAllowed = compileLimits([{ rules }])(info, upgrade);
      const isTouched = compileStepUp([{ rules, maxAge: 60 }], 'prod')?.(each) === 60;
      expect(isAllowed && !isTouched).toBe(false);
    }),
    { numRuns: 3000 },
  );
});
