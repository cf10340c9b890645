import { expect, test } from 'vitest';
import type { Config } from '../../../../src/config/config.ts';
import { parseLimit } from '../../../../src/core/delegation/parse.ts';
import type { RightsLimit } from '../../../../src/core/delegation/rights.ts';
import { RESOURCE_VERBS } from '../../../../src/core/request/verbs.ts';
import { judge } from '../../../../src/services/delegation/judge.ts';
import type { SessionRecord } from '../../../../src/store/store.ts';
import { DELEGATION } from '../../../support/delegation-settings.ts';

/** Of one turn of the event loop, milliseconds of CPU. */
const MOST_MS = 5;

const verbs = RESOURCE_VERBS;
const texts = (count: number, start: string): readonly string[] =>
  Array.from({ length: count }, (_each, index) => `${start}${index.toString(36)}`);
const rules = (count: number, rule: (index: number) => object): object => ({
  rules: Array.from({ length: count }, (_each, index) => rule(index)),
});

const of = { apiGroups: ['a'], resources: ['x'] };
const inAll = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] };
const built = [
  '',
  'admissionregistration.k8s.io',
  'authorization.k8s.io',
  'networking.k8s.io',
  'rbac.authorization.k8s.io',
  'resource.k8s.io',
  'storage.k8s.io',
];
const path = (index: number): string => `/${'x'.repeat(30)}${index.toString(36)}`;
const many = { ...of, resourceNames: texts(127, 'n'), namespaces: texts(127, 's') };

test.each<[string, RightsLimit[], object[]]>([
  [
    'many parts, with many rules',
    [rules(60, (index) => ({ ...inAll, resourceNames: [`n${index.toString(36)}`] }))],
    [rules(1, () => ({ ...many, verbs, resourceNames: texts(60, 'n') }))],
  ],
  [
    'many parts, in several limits',
    [rules(2, (index) => ({ ...many, verbs, resourceNames: texts(127, 'n').slice(64 * index, 64 * index + 64) }))],
    [rules(1, () => ({ ...many, verbs })), { ...rules(1, () => ({ ...many, verbs })), namespaces: texts(127, 's') }],
  ],
  [
    'many parts that make no difference',
    [{ preset: 'read-only' }],
    ['k', 'l', 'm', 'n'].map((letter) =>
      rules(1, () => ({
        ...many,
        verbs: ['create'],
        apiGroups: ['authorization.k8s.io'],
        resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
        resourceNames: texts(127, letter),
      })),
    ),
  ],
  [
    'many paths',
    [rules(50, (index) => ({ verbs: ['*'], nonResourceURLs: [`${path(index)}*`] }))],
    [
      rules(1, () => ({
        verbs: ['get', 'post', 'put', 'patch', 'delete'],
        nonResourceURLs: Array.from({ length: 90 }, (_each, index) => path(index)),
      })),
    ],
  ],
  ['a long verb', [], [rules(1, () => ({ ...of, verbs: ['x'.repeat(1024)] }))]],
  ['a long resource', [], [rules(1, () => ({ verbs, apiGroups: built, resources: ['x'.repeat(1024)] }))]],
])('%s, as an order may have them, cost little', (_what, above: readonly object[], limits) => {
  const parent = {
    ...({
      id: 'own',
      account: 'corp/alice',
      provider: 'corp',
      identity: { groups: [] },
      expiresAt: 1e10,
    } as unknown as SessionRecord),
    delegation: {
      ancestors: ['root'],
      actors: [{ name: 'claude' }],
      clusters: ['prod'],
      limits: above as readonly RightsLimit[],
    },
  };
  const config = {
    delegation: DELEGATION,
    sessions: { binding: 'required' } as Config['sessions'],
    clusters: [{ name: 'prod', publicUrl: 'https://prod.example.com' }],
    workload: [],
  };
  const rejection = (): string => {
    const parsed = limits.map((limit) => parseLimit(limit));
    const malformed = parsed.find(({ ok }) => !ok);
    if (malformed !== undefined) return 'limits_malformed';
    const order = {
      parent: 'own',
      actor: { name: 'claude' },
      clusters: ['prod'],
      limits: parsed.flatMap((each) => (each.ok ? [each.value] : [])),
      seconds: 60,
      thumbprint: Buffer.alloc(32, 'a').toString('base64url'),
      address: '',
      userAgent: '',
    };
    const judged = judge({ config, mayUse: () => true }, order, { above: [parent], nowSeconds: 1 });
    return judged.ok ? 'none' : judged.reason.reason;
  };
  const measured = Array.from({ length: 10 }, () => {
    const before = process.threadCpuUsage();
    const reason = rejection();
    const { user, system } = process.threadCpuUsage(before);
    return { reason, ms: (user + system) / 1000 };
  });
  // None is too large to be compared.
  expect(['none', 'limits_beyond_parent', 'limits_malformed']).toContain(measured[0]?.reason);
  expect(Math.min(...measured.map(({ ms }) => ms))).toBeLessThan(MOST_MS);
});
