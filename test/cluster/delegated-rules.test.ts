/**
 * The limits of a delegated session against RBAC itself: an API server rejects what a user asks who has the same rules as
 * a role, and nothing else. With rules and requests at random, each request near one of the rules.
 */
import * as fc from 'fast-check';
import { Agent, request } from 'undici';
import { parse } from 'yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isIntoPod } from '../../src/core/delegation/effective-verb.ts';
import { compileLimits } from '../../src/core/delegation/evaluate.ts';
import type { RightsLimit, RightsRule } from '../../src/core/delegation/rights.ts';
import { requestInfo } from '../../src/core/request/request-info.ts';
import { startBareApiServer, type BareApiServer } from './bare-api-server.ts';

const USERS = 60;
const REQUESTS_OF_EACH = 40;
const AT_ONCE = 8;
const METHOD_OF: Readonly<Record<string, string>> = {
  get: 'GET',
  list: 'GET',
  watch: 'GET',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETE',
};
const VERBS = Object.keys(METHOD_OF);
const GROUPS = ['', 'apps', 'batch'];
const RESOURCES = ['pods', 'services', 'nodes', 'secrets', 'namespaces', 'deployments'];
const SUBRESOURCES = ['', '', '', 'status', 'log', 'exec', 'portforward', 'proxy', 'scale', 'finalize'];
const NAMES = ['web', 'a.b', 'web:80', 'shop', 'x y'];
const NAMESPACES = ['shop', 'dev'];

const some = (values: readonly string[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
const fullNames = RESOURCES.flatMap((each) => SUBRESOURCES.map((sub) => (sub === '' ? each : `${each}/${sub}`)));
const resourceRule: fc.Arbitrary<RightsRule> = fc.record(
  {
    verbs: some([...VERBS, '*']),
    apiGroups: some([...GROUPS, '*']),
    resources: some([...fullNames, '*', '*/status', '*/proxy']),
    resourceNames: some(NAMES),
  },
  { requiredKeys: ['verbs', 'apiGroups', 'resources'] },
);
const pathRule: fc.Arbitrary<RightsRule> = fc.record({
  verbs: some(['get', 'post', '*']),
  nonResourceURLs: some(['/metrics', '/logs/*', '/lo*', '*']),
});
const role = fc.oneof(
  fc.record({ rules: fc.array(resourceRule, { minLength: 1, maxLength: 3 }), namespaces: some(NAMESPACES) }),
  fc.record({
    rules: fc.array(fc.oneof({ weight: 4, arbitrary: resourceRule }, pathRule), { minLength: 1, maxLength: 3 }),
  }),
);

/** Of which the API server reads some as the name, some as a watch, and some not at all. */
const QUERIES = [
  '',
  '',
  '',
  'watch',
  'watch=0&watch=1',
  'Watch=1',
  'fieldSelector=metadata.name%3Dweb',
  'fieldSelector=metadata.name=web&limit=x',
  'fieldSelector=metadata.name=web&limit=1&limit=x',
  'fieldSelector=metadata.name=web&timeoutSeconds=',
  'fieldSelector=metadata.name=web,metadata.name=a.b',
  'fieldSelector=metadata.name!=web',
  'fieldSelector=metadata.name=web;watch=1',
  'fieldSelector=x&fieldSelector=metadata.name=web',
  'fieldSelector=metadata.name==web&labelSelector=!!',
  'fieldSelector=metadata.name=web&continue=x&sendInitialEvents=x',
];

/** A choice for each part of a request, in thousandths of the list. */
const choices = fc.array(fc.nat(999), { minLength: 12, maxLength: 12 });

function near({ rules, namespaces }: RightsLimit, parts: readonly number[]): readonly [method: string, target: string] {
  let next = 0;
  const part = (): number => (parts[next++] ?? 0) / 1000;
  const pick = (list: readonly string[]): string => list[Math.floor(part() * list.length)] ?? '';
  const any = (own: readonly string[], all: readonly string[]): string => pick(own.includes('*') ? all : own);
  const rule = rules?.[Math.floor(part() * rules.length)];
  const query = pick(QUERIES);
  const asked = query === '' ? '' : `?${query}`;
  if (rule?.nonResourceURLs !== undefined) {
    const path = pick(rule.nonResourceURLs).replace(/\*$/, pick(['', 'a', 'x/b']));
    return [pick(['GET', 'POST', 'PUT']), (path.startsWith('/') ? path : `/${path}`) + asked];
  }
  const verb = any(rule?.verbs ?? [], VERBS);
  const group = any(rule?.apiGroups ?? [], GROUPS);
  const [resource = '', subresource] = any(rule?.resources ?? [], fullNames)
    .replace('*', pick(RESOURCES))
    .split('/');
  const where = pick([...(namespaces ?? ['']), 'shop', '']);
  const name = encodeURIComponent(pick(rule?.resourceNames ?? NAMES));
  const isOne = subresource !== undefined || !['list', 'watch', 'create', 'deletecollection'].includes(verb);
  const path = [
    group === '' ? '/api/v1' : `/apis/${group}/v1`,
    ...(verb === 'watch' && part() < 0.5 ? ['watch'] : []),
    ...(where === '' || resource === 'namespaces' ? [] : ['namespaces', where]),
    resource,
    ...(isOne || part() < 0.1 ? [name] : []),
    ...(subresource === undefined ? [] : [subresource]),
  ].join('/');
  return [METHOD_OF[verb] ?? 'GET', path + (verb === 'watch' && asked === '' ? '?watch=1' : asked)];
}

let server: BareApiServer;
let dispatcher: Agent;
let token: string;

beforeAll(async () => {
  server = await startBareApiServer();
  dispatcher = new Agent({ connect: { ca: server.ca }, connections: AT_ONCE });
  const config = await server.kubectl(['config', 'view', '--raw', '--minify']);
  ({ token } = (parse(config.stdout) as { users: [{ user: { token: string } }] }).users[0].user);
});
afterAll(async () => {
  await dispatcher.destroy();
  await server.close();
});

/** @returns whether RBAC rejects it; a watch is left once that is known */
async function isRejected(user: string, method: string, target: string): Promise<boolean> {
  const isWrite = method !== 'GET';
  const { statusCode, body } = await request(
    server.url + target + (isWrite ? `${target.includes('?') ? '&' : '?'}dryRun=All` : ''),
    {
      method: method as 'GET',
      dispatcher,
      headers: {
        authorization: `Bearer ${token}`,
        'impersonate-user': user,
        'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      },
      ...(isWrite ? { body: '{}' } : {}),
    },
  );
  if (statusCode !== 403) {
    body.on('error', () => undefined).destroy();
    return false;
  }
  return (await body.text()).includes(' cannot ');
}

const object = (kind: string, name: string, namespace: string | undefined, rest: object): object => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  ...rest,
});

function rolesOf(user: string, { rules, namespaces }: RightsLimit): readonly object[] {
  const kind = namespaces === undefined ? 'ClusterRole' : 'Role';
  const binding = {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: user },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
  };
  return (namespaces ?? [undefined]).flatMap((namespace) => [
    object(kind, user, namespace, { rules }),
    object(`${kind}Binding`, user, namespace, binding),
  ]);
}

