/** What a role allows, reduced to the facts that the rules need, so that no role has to be kept. */
import { recordsAt, someOf, stringAt, stringsAt, type JsonRecord } from './json.ts';

/** The facts of one role. */
export interface RoleFacts {
  /** Every verb on every resource. */
  readonly admin: boolean;
  /** The wildcards, as text; empty: none. */
  readonly wildcard: string;
  /** The escalations by a ClusterRoleBinding, as text; empty: none. */
  readonly escalation: string;
  /** The escalations by a RoleBinding. */
  readonly escalationInNamespace: string;
  /** Only rights that a cluster gives to anonymous clients by default. */
  readonly open: boolean;
  /** Rights that the proxy's own account does not need, as text; empty: none. */
  readonly beyondProxy: string;
  /** The role gives the proxy the rights that it needs. */
  readonly ofProxy: boolean;
  /** Rights to impersonate by the legacy verb, as text; empty: none. */
  readonly legacyImpersonation: string;
  /** The role has verbs of constrained impersonation. */
  readonly constrainedImpersonation: boolean;
}

const NO_RIGHTS: RoleFacts = {
  admin: false,
  wildcard: '',
  escalation: '',
  escalationInNamespace: '',
  open: false,
  beyondProxy: '',
  ofProxy: false,
  legacyImpersonation: '',
  constrainedImpersonation: false,
};

/** Returns facts about a role that could not be found; one name says enough. */
export const factsByName = (kind: string, name: string): RoleFacts =>
  kind === 'ClusterRole' && name === 'cluster-admin'
    ? { ...NO_RIGHTS, admin: true, beyondProxy: 'everything', legacyImpersonation: 'everything' }
    : { ...NO_RIGHTS, beyondProxy: `what ${kind}/${name} allows` };

interface PolicyRule {
  readonly verbs: readonly string[];
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  readonly names: readonly string[];
  readonly paths: readonly string[];
}

const policyRule = (rule: JsonRecord): PolicyRule => ({
  verbs: stringsAt(rule, 'verbs'),
  groups: stringsAt(rule, 'apiGroups'),
  resources: stringsAt(rule, 'resources'),
  names: stringsAt(rule, 'resourceNames'),
  paths: stringsAt(rule, 'nonResourceURLs'),
});

/** @param namespace of the role; empty for a ClusterRole */
export function factsOf(role: JsonRecord, namespace: string): RoleFacts {
  const rules = recordsAt(role, 'rules').map(policyRule);
  const beyond = rules.filter((rule) => !isOfProxy(rule)).map(describeRule);
  return {
    admin: rules.some(isAdmin),
    wildcard: short(rules.filter(isWildcard).map(describeRule)),
    escalation: short(rules.flatMap((rule) => escalationsOf(rule, ESCALATIONS))),
    escalationInNamespace: short(rules.flatMap((rule) => escalationsOf(rule, ESCALATIONS_IN_NAMESPACE))),
    open: rules.every((rule) => isOpen(rule, namespace)),
    beyondProxy: short(beyond),
    ofProxy: rules.some((rule) => isOfProxy(rule) && rule.verbs.some(isImpersonation)),
    legacyImpersonation: short(rules.filter(impersonatesByLegacy).map(describeRule)),
    constrainedImpersonation: rules.some(({ verbs }) => verbs.some((verb) => verb.startsWith('impersonate:'))),
  };
}

const isImpersonation = (verb: string): boolean => verb === 'impersonate' || verb.startsWith('impersonate:');

/** Whether the rule lets the API server accept a user by the legacy verb, whatever else it asks for them. */
const impersonatesByLegacy = ({ verbs, groups, resources }: PolicyRule): boolean =>
  ['impersonate', '*'].some((one) => verbs.includes(one)) &&
  ['', '*'].some((one) => groups.includes(one)) &&
  ['users', 'serviceaccounts', '*'].some((one) => resources.includes(one));

/** Stored for each role, so bounded: a role can have thousands of rules. */
const short = (descriptions: readonly string[]): string => someOf([...new Set(descriptions)], 2).slice(0, 300);

function describeRule({ verbs, groups, resources, paths }: PolicyRule): string {
  const what = resources.length > 0 ? resources : paths;
  const where = resources.length > 0 && groups.some((group) => group !== '') ? ` of ${someOf(groups, 2)}` : '';
  return `${someOf(verbs, 3)} on ${someOf(what, 3)}${where}`;
}

const isAdmin = ({ verbs, groups, resources, names }: PolicyRule): boolean =>
  verbs.includes('*') && groups.includes('*') && resources.includes('*') && names.length === 0;

const isWildcard = ({ verbs, resources }: PolicyRule): boolean =>
  resources.length > 0 && (verbs.includes('*') || resources.some((resource) => resource === '*' || resource === '*/*'));

type Escalation = readonly [verb: string, group: string, resources: readonly string[]];

const RBAC = 'rbac.authorization.k8s.io';
const AUTHENTICATION = 'authentication.k8s.io';

