import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escalation } from '../../../../src/core/delegation/escalation.ts';
import { describeLimits } from '../../../../src/core/delegation/describe.ts';
import { effectiveVerb } from '../../../../src/core/delegation/effective-verb.ts';
import { compileLimits, isAlwaysAllowed, type RightsRequest } from '../../../../src/core/delegation/evaluate.ts';
import { parseLimit } from '../../../../src/core/delegation/parse.ts';
import { isInPreset } from '../../../../src/core/delegation/presets.ts';
import type { RightsLimit, RightsRule } from '../../../../src/core/delegation/rights.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const some = (...values: readonly string[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 3 });
const resourceRule = fc.record(
  {
    verbs: some('get', 'list', 'create', 'impersonate', '*'),
    apiGroups: some('', 'apps', '*'),
    resources: some(
      'pods',
      'pods/log',
      'pods/exec',
      'secrets',
      'widgets',
      'pods/proxy',
      '*',
      '*/log',
      '*/proxy',
      '*/exec',
    ),
    resourceNames: some('a', 'b'),
    namespaces: some('shop', 'dev'),
  },
  { requiredKeys: ['verbs', 'apiGroups', 'resources'] },
);
const pathRule = fc.record({
  verbs: some('get', 'post', '*'),
  nonResourceURLs: some('/metrics', '/logs/*', '/lo*', '/logs/a', '/version', '*'),
});
const rule: fc.Arbitrary<RightsRule> = fc.oneof({ weight: 4, arbitrary: resourceRule }, pathRule);
const limit: fc.Arbitrary<RightsLimit> = fc.record(
  {
    preset: fc.constantFrom('read-only' as const, 'read-only-with-secrets' as const),
    namespaces: some('shop', 'dev'),
    rules: fc.array(rule, { maxLength: 4 }),
  },
  { requiredKeys: [] },
);
const limits = fc.array(limit, { maxLength: 3 });

/** Every combination, with something in each place that no limit above names. */
const REQUESTS: readonly RightsRequest[] = [
  ...['get', 'list', 'watch', 'create', 'impersonate', 'proxy'].flatMap((verb) =>
    ['', 'apps', 'other.io'].flatMap((apiGroup) =>
      [
        'pods',
        'pods/log',
        'pods/exec',
        'pods/proxy',
        'secrets',
        'secrets/log',
        'tokens/log',
        'widgets',
        'other',
        'other/log',
        'other/exec',
        'other/proxy',
        'other/vnc',
      ].flatMap((full) =>
        ['', 'shop', 'dev', 'other'].flatMap((namespace) =>
          ['', 'a', 'b', 'other'].map((name) => {
            const [resource = '', subresource = ''] = full.split('/');
            return { isResourceRequest: true, path: '', verb, apiGroup, resource, subresource, namespace, name };
          }),
        ),
      ),
    ),
  ),
  ...['get', 'post', 'head'].flatMap((verb) =>
    ['/metrics', '/logs/a', '/logs/b', '/lost', '/version', '/other'].map((path) => ({
      isResourceRequest: false,
      path,
      verb,
      apiGroup: '',
      resource: '',
      subresource: '',
      namespace: '',
      name: '',
    })),
  ),
];
/** Of so many requests, one is asked for with each list of limits. */
const SPREAD = 23;

/** RBAC as its documentation has it, rule by rule, with nothing prepared. */
function rbacAllows(own: RightsRule, { request, verb }: { readonly request: RightsRequest; readonly verb: string }) {
  const has = (list: readonly string[] = ['*'], wanted: string) => list.includes('*') || list.includes(wanted);
  if (!has(own.verbs, verb)) return false;
  if (!request.isResourceRequest) {
    return (own.nonResourceURLs ?? []).some(
      (url) =>
        url === '*' || url === request.path || (url.endsWith('*') && request.path.startsWith(url.replace(/\*$/, ''))),
    );
  }
  const subresource = request.verb === 'proxy' ? 'proxy' : request.subresource;
  const full = subresource === '' ? request.resource : `${request.resource}/${subresource}`;
  return (
    (own.resources ?? []).some(
      (each) => each === '*' || each === full || (subresource !== '' && each === `*/${subresource}`),
    ) &&
    has(own.apiGroups, request.apiGroup) &&
    (own.resourceNames === undefined || own.resourceNames.some((name) => name === request.name)) &&
    (own.namespaces === undefined || own.namespaces.some((namespace) => namespace === request.namespace))
  );
}