test('an API server rejects exactly what the limits reject, for a user with the same rules', async () => {
  const seed = Date.now() % 1_000_000;
  const limits = fc.sample(role, { numRuns: USERS, seed }).map((each): RightsLimit => each);
  const objects = limits.flatMap((limit, index) => rolesOf(`user-${index}`, limit));
  const namespaces = NAMESPACES.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
  const last = { metadata: { name: 'last' }, apiVersion: 'v1', kind: 'ConfigMap' };
  const list = { apiVersion: 'v1', kind: 'List', items: [...namespaces, ...objects, last] };
  const created = await server.kubectl(['create', '--filename', '-'], JSON.stringify(list));
  expect(created.code, created.stderr).toBe(0);
  // RBAC follows what is stored with a delay, and in order for each kind.
  const canList = ['auth', 'can-i', 'get', '/late', '--as', 'late', '--quiet'];
  const late = rolesOf('late', { rules: [{ verbs: ['get'], nonResourceURLs: ['/late'] }] });
  const lateRole = rolesOf('late', {
    namespaces: ['dev'],
    rules: [{ verbs: ['get'], apiGroups: [''], resources: ['late'] }],
  });
  await server.kubectl(['create', '--filename', '-'], JSON.stringify({ ...list, items: [...late, ...lateRole] }));
  await expect.poll(async () => (await server.kubectl(canList)).code).toBe(0);
  await expect
    .poll(
      async () => (await server.kubectl(['auth', 'can-i', 'get', 'late', '-n', 'dev', '--as', 'late', '--quiet'])).code,
    )
    .toBe(0);

  const wrong: string[] = [];
  const counts = { allowed: 0, rejected: 0 };
  const questions = limits.flatMap((limit, index) =>
    fc.sample(choices, { numRuns: REQUESTS_OF_EACH, seed: seed + index }).map((parts) => ({ limit, index, parts })),
  );
  const worker = async (): Promise<void> => {
    for (let each = questions.pop(); each !== undefined; each = questions.pop()) {
      const [method, target] = near(each.limit, each.parts);
      const info = requestInfo(method, target);
      // These are create whatever their method, as an API server has it since 1.35 in addition to get.
      if (isIntoPod(info) && method === 'GET') continue;
      const rejects = !compileLimits([each.limit])(info);
      counts[rejects ? 'rejected' : 'allowed'] += 1;
      if ((await isRejected(`user-${each.index}`, method, target)) === rejects) continue;
      wrong.push(`${method} ${target} is ${rejects ? 'rejected' : 'allowed'} by ${JSON.stringify(each.limit)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  expect(wrong, `seed ${seed}`).toEqual([]);
  expect(Math.min(counts.allowed, counts.rejected)).toBeGreaterThan((USERS * REQUESTS_OF_EACH) / 10);
});
