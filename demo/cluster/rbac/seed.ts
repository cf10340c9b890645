/** Roles and bindings that the cluster is born with. Names without `demo` are those of a real cluster. */
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { defined } from '../../../src/core/defined.ts';

const RBAC = 'rbac.authorization.k8s.io';
const READ = ['get', 'list', 'watch'];
const CHANGE = ['create', 'delete', 'deletecollection', 'patch', 'update'];

type Reference = readonly [kind: 'User' | 'Group' | 'ServiceAccount', name: string, namespace?: string];

const role = (name: string, rules: JsonObject[], namespace?: string): KubeObject => ({
  apiVersion: `${RBAC}/v1`,
  kind: namespace === undefined ? 'ClusterRole' : 'Role',
  metadata: { name, ...defined({ namespace }) },
  rules,
});

function binding(name: string, roleName: string, to: readonly Reference[], namespace?: string): KubeObject {
  const scope = namespace === undefined ? 'Cluster' : '';
  return {
    apiVersion: `${RBAC}/v1`,
    kind: `${scope}RoleBinding`,
    metadata: { name, ...defined({ namespace }) },
    roleRef: { apiGroup: RBAC, kind: `${scope}Role`, name: roleName },
    subjects: to.map(([kind, subject, at]) =>
      at === undefined ? { kind, apiGroup: RBAC, name: subject } : { kind, name: subject, namespace: at },
    ),
  };
}

const discovery = ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*', '/healthz', '/livez', '/readyz'];

/** The rules of a real cluster's `edit`, for the resources that there are here. */
const EDIT: JsonObject[] = [
  {
    verbs: [...READ, ...CHANGE],
    apiGroups: [''],
    resources: [
      'pods',
      'pods/attach',
      'pods/exec',
      'pods/portforward',
      'configmaps',
      'secrets',
      'serviceaccounts',
      'services',
    ],
  },
  { verbs: READ, apiGroups: [''], resources: ['events', 'namespaces', 'pods/log'] },
  { verbs: ['impersonate'], apiGroups: [''], resources: ['serviceaccounts'] },
  { verbs: [...READ, ...CHANGE], apiGroups: ['apps'], resources: ['daemonsets', 'deployments', 'statefulsets'] },
  { verbs: [...READ, ...CHANGE], apiGroups: ['batch'], resources: ['cronjobs', 'jobs'] },
  { verbs: [...READ, ...CHANGE], apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] },
];

/** By this a real API server knows what it made itself. */
const bornWith = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' } },
});

/** What a real cluster gives to its administrators and to anyone who is signed in. */
const born = (): KubeObject[] =>
  [
    role('cluster-admin', [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ]),
    role('edit', EDIT),
    role('system:discovery', [{ verbs: ['get'], nonResourceURLs: [...discovery, '/version', '/version/'] }]),
    role('system:basic-user', [
      {
        verbs: ['create'],
        apiGroups: ['authorization.k8s.io'],
        resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
      },
      { verbs: ['create'], apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'] },
    ]),
    binding('cluster-admin', 'cluster-admin', [['Group', 'system:masters']]),
    binding('system:discovery', 'system:discovery', [['Group', 'system:authenticated']]),
    binding('system:basic-user', 'system:basic-user', [['Group', 'system:authenticated']]),
  ].map(bornWith);

/** Portcullis' own account: it may impersonate users and ask what they may do, and nothing else. */
const guard = (extraKeys: readonly string[]): KubeObject[] => [
  role('portcullis', [
    { verbs: ['impersonate'], apiGroups: [''], resources: ['users', 'groups', 'serviceaccounts'] },
    {
      verbs: ['impersonate'],
      apiGroups: ['authentication.k8s.io'],
      resources: ['uids', ...extraKeys.map((key) => `userextras/${key}`)],
    },
    { verbs: ['create'], apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'] },
    { verbs: ['create'], apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'] },
  ]),
  binding('portcullis', 'portcullis', [['ServiceAccount', 'portcullis', 'portcullis']]),
];

/** The demo's users: developers work in `default`, admins everywhere, and a user without a group may do nothing here. */
const users = (): KubeObject[] => [
  role('demo:namespace-reader', [{ verbs: READ, apiGroups: [''], resources: ['namespaces'] }]),
  binding('demo:namespace-readers', 'demo:namespace-reader', [['Group', 'demo:developers']]),
  role(
    'demo:developer',
    [
      { verbs: [...READ, ...CHANGE], apiGroups: [''], resources: ['pods', 'configmaps', 'services'] },
      { verbs: ['get'], apiGroups: [''], resources: ['pods/log'] },
      { verbs: ['get', 'create'], apiGroups: [''], resources: ['pods/exec', 'pods/attach', 'pods/portforward'] },
      { verbs: READ, apiGroups: [''], resources: ['events'] },
    ],
    'default',
  ),
  binding('demo:developers', 'demo:developer', [['Group', 'demo:developers']], 'default'),
  binding('demo:admins', 'cluster-admin', [['Group', 'demo:admins']]),
  // No user has the group all the time: it is of a role that developers may ask for (demo/demo.ts).
  role('demo:secrets-reader', [{ verbs: READ, apiGroups: [''], resources: ['secrets'] }], 'default'),
  binding('demo:secrets-reader', 'demo:secrets-reader', [['Group', 'granted:secrets-reader']], 'default'),
  // For `kubectl --as demo:limited`: the one user that developers may act as, who may read config maps and nothing else.
  role('demo:as-limited', [
    { verbs: ['impersonate'], apiGroups: [''], resources: ['users'], resourceNames: ['demo:limited'] },
  ]),
  binding('demo:as-limited', 'demo:as-limited', [['Group', 'demo:developers']]),
  role('demo:limited', [{ verbs: READ, apiGroups: [''], resources: ['configmaps'] }], 'default'),
  binding('demo:limited', 'demo:limited', [['User', 'demo:limited']], 'default'),
];

/** @param extraKeys keys of `extra` that Portcullis may set while impersonating */
export const rbacObjects = (extraKeys: readonly string[]): KubeObject[] => [...born(), ...guard(extraKeys), ...users()];
