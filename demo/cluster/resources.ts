/** The kinds of objects that this cluster keeps, and the few that it only answers questions with. */

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export interface ResourceType {
  readonly group: string;
  readonly version: string;
  /** Plural, as in paths. */
  readonly resource: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly Subresource[];
  /** Field selectors beside `metadata.name` and `metadata.namespace`. */
  readonly fields: readonly string[];
}

export interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly Verb[];
}

const ALL: readonly Verb[] = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const READ: readonly Verb[] = ['get', 'list', 'watch'];
export const RBAC = 'rbac.authorization.k8s.io';

type Sketch = Pick<ResourceType, 'resource' | 'singular' | 'kind' | 'namespaced'> & Partial<ResourceType>;

const type = (sketch: Sketch): ResourceType => ({
  group: '',
  version: 'v1',
  verbs: ALL,
  shortNames: [],
  categories: [],
  subresources: [],
  fields: [],
  ...sketch,
});

const review = (group: string, resource: string, kind: string): ResourceType =>
  type({ group, resource, singular: kind.toLowerCase(), kind, namespaced: false, verbs: ['create'] });

const stream = (name: string, kind: string): Subresource => ({ name, kind, verbs: ['create', 'get'] });

export const EVENTS = type({
  resource: 'events',
  singular: 'event',
  kind: 'Event',
  namespaced: true,
  shortNames: ['ev'],
  fields: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'type',
    'reportingComponent',
  ],
});

export const PODS = type({
  resource: 'pods',
  singular: 'pod',
  kind: 'Pod',
  namespaced: true,
  shortNames: ['po'],
  categories: ['all'],
  fields: ['spec.nodeName', 'spec.restartPolicy', 'status.phase', 'status.podIP'],
  subresources: [
    stream('attach', 'PodAttachOptions'),
    stream('exec', 'PodExecOptions'),
    { name: 'log', kind: 'Pod', verbs: ['get'] },
    stream('portforward', 'PodPortForwardOptions'),
  ],
});

export const NAMESPACES = type({
  resource: 'namespaces',
  singular: 'namespace',
  kind: 'Namespace',
  namespaced: false,
  shortNames: ['ns'],
  verbs: ALL.filter((verb) => verb !== 'deletecollection'),
  fields: ['status.phase'],
});

const SERVICES = type({
  resource: 'services',
  singular: 'service',
  kind: 'Service',
  namespaced: true,
  shortNames: ['svc'],
  categories: ['all'],
});

export const CLUSTER_ROLES = type({
  group: RBAC,
  resource: 'clusterroles',
  singular: 'clusterrole',
  kind: 'ClusterRole',
  namespaced: false,
});
export const CLUSTER_ROLE_BINDINGS = type({
  group: RBAC,
  resource: 'clusterrolebindings',
  singular: 'clusterrolebinding',
  kind: 'ClusterRoleBinding',
  namespaced: false,
});
export const ROLES = type({
  group: RBAC,
  resource: 'roles',
  singular: 'role',
  kind: 'Role',
  namespaced: true,
});
export const ROLE_BINDINGS = type({
  group: RBAC,
  resource: 'rolebindings',
  singular: 'rolebinding',
  kind: 'RoleBinding',
  namespaced: true,
});

export const SERVICE_ACCOUNTS = type({
  resource: 'serviceaccounts',
  singular: 'serviceaccount',
  kind: 'ServiceAccount',
  namespaced: true,
  shortNames: ['sa'],
});

/** Nothing enforces them: no pod here reaches another. */
const NETWORK_POLICIES = type({
  group: 'networking.k8s.io',
  resource: 'networkpolicies',
  singular: 'networkpolicy',
  kind: 'NetworkPolicy',
  namespaced: true,
  shortNames: ['netpol'],
});

/** Kinds that a controller gives life to, of which there is none here: they can be listed, and there are none. */
const LIFELESS: readonly ResourceType[] = [
  ['apps', 'deployment', 'Deployment', 'deploy'],
  ['apps', 'statefulset', 'StatefulSet', 'sts'],
  ['apps', 'daemonset', 'DaemonSet', 'ds'],
  ['batch', 'job', 'Job'],
  ['batch', 'cronjob', 'CronJob', 'cj'],
].map(([group = '', singular = '', kind = '', ...shortNames]) =>
  type({ group, resource: `${singular}s`, singular, kind, namespaced: true, shortNames, verbs: READ }),
);

const CERTIFICATE_REQUESTS = type({
  group: 'certificates.k8s.io',
  resource: 'certificatesigningrequests',
  singular: 'certificatesigningrequest',
  kind: 'CertificateSigningRequest',
  namespaced: false,
  shortNames: ['csr'],
  verbs: READ,
});

/** Kinds with objects behind them. */
export const STORED: readonly ResourceType[] = [
  type({ resource: 'configmaps', singular: 'configmap', kind: 'ConfigMap', namespaced: true, shortNames: ['cm'] }),
  EVENTS,
  NAMESPACES,
  PODS,
  type({ resource: 'secrets', singular: 'secret', kind: 'Secret', namespaced: true, fields: ['type'] }),
  SERVICES,
  CLUSTER_ROLE_BINDINGS,
  CLUSTER_ROLES,
  ROLE_BINDINGS,
  ROLES,
  SERVICE_ACCOUNTS,
  NETWORK_POLICIES,
  ...LIFELESS,
  CERTIFICATE_REQUESTS,
];

/** Kinds that are answers: created, answered, never kept. */
export const REVIEWS: readonly ResourceType[] = [
  review('authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview'),
  review('authentication.k8s.io', 'tokenreviews', 'TokenReview'),
  review('authorization.k8s.io', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview'),
  review('authorization.k8s.io', 'selfsubjectrulesreviews', 'SelfSubjectRulesReview'),
  review('authorization.k8s.io', 'subjectaccessreviews', 'SubjectAccessReview'),
];

export const RESOURCES: readonly ResourceType[] = [...STORED, ...REVIEWS];

/** `v1`, `rbac.authorization.k8s.io/v1`. */
export const apiVersionOf = (resource: Pick<ResourceType, 'group' | 'version'>): string =>
  resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;

export function findResource(group: string, version: string, resource: string): ResourceType | undefined {
  return RESOURCES.find((each) => each.group === group && each.version === version && each.resource === resource);
}