function modelAllows(all: readonly RightsLimit[], asked: RightsRequest, upgrade: boolean): boolean {
  if (!upgrade && isAlwaysAllowed(asked)) return true;
  const verb = effectiveVerb(asked, upgrade);
  const subresource = asked.verb === 'proxy' ? 'proxy' : asked.subresource;
  for (const { preset, namespaces, rules } of all) {
    const read = asked.isResourceRequest && { verb, resource: asked.resource, subresource };
    if (preset !== undefined && (read === false || !isInPreset(preset, read))) return false;
    if (namespaces !== undefined && !namespaces.includes(asked.namespace)) return false;
    if (rules !== undefined && !rules.some((own) => rbacAllows(own, { request: asked, verb }))) return false;
  }
  return true;
}

const REVIEWS = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
const READ_ALL: RightsRule = { verbs: ['get', 'list'], apiGroups: ['*'], resources: ['*'] };
const READ_PATHS: RightsRule = { verbs: ['get'], nonResourceURLs: ['*'] };
const CSR = '/apis/certificates.k8s.io/v1/certificatesigningrequests/a';

function pathLimit(path: string): RightsLimit {
  return { rules: [{ verbs: ['get'], nonResourceURLs: [path] }] };
}

describe('for all limits', () => {
  test('a request is allowed as RBAC’s rules say, one by one', () => {
    fc.assert(
      fc.property(limits, fc.nat(SPREAD - 1), fc.boolean(), (all, first, upgrade) => {
        const allows = compileLimits(all);
        const asked = REQUESTS.filter((_each, index) => index % SPREAD === first);
        expect(asked.filter((each) => allows(each, upgrade) !== modelAllows(all, each, upgrade))).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  test('a narrowed session does nothing that its parent may not', () => {
    fc.assert(
      fc.property(limits, limit, (parent, own) => {
        const above = compileLimits(parent);
        const child = compileLimits([...parent, own]);
        expect(REQUESTS.filter((each) => child(each) && !above(each))).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test('something is beyond a parent exactly if there is such a request', () => {
    fc.assert(
      fc.property(limits, limit, (above, asked) => {
        const parent = compileLimits(above);
        const alone = compileLimits([asked]);
        const witness = REQUESTS.find((each) => alone(each) && !parent(each));
        expect(escalation(above, [asked]) === undefined, JSON.stringify(witness)).toBe(witness === undefined);
      }),
      { numRuns: 1500 },
    );
  });

  test('nothing is beyond itself', () => {
    fc.assert(
      fc.property(limit, (own) => {
        expect(escalation([own], [own])).toBeUndefined();
      }),
    );
  });

  test('a limit is parsed to itself, and described by a short line', () => {
    fc.assert(
      fc.property(limit, (own) => {
        fc.pre(
          Object.keys(own).length > 0 &&
            new Set(own.rules?.map((each) => JSON.stringify(each))).size === (own.rules?.length ?? 0),
        );
        const { rules = [] } = own;
        // Not in a group that has no such resource.
        fc.pre(rules.every(({ apiGroups }) => apiGroups === undefined || apiGroups.includes('*')));
        expect(parseLimit(own)).toEqual({ ok: true, value: own });
        expect(describeLimits([own])).toMatch(/^[ -~]{1,160}$/);
      }),
    );
  });
});

test('whatever is no limit is an error with its place, never a crash', () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (value, inside) => {
      for (const each of [
        value,
        { rules: value },
        { rules: [value] },
        { rules: [{ verbs: inside, resources: value }] },
      ]) {
        const parsed = parseLimit(each);
        expect(parsed.ok ? 'valid' : parsed.reason.message).not.toBe('');
      }
    }),
  );
});

test.each<[string, boolean, RightsLimit, string, string]>([
  ['a resource of the cluster’s own', true, { preset: 'read-only' }, 'GET', '/apis/example.com/v1/widgets'],
  ['one that has tokens', false, { preset: 'read-only' }, 'GET', '/apis/oauth.openshift.io/v1/oauthaccesstokens'],
  ['the same, by watch', false, { preset: 'read-only' }, 'GET', '/apis/x.io/v1/tokens?watch=1'],
  ['the same, with Secrets', false, { preset: 'read-only-with-secrets' }, 'GET', '/apis/x.io/v1/usertokens/a'],
  ['Secrets', true, { preset: 'read-only-with-secrets' }, 'GET', '/api/v1/secrets'],
  ['a signing request', false, { preset: 'read-only-with-secrets' }, 'GET', CSR],
  ['a path', false, { preset: 'read-only' }, 'GET', '/debug/pprof'],
  ['the path that a rule names', true, pathLimit('/debug/pprof'), 'GET', '/debug/pprof'],
  ['a path beneath it', false, pathLimit('/debug/pprof'), 'GET', '/debug/pprof/heap'],
  ['a path that begins like it', false, pathLimit('/debug/pprof'), 'GET', '/debug/pprofs'],
  ['a path beneath a pattern', true, pathLimit('/debug/*'), 'GET', '/debug/pprof/heap'],
  ['the path above a pattern', false, pathLimit('/debug/*'), 'GET', '/debug'],
  ['all paths', true, pathLimit('*'), 'GET', '/debug/pprof/heap'],
  ['another method', false, pathLimit('*'), 'POST', '/debug/pprof'],
  ['another method where all may read', false, { preset: 'read-only' }, 'POST', '/version'],
  ['what is beneath a review of oneself', false, { preset: 'read-only' }, 'POST', `${REVIEWS}/a/status`],
  // As another version, or an attacker who can write to Redis, may have stored them.
  ['a list, by the name of none', false, { rules: [{ ...READ_ALL, resourceNames: [''] }] }, 'GET', '/api/v1/pods'],
  ['the cluster, by the namespace of none', false, { namespaces: [''] }, 'GET', '/api/v1/nodes'],
  [
    'an object, by a subresource of none',
    false,
    { rules: [{ ...READ_ALL, resources: ['*/'] }] },
    'GET',
    '/api/v1/pods',
  ],
  ['a path of a namespace', false, { rules: [{ ...READ_PATHS, namespaces: ['shop'] }] }, 'GET', '/debug/pprof'],
])('a limit and %s: %s', (_what, allows, own, method, target) => {
  expect(compileLimits([own])(requestInfo(method, target))).toBe(allows);
});

test('a comparison of two long lists ends', () => {
  const list = (letter: string) => Array.from({ length: 128 }, (_each, index) => `${letter}${index}`);
  const own: RightsRule = {
    verbs: ['get'],
    apiGroups: list('g'),
    resources: list('r'),
    resourceNames: list('n'),
    namespaces: list('s'),
  };
  const half: RightsRule = { ...own, resourceNames: list('n').slice(0, 64) };
  const rest: RightsRule = { ...own, resourceNames: list('n').slice(64) };
  expect(escalation([{ rules: [own] }], [{ rules: [own] }])).toBeUndefined();
  expect(escalation([{ rules: [half, rest] }], [{ rules: [own] }])).toContain('than can be compared');
});

test('a limit of a later version allows nothing, because a part of it is not known here', () => {
  const pods = REQUESTS.find(({ verb, resource }) => verb === 'get' && resource === 'pods');
  const allows = (limit: RightsLimit | object): boolean => pods !== undefined && compileLimits([limit])(pods);
  const read = { verbs: ['get'], apiGroups: ['*'], resources: ['*'] };
  expect([{ preset: 'read-only' }, { rules: [read] }].map(allows)).toEqual([true, true]);
  const later = [{ preset: 'read-logs' }, { preset: 'read-only', labels: [] }, { rules: [{ ...read, labels: [] }] }];
  expect(later.map(allows)).toEqual([false, false, false]);
});
