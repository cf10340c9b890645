/**
 * The catalogue: what each rule checks, why, and how to fix it. `docs/posture/` has a page for each, whose head is
 * generated from here.
 */
import type { Kind } from './kinds.ts';

export type Severity = 'high' | 'medium' | 'low';

/** The most severe first. */
export const SEVERITIES: readonly Severity[] = ['high', 'medium', 'low'];

export interface Rule {
  readonly id: string;
  readonly title: string;
  readonly severity: Severity;
  /** One or two sentences. */
  readonly why: string;
  readonly fix: string;
  /** The kinds that must be readable for it. */
  readonly reads: readonly Kind[];
  /**
   * With a part of `reads` the rule would report false findings, so it then reports none. Other rules report fewer,
   * and those are true.
   */
  readonly whole?: true;
}

const BINDINGS = ['clusterroles', 'roles', 'clusterrolebindings', 'rolebindings'] as const satisfies readonly Kind[];

const CATALOGUE = [
  {
    id: 'account-admin',
    title: 'Service account with every right',
    severity: 'high',
    why: 'A program that can do everything is the cluster, and so is whoever takes it over.',
    fix: 'Write a role that names what the program needs, bind it, and take the account out of the binding.',
    reads: BINDINGS,
  },
  {
    id: 'account-escalation',
    title: 'Service account that can give itself rights',
    severity: 'high',
    why: '`escalate`, `bind` and `impersonate` are ways to every right that there is, without one of them being in the role.',
    fix: 'Take the verb out of the role, or bind it to few names by `resourceNames`.',
    reads: BINDINGS,
  },
  {
    id: 'admin-past-gate',
    title: 'Admin who bypasses the gate',
    severity: 'high',
    why: 'A strong right is given to a name that no provider of the gate gives. Whoever comes by it is neither recorded nor revoked here.',
    fix: 'Bind the group of a provider instead. Keep one way in for emergencies, known and watched, and waive it with a date.',
    reads: BINDINGS,
  },
  {
    id: 'anonymous-access',
    title: 'Anonymous users may do more than the defaults',
    severity: 'high',
    why: 'What `system:anonymous` or `system:unauthenticated` may do, the whole network may do.',
    fix: 'Take the subject out of the binding.',
    reads: BINDINGS,
    whole: true,
  },
  {
    id: 'credential-in-configmap',
    title: 'Credential in a ConfigMap',
    severity: 'high',
    why: 'Nearly everybody may read ConfigMaps, they are not encrypted at rest, and they end up in repositories and tickets.',
    fix: 'Have the credential replaced where it comes from, keep the new one in a Secret, and take the key out of the ConfigMap.',
    reads: ['configmaps'],
  },
  {
    id: 'gate-account',
    title: 'The gate’s own account may do more than it needs',
    severity: 'high',
    why: 'The account of the gate can act as others. Anything beside that is a second way, for whoever takes over a replica.',
    fix: 'Apply `deploy/examples/service-account.yaml`, and take the account out of other bindings.',
    reads: BINDINGS,
    whole: true,
  },
  {
    id: 'legacy-token',
    title: 'Long-lived service account token',
    severity: 'high',
    why: 'The token in a Secret of type kubernetes.io/service-account-token never expires. Whoever has ever read it, or a backup of it, has it for good.',
    fix: 'Give pods a projected volume and everything else a token for each run, then delete the Secret.',
    reads: ['secrets'],
  },
  {
    id: 'account-wildcard',
    title: 'Service account with wildcards',
    severity: 'medium',
    why: 'A wildcard also gives what is added later: new verbs, new resources, Secrets among them.',
    fix: 'Name the verbs and resources that the program uses.',
    reads: BINDINGS,
  },
  {
    id: 'api-server-audit',
    title: 'API server without an audit log',
    severity: 'medium',
    why: 'The gate records what passes it. What passes it by, only the API server’s own log shows.',
    fix: 'Run the API server with --audit-policy-file and --audit-log-path.',
    reads: ['pods'],
  },
  {
    id: 'client-certificate',
    title: 'Client certificate that a person can use',
    severity: 'medium',
    why: 'Kubernetes cannot revoke a client certificate: it works until it expires, at the API server itself.',
    fix: 'Take the names in it out of every binding. Let people come through the gate instead.',
    reads: ['certificatesigningrequests'],
  },
  {
    id: 'encryption-at-rest',
    title: 'Secrets in the clear in etcd',
    severity: 'medium',
    why: 'Whoever reads etcd, its disk or its backup reads every Secret.',
    fix: 'Run the API server with --encryption-provider-config, then write every Secret once more.',
    reads: ['pods'],
  },
  {
    id: 'no-default-deny',
    title: 'Namespace without a default deny',
    severity: 'medium',
    why: 'Where no NetworkPolicy says otherwise, every pod of the cluster can reach every other.',
    fix: 'Deny by default, then let in what is needed.',
    reads: ['namespaces', 'networkpolicies'],
    whole: true,
  },
  {
    id: 'person-past-gate',
    title: 'User or group that bypasses the gate',
    severity: 'medium',
    why: 'A right is given to a name that no provider of the gate gives. Whoever comes by it is neither recorded nor revoked here.',
    fix: 'Bind the group of a provider instead.',
    reads: BINDINGS,
  },
  {
    id: 'waiver-expired',
    title: 'Waiver whose time is over',
    severity: 'medium',
    why: 'Somebody wanted to look at it again by that day.',
    fix: 'Mend what was waived, or waive it anew with a reason that holds.',
    reads: [],
  },
  {
    id: 'secret-in-environment',
    title: 'Secret in an environment variable',
    severity: 'low',
    why: 'Variables show in crash dumps, in logs and to every child process, and stay as they were when the Secret is rotated.',
    fix: 'Mount the Secret as files.',
    reads: ['pods', 'deployments', 'statefulsets', 'daemonsets', 'jobs', 'cronjobs'],
  },
  {
    id: 'token-mounted',
    title: 'Token mounted where no right belongs to it',
    severity: 'low',
    why: 'Whoever takes over the pod gets a credential for the API server, and the program has no use for it.',
    fix: 'Set `automountServiceAccountToken: false` on the account or in the pod’s template.',
    reads: ['clusterrolebindings', 'rolebindings', 'serviceaccounts', 'pods'],
    whole: true,
  },
] as const satisfies readonly Rule[];

export type RuleId = (typeof CATALOGUE)[number]['id'];

/** By severity, then by name. */
export const RULES: readonly (Rule & { readonly id: RuleId })[] = CATALOGUE;

export const isRuleId = (text: string): text is RuleId => RULES.some(({ id }) => id === text);

export function ruleOf(id: RuleId): Rule {
  const rule = RULES.find((one) => one.id === id);
  if (rule === undefined) throw new Error(`no rule ${id}`);
  return rule;
}

/** Below docs/. */
export const pageOf = (id: RuleId): string => `posture/${id}.md`;
