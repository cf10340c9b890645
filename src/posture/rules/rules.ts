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
    why: 'An attacker who takes over a program that can do everything controls the cluster.',
    fix: 'Write a role that names only what the program needs, bind it, and remove the account from the binding.',
    reads: BINDINGS,
  },
  {
    id: 'account-escalation',
    title: 'Service account that can give itself rights',
    severity: 'high',
    why: '`escalate`, `bind` and `impersonate` lead to every other right, although the role contains none of them.',
    fix: 'Remove the verb from the role, or restrict it to a few names with `resourceNames`.',
    reads: BINDINGS,
  },
  {
    id: 'admin-bypasses-proxy',
    title: 'Admin who bypasses Portcullis',
    severity: 'high',
    why: 'A name that no provider of Portcullis gives has a strong right. Portcullis can neither audit nor revoke the use of that name.',
    fix: 'Bind the group of a provider instead. Keep one documented and monitored way in for emergencies, and waive it with a date.',
    reads: BINDINGS,
  },
  {
    id: 'anonymous-access',
    title: 'Anonymous users may do more than the defaults',
    severity: 'high',
    why: 'Anyone on the network has the rights of `system:anonymous` and `system:unauthenticated`.',
    fix: 'Remove the subject from the binding.',
    reads: BINDINGS,
    whole: true,
  },
  {
    id: 'constrained-inert',
    title: 'Constrained impersonation that a legacy right makes inert',
    severity: 'high',
    why: 'The account of Portcullis has rights to constrained impersonation, but also the verb `impersonate`. The API server accepts either, so an attacker with the account’s token can act as a user for every verb.',
    fix: 'Remove the verb `impersonate` from every role of the account.',
    reads: BINDINGS,
  },
  {
    id: 'credential-in-configmap',
    title: 'Credential in a ConfigMap',
    severity: 'high',
    why: 'Nearly every user may read ConfigMaps, they are not encrypted at rest, and they end up in repositories and tickets.',
    fix: 'Have the credential replaced where it was issued, keep the new one in a Secret, and remove the key from the ConfigMap.',
    reads: ['configmaps'],
  },
  {
    id: 'legacy-token',
    title: 'Long-lived service account token',
    severity: 'high',
    why: 'The token in a Secret of type kubernetes.io/service-account-token never expires. An attacker who has ever read it, or a backup of it, can use it permanently.',
    fix: 'Give pods a projected volume, and everything else a token for each run, then delete the Secret.',
    reads: ['secrets'],
  },
  {
    id: 'proxy-account',
    title: 'The account of Portcullis may do more than it needs',
    severity: 'high',
    why: 'The account of Portcullis can act as other users. Any further right is one more way for an attacker who takes over a replica.',
    fix: 'Apply `deploy/examples/service-account.yaml`, and remove the account from other bindings.',
    reads: BINDINGS,
    whole: true,
  },
  {
    id: 'account-wildcard',
    title: 'Service account with wildcards',
    severity: 'medium',
    why: 'A wildcard includes everything that is added later: new verbs and new resources. Secrets are included too.',
    fix: 'Name the verbs and resources that the program uses.',
    reads: BINDINGS,
  },
  {
    id: 'api-server-audit',
    title: 'API server without an audit log',
    severity: 'medium',
    why: 'Portcullis audits the requests that it proxies. Only the audit log of the API server shows requests that bypass it.',
    fix: 'Run the API server with --audit-policy-file and --audit-log-path.',
    reads: ['pods'],
  },
  {
    id: 'client-certificate',
    title: 'Client certificate that a user can use',
    severity: 'medium',
    why: 'Kubernetes cannot revoke a client certificate: it works until it expires, at the API server itself.',
    fix: 'Remove its names from every binding. Let users sign in to Portcullis instead.',
    reads: ['certificatesigningrequests'],
  },
  {
    id: 'encryption-at-rest',
    title: 'Unencrypted Secrets in etcd',
    severity: 'medium',
    why: 'An attacker who can read etcd, its disk or its backup can read every Secret.',
    fix: 'Run the API server with --encryption-provider-config, then write every Secret once more.',
    reads: ['pods'],
  },
  {
    id: 'no-default-deny',
    title: 'Namespace without a default deny',
    severity: 'medium',
    why: 'Where no NetworkPolicy says otherwise, every pod of the cluster can reach every other.',
    fix: 'Deny by default, then allow only what is needed.',
    reads: ['namespaces', 'networkpolicies'],
    whole: true,
  },
  {
    id: 'user-bypasses-proxy',
    title: 'User or group that bypasses Portcullis',
    severity: 'medium',
    why: 'A name that no provider of Portcullis gives has a right. Portcullis can neither audit nor revoke the use of that name.',
    fix: 'Bind the group of a provider instead.',
    reads: BINDINGS,
  },
  {
    id: 'waiver-expired',
    title: 'Expired waiver',
    severity: 'medium',
    why: 'The finding was to be checked again by that day.',
    fix: 'Fix the finding, or waive it again with a valid reason.',
    reads: [],
  },
  {
    id: 'secret-in-environment',
    title: 'Secret in an environment variable',
    severity: 'low',
    why: 'Variables appear in crash dumps, in logs and in every child process, and stay unchanged when the Secret is rotated.',
    fix: 'Mount the Secret as files.',
    reads: ['pods', 'deployments', 'statefulsets', 'daemonsets', 'jobs', 'cronjobs'],
  },
  {
    id: 'token-mounted',
    title: 'Mounted token without any rights',
    severity: 'low',
    why: 'An attacker who takes over the pod gets a credential for the API server, and the program does not need it.',
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
