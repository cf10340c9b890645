/** Errors to plant in a cluster, next to correct objects, and what posture must then find: all of them and nothing else. */

const RBAC = 'rbac.authorization.k8s.io';
const PAUSE = 'registry.example/pause:1';

/** Must never be printed. */
export const PLANTED_VALUES = ['correct-horse-battery', 'MIGHAgEAMBMGByqGSM49', 'hunter2-of-the-ledger'] as const;

type Manifest = Readonly<Record<string, unknown>>;

const object = (kind: string, namespace: string, name: string, rest: Manifest = {}, apiVersion = 'v1') => ({
  apiVersion,
  kind,
  metadata: { name, ...(namespace === '' ? {} : { namespace }) },
  ...rest,
});

const role = (name: string, verbs: string[], apiGroups: string[], resources: string[]) =>
  object('ClusterRole', '', name, { rules: [{ verbs, apiGroups, resources }] }, `${RBAC}/v1`);

const binding = (name: string, roleName: string, subjects: readonly Manifest[], namespace = '') =>
  object(
    namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding',
    namespace,
    name,
    { roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: roleName }, subjects },
    `${RBAC}/v1`,
  );

const account = (namespace: string, name: string) => ({ kind: 'ServiceAccount', namespace, name });
const user = (name: string) => ({ kind: 'User', apiGroup: RBAC, name });
const group = (name: string) => ({ kind: 'Group', apiGroup: RBAC, name });

const pod = (namespace: string, name: string, spec: Manifest, container: Manifest = {}) =>
  object('Pod', namespace, name, { spec: { ...spec, containers: [{ name: 'main', image: PAUSE, ...container }] } });

const policy = (namespace: string, name: string, spec: Manifest) =>
  object('NetworkPolicy', namespace, name, { spec }, 'networking.k8s.io/v1');

const deny = (namespace: string) => policy(namespace, 'deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });

const secretVariable = { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } };

/** What is as it should be: none of it may be found. */
const GOOD: readonly Manifest[] = [
  object('Namespace', '', 'kept-well'),
  deny('kept-well'),
  object('ServiceAccount', 'kept-well', 'reader', {}),
  object('ServiceAccount', 'kept-well', 'quiet', { automountServiceAccountToken: false }),
  role('posture-reader', ['get', 'list'], [''], ['pods']),
  binding(
    'readers',
    'posture-reader',
    [account('kept-well', 'reader'), user('demo:alice'), group('demo:developers')],
    'kept-well',
  ),
  pod('kept-well', 'uses-its-token', { serviceAccountName: 'reader' }),
  pod('kept-well', 'has-none', { automountServiceAccountToken: false }),
  pod('kept-well', 'account-says-no', { serviceAccountName: 'quiet' }),
  pod(
    'kept-well',
    'reads-files',
    { automountServiceAccountToken: false, volumes: [{ name: 'db', secret: { secretName: 'db' } }] },
    { env: [{ name: 'MODE', value: 'plain' }], volumeMounts: [{ name: 'db', mountPath: '/db' }] },
  ),
  object('Secret', 'kept-well', 'db', { stringData: { password: PLANTED_VALUES[2] } }),
  object('ConfigMap', 'kept-well', 'settings', {
    data: {
      color: 'green',
      'password-policy': 'twelve-letters',
      'token-url': 'https://id.example.com/token',
      password: '${DB_PASSWORD}',
      'password-file': '/var/run/secrets/db/password',
      token: 'true',
      'ca.crt': '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
      'app.yaml': 'db:\n  url: https://db.example.com:5432/db\n  password: ${PASSWORD}\n  secretName: db\n',
    },
  }),
];

