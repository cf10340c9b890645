/** Objects of a cluster, and what the checks find in them. */
import type { Finding, Settings } from '../../../src/posture/rules/check.ts';
import { shellLine } from '../../../src/posture/rules/kubectl.ts';
import { createChecks } from '../../../src/posture/rules/evaluate.ts';
import { KIND_NAMES, type Kind } from '../../../src/posture/rules/kinds.ts';
import type { JsonRecord } from '../../../src/posture/rules/json.ts';
import type { RuleId } from '../../../src/posture/rules/rules.ts';

export const NOW = Date.parse('2026-11-25T12:00:00Z');

export const SETTINGS: Settings = {
  prefixes: ['corp:'],
  proxyAccount: { namespace: 'portcullis', name: 'portcullis' },
  now: NOW,
};

export type Cluster = Partial<Record<Kind, readonly JsonRecord[]>>;

/** As the command reads a cluster: kind after kind. */
export function checksOf(cluster: Cluster, settings: Settings = SETTINGS) {
  const checks = createChecks(settings);
  for (const kind of KIND_NAMES) {
    checks.begin(kind);
    for (const object of cluster[kind] ?? []) checks.add(kind, object);
  }
  return checks.all;
}

export const CONTEXT = 'prod@portcullis.example.com';

/** With the lines that are printed for it. */
export type Found = Omit<Finding, 'fix'> & { readonly fix: readonly string[] };

export function find(cluster: Cluster, rule: RuleId, settings?: Settings): readonly Found[] {
  const findings = checksOf(cluster, settings).flatMap((check) => check.outcome().findings);
  return findings
    .filter((finding) => finding.rule === rule)
    .map((finding) => ({ ...finding, fix: finding.fix.map((one) => shellLine(one, CONTEXT)) }));
}

export const object = (namespace: string, name: string, rest: JsonRecord = {}): JsonRecord => ({
  ...rest,
  metadata: { name, ...(namespace === '' ? {} : { namespace }), ...(rest['metadata'] as JsonRecord | undefined) },
});

export const role = (name: string, rules: readonly JsonRecord[], namespace = ''): JsonRecord =>
  object(namespace, name, { rules });

export const rule = (verbs: string, apiGroups: string, resources: string, resourceNames?: readonly string[]) => ({
  verbs: verbs.split(' '),
  apiGroups: apiGroups.split(' ').map((group) => (group === 'core' ? '' : group)),
  resources: resources.split(' '),
  ...(resourceNames === undefined ? {} : { resourceNames }),
});

interface Bound {
  readonly name?: string;
  readonly namespace?: string;
  readonly role: string;
  readonly kind?: 'Role' | 'ClusterRole';
}

export const binding = (
  { name = 'some-binding', namespace = '', role: roleName, kind = 'ClusterRole' }: Bound,
  ...subjects: readonly JsonRecord[]
): JsonRecord => object(namespace, name, { roleRef: { kind, name: roleName }, subjects });

export const account = (namespace: string, name: string): JsonRecord => ({ kind: 'ServiceAccount', namespace, name });
export const user = (name: string): JsonRecord => ({ kind: 'User', name });
export const group = (name: string): JsonRecord => ({ kind: 'Group', name });
