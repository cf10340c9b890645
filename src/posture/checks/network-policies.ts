/** Namespaces in which pods that no NetworkPolicy selects can be reached. */
import { accumulate, type Check, type Finding } from '../rules/check.ts';
import { metaOf, recordAt, recordsAt, stringAt, stringsAt, type JsonRecord } from '../rules/json.ts';
import { comment, kubectlApply, type FixStep } from '../rules/kubectl.ts';

/**
 * The cluster's own namespaces: the last two hold no pods, and a default deny in the first can cut off the cluster
 * itself.
 */
const SYSTEM_NAMESPACES = new Set(['kube-system', 'kube-public', 'kube-node-lease']);

/** The policies of a namespace that select every pod. */
interface Policies {
  /** One of them allows only what it names. */
  denies: boolean;
  /** Name of one that allows everything: policies add up, so the others have no effect. */
  open: string;
}

export function networkPolicies(): Check {
  const namespaces = accumulate(
    () => new Set<string>(),
    (names, object) => {
      const ending = stringAt(recordAt(object, 'status'), 'phase') === 'Terminating';
      const { name } = metaOf(object);
      if (!ending && !SYSTEM_NAMESPACES.has(name)) names.add(name);
    },
  );
  const networkpolicies = accumulate(() => new Map<string, Policies>(), note);
  return {
    collectors: { namespaces, networkpolicies },
    outcome: () => ({
      findings: [...namespaces.value].flatMap((name) => findingsOf(name, networkpolicies.value.get(name))),
    }),
  };
}

function note(policies: Map<string, Policies>, object: JsonRecord): void {
  const spec = recordAt(object, 'spec');
  if (!selectsAll(recordAt(spec, 'podSelector')) || !isAboutIngress(spec)) return;
  const { name, namespace } = metaOf(object);
  const known = policies.get(namespace) ?? { denies: false, open: '' };
  policies.set(namespace, known);
  const open = recordsAt(spec, 'ingress').some(letsAllIn);
  if (open) known.open ||= name;
  else known.denies = true;
}

/** Returns true without `from`, or with every namespace or every address. With `ports` the rule is only about those. */
function letsAllIn(rule: JsonRecord): boolean {
  const from = recordsAt(rule, 'from');
  return recordsAt(rule, 'ports').length === 0 && (from.length === 0 || from.some(isAnywhere));
}

function isAnywhere(peer: JsonRecord): boolean {
  const block = recordAt(peer, 'ipBlock');
  if (stringAt(block, 'cidr').endsWith('/0')) return stringsAt(block, 'except').length === 0;
  // Without a selector of namespaces the peer is in the policy's own.
  if (!Object.hasOwn(peer, 'namespaceSelector')) return false;
  return selectsAll(recordAt(peer, 'namespaceSelector')) && selectsAll(recordAt(peer, 'podSelector'));
}

const selectsAll = (selector: JsonRecord): boolean =>
  Object.keys(recordAt(selector, 'matchLabels')).length === 0 && recordsAt(selector, 'matchExpressions').length === 0;

/** Returns true without `policyTypes` too: such a policy is about ingress. */
function isAboutIngress(spec: JsonRecord): boolean {
  const types = stringsAt(spec, 'policyTypes');
  return types.length === 0 || types.includes('Ingress');
}

function findingsOf(namespace: string, policies: Policies | undefined): readonly Finding[] {
  const finding = { rule: 'no-default-deny', namespace, object: `Namespace/${namespace}` } as const;
  if (policies !== undefined && policies.open !== '') {
    const evidence = `NetworkPolicy/${policies.open} allows all traffic to every pod, whatever the others say`;
    return [
      { ...finding, evidence, fix: [comment(`narrow or delete NetworkPolicy/${policies.open}`), ...deny(namespace)] },
    ];
  }
  if (policies?.denies === true) return [];
  return [
    { ...finding, evidence: 'no NetworkPolicy denies by default: every pod can be reached', fix: deny(namespace) },
  ];
}

const deny = (namespace: string): readonly FixStep[] => [
  comment('it immediately cuts off all traffic that no other policy allows: write those policies first'),
  kubectlApply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'default-deny', namespace },
    spec: { podSelector: {}, policyTypes: ['Ingress'] },
  }),
];