const ERRORS: readonly Manifest[] = [
  object('Namespace', '', 'shop'),
  object('Namespace', '', 'half-open'),
  deny('half-open'),
  policy('half-open', 'let-all-in', { podSelector: {}, ingress: [{}] }),
  {
    ...object('Secret', 'shop', 'ci-token', { type: 'kubernetes.io/service-account-token' }),
    metadata: {
      name: 'ci-token',
      namespace: 'shop',
      annotations: { 'kubernetes.io/service-account.name': 'ci' },
      labels: { 'kubernetes.io/legacy-token-last-used': '2025-03-01' },
    },
  },
  ...['ci', 'operator', 'delegate', 'idle'].map((name) => object('ServiceAccount', 'shop', name)),
  role('posture-operator', ['get', 'list'], ['apps'], ['*']),
  role('posture-delegate', ['impersonate'], [''], ['users']),
  binding('ci-is-admin', 'cluster-admin', [account('shop', 'ci')]),
  binding('operator', 'posture-operator', [account('shop', 'operator')], 'shop'),
  binding('delegate', 'posture-delegate', [user('system:serviceaccount:shop:delegate')]),
  binding('jane', 'posture-reader', [user('jane@example.com')]),
  binding('ops', 'cluster-admin', [group('ops'), group('demo:admins')]),
  binding('guests', 'posture-reader', [group('system:unauthenticated')]),
  binding('gate-extra', 'posture-reader', [account('portcullis', 'portcullis')]),
  object('ConfigMap', 'shop', 'settings', { data: { DB_PASSWORD: PLANTED_VALUES[0], color: 'green' } }),
  object('ConfigMap', 'shop', 'keys', {
    data: { tls: `-----BEGIN PRIVATE KEY-----\n${PLANTED_VALUES[1]}\n-----END PRIVATE KEY-----\n` },
  }),
  pod('shop', 'idle', { serviceAccountName: 'idle' }),
  pod('shop', 'web', { automountServiceAccountToken: false }, { env: [secretVariable] }),
  pod(
    'kube-system',
    'kube-apiserver-a',
    { automountServiceAccountToken: false },
    {
      name: 'kube-apiserver',
      command: ['kube-apiserver', '--authorization-mode=RBAC'],
    },
  ),
];

/** As kubectl applies them. */
export const plantedManifests = (more: readonly Manifest[] = []): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...GOOD, ...ERRORS, ...more] });

/** `rule place`, of the errors above. */
export const PLANTED: readonly string[] = [
  'account-admin shop/ServiceAccount/ci',
  'account-escalation shop/ServiceAccount/delegate',
  'account-wildcard shop/ServiceAccount/operator',
  'admin-bypasses-proxy Group/ops',
  'anonymous-access Group/system:unauthenticated',
  'api-server-audit kube-system/Pod/kube-apiserver-a',
  'credential-in-configmap shop/ConfigMap/keys',
  'credential-in-configmap shop/ConfigMap/settings',
  'encryption-at-rest kube-system/Pod/kube-apiserver-a',
  'proxy-account portcullis/ServiceAccount/portcullis',
  'legacy-token shop/Secret/ci-token',
  'no-default-deny half-open/Namespace/half-open',
  'no-default-deny shop/Namespace/shop',
  'user-bypasses-proxy User/jane@example.com',
  'secret-in-environment shop/Pod/web',
  'token-mounted shop/ServiceAccount/idle',
];

const template = (labels: Manifest, container: Manifest) => ({
  metadata: { labels },
  spec: { automountServiceAccountToken: false, containers: [{ name: 'main', image: PAUSE, ...container }] },
});

const labels = { app: 'ledger' };
const everything = [{ secretRef: { name: 'db' } }, { configMapRef: { name: 'settings' } }];
const jobTemplate = template(labels, { env: [secretVariable] });

/** For a cluster that keeps workloads. */
export const WORKLOAD_MANIFESTS: readonly Manifest[] = [
  object(
    'Deployment',
    'shop',
    'ledger',
    {
      spec: {
        selector: { matchLabels: labels },
        template: template(labels, { env: [secretVariable], envFrom: everything }),
      },
    },
    'apps/v1',
  ),
  object(
    'CronJob',
    'shop',
    'nightly',
    {
      spec: {
        schedule: '0 3 * * *',
        jobTemplate: { spec: { template: { ...jobTemplate, spec: { ...jobTemplate.spec, restartPolicy: 'Never' } } } },
      },
    },
    'batch/v1',
  ),
];

export const PLANTED_WORKLOADS: readonly string[] = [
  'secret-in-environment shop/CronJob/nightly',
  'secret-in-environment shop/Deployment/ledger',
];

export interface PostureReport {
  readonly summary: Readonly<Record<string, number>>;
  readonly findings: readonly {
    readonly rule: string;
    readonly severity: string;
    readonly namespace: string;
    readonly object: string;
    readonly evidence: string;
    readonly mend: readonly string[];
  }[];
  readonly waived: readonly { readonly rule: string; readonly reason: string; readonly until: string }[];
  readonly rules: readonly { readonly id: string; readonly state: string; readonly why?: string }[];
}

/** `rule place` of each finding, sorted. */
export const foundIn = ({ findings }: PostureReport): readonly string[] =>
  findings
    .map(({ rule, namespace, object: name }) => `${rule} ${namespace === '' ? name : `${namespace}/${name}`}`)
    .toSorted();