/** Resources whose rights lead to more rights, with their verbs. `userextras/…` alone makes no client another user. */
const ESCALATIONS: readonly Escalation[] = [
  ['escalate', RBAC, ['roles', 'clusterroles']],
  ['bind', RBAC, ['roles', 'clusterroles']],
  ['impersonate', '', ['users', 'groups', 'serviceaccounts']],
  ['impersonate', AUTHENTICATION, ['uids']],
  // What may be done as them is in other rules (`impersonate-on:MODE:VERB`), which alone lead nowhere.
  ['impersonate:user-info', AUTHENTICATION, ['users', 'groups', 'uids']],
  ['impersonate:serviceaccount', AUTHENTICATION, ['serviceaccounts']],
  ['impersonate:arbitrary-node', AUTHENTICATION, ['nodes']],
];

/**
 * The escalations that the API server checks in a namespace. Impersonation of a user or a group it checks in the
 * whole cluster.
 */
const ESCALATIONS_IN_NAMESPACE: readonly Escalation[] = [
  ['escalate', RBAC, ['roles']],
  ['bind', RBAC, ['roles', 'clusterroles']],
  ['impersonate', '', ['serviceaccounts']],
  ['impersonate:serviceaccount', AUTHENTICATION, ['serviceaccounts']],
];

/** A role with every right has its own rule. */
function escalationsOf(rule: PolicyRule, escalations: readonly Escalation[]): readonly string[] {
  if (isAdmin(rule)) return [];
  const { verbs, groups, resources } = rule;
  return escalations.flatMap(([verb, group, dangerous]) => {
    const which = resources.filter((one) => one === '*' || dangerous.includes(one));
    const has = [verb, '*'].some((one) => verbs.includes(one)) && [group, '*'].some((one) => groups.includes(one));
    return has && which.length > 0 ? [`${verb} on ${someOf(which, 3)}`] : [];
  });
}

/**
 * Paths for anonymous clients: `system:public-info-viewer`, the keys of tokens (RFC 8414 and OpenID Connect
 * Discovery), and the same of OpenShift.
 */
const OPEN_PATHS = /^\/(?:healthz|livez|readyz|version|openid\/v1\/jwks|\.well-known(?:\/[a-z*-]*)?)\/?$/;

function isOpen(rule: PolicyRule, namespace: string): boolean {
  if (rule.verbs.some((verb) => verb !== 'get')) return false;
  if (rule.resources.length === 0) return rule.paths.every((path) => OPEN_PATHS.test(path));
  // kubeadm lets anonymous clients read the cluster's address and CA, in order to join it.
  return namespace === 'kube-public' && rule.resources.join() === 'configmaps' && rule.names.join() === 'cluster-info';
}

/**
 * The rights that the proxy needs: those of deploy/examples/service-account.yaml and of
 * service-account-constrained.yaml (a unit test compares them), and service accounts for `--as`.
 */
const PROXY: readonly (readonly [verb: string, group: string, resources: readonly (string | RegExp)[]])[] = [
  ['impersonate', '', ['users', 'groups', 'serviceaccounts']],
  // Each key by its name; others are in the configuration (`clusters[].impersonate.extra`), which a cluster does
  // not show.
  ['impersonate', AUTHENTICATION, ['uids', /^userextras\/[^*]+$/]],
  ['impersonate:user-info', AUTHENTICATION, ['users', 'groups', 'uids', /^userextras\/[^*]+$/]],
  ['impersonate:serviceaccount', AUTHENTICATION, ['serviceaccounts']],
  ['create', AUTHENTICATION, ['tokenreviews']],
  ['create', 'authorization.k8s.io', ['subjectaccessreviews', 'selfsubjectaccessreviews']],
];

/** What may be done as another user. Whatever it names is no right of the account itself. */
const IMPERSONATE_ON = /^impersonate-on:(?:user-info|serviceaccount):[a-z]*$/;

function isOfProxy({ verbs, groups, resources, paths }: PolicyRule): boolean {
  if (verbs.every((verb) => IMPERSONATE_ON.test(verb))) return true;
  if (resources.length === 0) {
    return verbs.every((verb) => verb === 'get') && paths.every((path) => OPEN_PATHS.test(path));
  }
  return verbs.every((verb) =>
    groups.every((group) => {
      const allowed = PROXY.filter(([itsVerb, itsGroup]) => itsVerb === verb && itsGroup === group);
      return resources.every((one) =>
        allowed.some(([, , those]) => those.some((that) => (typeof that === 'string' ? that === one : that.test(one)))),
      );
    }),
  );
}

export interface Subject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** The subject as the binding has it. */
  readonly written: JsonRecord;
}

export interface Binding {
  readonly kind: 'ClusterRoleBinding' | 'RoleBinding';
  /** Empty: the whole cluster. */
  readonly namespace: string;
  readonly name: string;
  readonly role: { readonly kind: string; readonly name: string };
  readonly subjects: readonly Subject[];
}

export const subjectsOf = (binding: JsonRecord): readonly Subject[] =>
  recordsAt(binding, 'subjects').map((subject) => {
    const [kind, name] = [stringAt(subject, 'kind'), stringAt(subject, 'name')];
    return asAccount({ kind, namespace: stringAt(subject, 'namespace'), name, written: subject });
  });

/** Returns the service account for a subject that is written as its user. */
function asAccount(subject: Subject): Subject {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(subject.name) ?? [];
  if (subject.kind !== 'User' || namespace === undefined || name === undefined) return subject;
  return { ...subject, kind: 'ServiceAccount', namespace, name };
}
