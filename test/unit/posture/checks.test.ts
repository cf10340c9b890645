import { beforeAll, describe, expect, test } from 'vitest';
import type { JsonRecord } from '../../../src/posture/rules/json.ts';
import { certificateRequest } from '../../support/posture-certificate.ts';
import { account, binding, checksOf, find, group, NOW, object, role, rule } from './objects.ts';
import { cpuMs } from '../../support/cpu-time.ts';

describe('a namespace without a default deny', () => {
  const policy = (spec: JsonRecord, name = 'p') => object('shop', name, { spec });
  const all = { podSelector: {} };

  test.each<[string, readonly JsonRecord[], boolean]>([
    ['none at all', [], true],
    ['one that denies ingress', [policy({ ...all, policyTypes: ['Ingress'] })], false],
    ['one without types, which is about ingress', [policy(all)], false],
    ['one that lets in only what it names', [policy({ ...all, ingress: [{ from: [{ podSelector: {} }] }] })], false],
    ['one about egress alone', [policy({ ...all, policyTypes: ['Egress'] })], true],
    ['one for some pods', [policy({ podSelector: { matchLabels: { app: 'web' } } })], true],
    [
      'one by an expression',
      [policy({ podSelector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } })],
      true,
    ],
    ['one that lets everything in', [policy({ ...all, ingress: [{}] })], true],
    ['one that lets every namespace in', [policy({ ...all, ingress: [{ from: [{ namespaceSelector: {} }] }] })], true],
    [
      'one that lets every pod of every namespace in',
      [policy({ ...all, ingress: [{ from: [{ namespaceSelector: {}, podSelector: {} }] }] })],
      true,
    ],
    [
      'one that lets some pods of every namespace in',
      [policy({ ...all, ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { a: 'b' } } }] }] })],
      false,
    ],
    [
      'one that lets every address in',
      [policy({ ...all, ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }] })],
      true,
    ],
    [
      'one that lets every address in but some',
      [policy({ ...all, ingress: [{ from: [{ ipBlock: { cidr: '::/0', except: ['fd00::/8'] } }] }] })],
      false,
    ],
    [
      'one that allows everyone to a port',
      [policy({ ...all, ingress: [{ from: [{ namespaceSelector: {} }], ports: [{ port: 80 }] }] })],
      false,
    ],
    ['a deny, and one that lets everything in', [policy(all), policy({ ...all, ingress: [{}] }, 'open')], true],
  ])('%s', (_, networkpolicies, found) => {
    expect(find({ namespaces: [object('', 'shop')], networkpolicies }, 'no-default-deny')).toHaveLength(found ? 1 : 0);
  });

  test('is none of the cluster’s own, nor one that is going', () => {
    const own = ['kube-system', 'kube-public', 'kube-node-lease'].map((name) => object('', name));
    const going = object('', 'old', { status: { phase: 'Terminating' } });
    expect(find({ namespaces: [...own, going] }, 'no-default-deny')).toEqual([]);
  });
});

describe('a token that is mounted for nothing', () => {
  const pod = (spec: JsonRecord = {}, rest: JsonRecord = {}) => object('shop', 'web', { spec, ...rest });
  const volume = {
    name: 'kube-api-access-x2b7f',
    projected: { sources: [{ serviceAccountToken: { path: 'token' } }] },
  };
  const off = [object('shop', 'default', { automountServiceAccountToken: false })];

  test.each<[string, JsonRecord, readonly JsonRecord[], boolean]>([
    ['a pod that says nothing', pod(), [], true],
    ['a pod that says no', pod({ automountServiceAccountToken: false }), [], false],
    ['an account that says no', pod(), off, false],
    ['a pod that says yes', pod({ automountServiceAccountToken: true }), off, true],
    ['a pod from before its account said no', pod({ volumes: [volume] }), off, true],
    [
      'the mirror of a static pod',
      pod({}, { metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } }),
      [],
      false,
    ],
    ['a pod that has ended', pod({}, { status: { phase: 'Succeeded' } }), [], false],
  ])('%s', (_, one, serviceaccounts, found) => {
    expect(find({ pods: [one], serviceaccounts }, 'token-mounted')).toHaveLength(found ? 1 : 0);
  });

  test.each([
    [account('shop', 'default'), 0],
    [group('system:serviceaccounts:shop'), 0],
    [group('system:serviceaccounts'), 0],
    [account('shop', 'other'), 1],
    [account('other', 'default'), 1],
  ])('is none where a binding names %j', (subject, found) => {
    const clusterrolebindings = [binding({ role: 'reader' }, subject)];
    expect(find({ pods: [pod()], clusterrolebindings }, 'token-mounted')).toHaveLength(found);
  });

  test.each([
    ['view', 0],
    ['system:basic-user', 1],
    ['system:discovery', 1],
  ])('is none where anyone who is signed in has a right by %s, unless every cluster has it', (name, found) => {
    const clusterrolebindings = [binding({ role: name }, group('system:authenticated'))];
    expect(find({ pods: [pod()], clusterrolebindings }, 'token-mounted')).toHaveLength(found);
  });

  test('is one where the right is given without any token as well', () => {
    const subjects = [group('system:authenticated'), group('system:unauthenticated')];
    const clusterrolebindings = [binding({ role: 'public-info' }, ...subjects)];
    expect(find({ pods: [pod()], clusterrolebindings }, 'token-mounted')).toHaveLength(1);
  });

  test('is one finding for all pods of an account, with three of their names', () => {
    const pods = ['a', 'b', 'c', 'd', 'e'].map((name) => object('shop', name, {}));
    expect(find({ pods }, 'token-mounted')).toMatchObject([
      { evidence: 'no binding gives it any right, and its token is mounted into Pod/a, Pod/b, Pod/c and 2 more' },
    ]);
  });
});

describe('a long-lived token', () => {
  const token = (name: unknown, labels: JsonRecord = {}) =>
    object('build', 'ci-token', {
      metadata: {
        annotations: { 'kubernetes.io/service-account.name': name },
        labels,
        creationTimestamp: '2023-04-11T08:00:00Z',
      },
    });
  const found = (one: JsonRecord) => find({ secrets: [one] }, 'legacy-token')[0];

  test('is told with its account, its age and its last use', () => {
    expect(found(token('ci', { 'kubernetes.io/legacy-token-last-used': '2026-11-24' }))?.evidence).toBe(
      'a token of ServiceAccount/ci that never expires, made 2023-04-11, last used 2026-11-24',
    );
    expect(found(token('ci', { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' }))?.evidence).toContain(
      'no recorded use, invalid since 2026-01-01',
    );
  });

  test.each(['--all-namespaces', '-x', "ci'; id", 'a\nb', 7, ''])(
    'of an account that is none is only deleted: %j',
    (name) => {
      expect(found(token(name))?.fix).toEqual([
        'kubectl --context prod@portcullis.example.com delete secret/ci-token -n build',
      ]);
    },
  );
});

describe('a Secret in an environment', () => {
  const variable = { name: 'KEY', valueFrom: { secretKeyRef: { name: 'api.key', key: 'k' } } };
  const withEnv = (container: JsonRecord) => ({ containers: [{ name: 'main', ...container }] });
  const template = (container: JsonRecord) => ({ spec: { template: { spec: withEnv(container) } } });
  const owned = (kind: string, name: string, labels: JsonRecord = {}) => ({
    metadata: { labels, ownerReferences: [{ kind, name, controller: true }] },
  });
  const places = (cluster: Parameters<typeof find>[0]) =>
    find(cluster, 'secret-in-environment').map((one) => one.object);

  test('is found at what a user would change, once', () => {
    const pod = (name: string, rest: JsonRecord = {}) =>
      object('shop', name, { spec: withEnv({ env: [variable] }), ...rest });
    expect(
      places({
        pods: [
          pod('alone'),
          pod('web-1', owned('ReplicaSet', 'web-5d', { 'pod-template-hash': '5d' })),
          pod('db-0', owned('StatefulSet', 'db')),
          pod('run-x', owned('Job', 'run')),
          pod('canary-1', owned('ReplicaSet', 'canary')),
          pod('canary-2', owned('ReplicaSet', 'canary')),
        ],
        deployments: [object('shop', 'web', template({ env: [variable] }))],
        jobs: [
          object('shop', 'run', template({ env: [variable] })),
          object('shop', 'nightly-1', { ...template({ env: [variable] }), ...owned('CronJob', 'nightly') }),
        ],
        cronjobs: [object('shop', 'nightly', { spec: { jobTemplate: template({ env: [variable] }) } })],
      }),
    ).toEqual(['Pod/alone', 'ReplicaSet/canary', 'Deployment/web', 'Job/run', 'CronJob/nightly']);
  });

  test('is found in init containers and as a whole, and nowhere else', () => {
    const whole = { envFrom: [{ secretRef: { name: 'all' } }] };
    const init = object('shop', 'a', { spec: { initContainers: [{ name: 'first', ...whole }] } });
    const none = object('shop', 'b', {
      spec: withEnv({
        env: [
          { name: 'A', value: 'b' },
          { name: 'C', valueFrom: { configMapKeyRef: { name: 'c' } } },
        ],
        envFrom: [{ configMapRef: { name: 'c' } }],
      }),
    });
    expect(find({ pods: [init, none] }, 'secret-in-environment')).toMatchObject([
      { object: 'Pod/a', evidence: 'every key from Secret/all in container first' },
    ]);
  });

  test('is fixed by a patch that mounts the Secret and takes out the variable alone', () => {
    const deployments = [object('shop', 'web', template({ env: [variable, { name: 'MODE', value: 'x' }] }))];
    const command = find({ deployments }, 'secret-in-environment')[0]?.fix.at(-1) ?? '';
    expect(command).toMatch(
      /^kubectl --context prod@portcullis.example.com patch deployment\/web -n shop --type strategic -p '/,
    );
    expect(JSON.parse(command.slice(command.indexOf("'") + 1, -1))).toEqual({
      spec: {
        template: {
          spec: {
            volumes: [{ name: 'secret-api-key', secret: { secretName: 'api.key' } }],
            containers: [
              {
                name: 'main',
                env: [{ name: 'KEY', $patch: 'delete' }],
                volumeMounts: [{ name: 'secret-api-key', mountPath: '/var/run/secrets/api.key', readOnly: true }],
              },
            ],
          },
        },
      },
    });
  });
});

describe('a credential in a ConfigMap', () => {
  const found = (data: JsonRecord) =>
    find({ configmaps: [object('shop', 'settings', { data })] }, 'credential-in-configmap');

  test.each([
    ['password', 'correct-horse'],
    ['password', '12345678'],
    ['dbpassword', 'correct-horse'],
    ['clientSecret', 'abcdef123456'],
    ['AUTH_TOKEN', 'abcdef123456'],
    ['DB_PASSWORD', 'correct-horse'],
    ['dbPassword', 'correct-horse'],
    ['client-secret', 'abcdef123456'],
    ['API_KEY', 'abcdef123456'],
    ['token', 'abcdef123456'],
    ['aws.accessKey', 'abcdef123456'],
    ['anything', '-----BEGIN PRIVATE KEY-----\nMIG\n'],
    ['anything', '-----BEGIN RSA PRIVATE KEY-----\nMIG\n'],
    ['anything', 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln'],
    ['anything', `AKIA${'A1'.repeat(8)}`],
    ['anything', `ghp_${'a1'.repeat(18)}`],
    ['anything', 'postgres://app:hunter22@db.example.com/app'],
    ['app.yaml', 'db:\n  host: db\n  password: hunter22\n'],
    ['app.properties', 'spring.datasource.password=hunter22\n'],
    ['app.json', '{"db": {"password": "hunter22"}}'],
  ])('is found: %s', (key, value) => {
    const [finding] = found({ [key]: value, harmless: 'yes' });
    expect(finding?.evidence).toContain(`key ${key} looks like`);
    expect(JSON.stringify(finding)).not.toContain(value.slice(0, 12));
  });

  test.each([
    ['password', ''],
    ['password', '${DB_PASSWORD}'],
    ['password', '<password>'],
    ['password', '{{ .Values.password }}'],
    ['password', '********'],
    ['password', 'true'],
    ['password-file', '/var/run/secrets/password'],
    ['password', '/var/run/secrets/password'],
    ['passwordPolicy', 'twelve-letters'],
    ['secretName', 'database-credentials'],
    ['secret', 'database-credentials'],
    ['default-ssl-secret', 'ingress/web-tls'],
    ['access-token', '360000'],
    ['monkeysecret', 'abcdef123456'],
    ['ingress.yaml', 'tls:\n  secret: web-tls\n  credentials: aws-account\n'],
    ['token-url', 'https://id.example.com/token'],
    ['tokenLifetime', '300000000'],
    ['ca.crt', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'],
    ['keys.pub', '-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----'],
    ['config', 'url: https://db.example.com:5432/app?user=a@b'],
    ['config', 'secretName: database-credentials\npasswordPolicy: strict-one\n'],
    ['config', 'password: ${DB_PASSWORD}\napi_key: "$(API_KEY)"\n'],
    ['config', 'password:\n  valueFrom: elsewhere\n'],
    ['jws-kubeconfig-abcdef', 'eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..c2lnbmF0dXJlLW9mLWl0'],
  ])('is none: %s = %s', (key, value) => {
    expect(found({ [key]: value })).toEqual([]);
  });

  test.each([
    ['of one letter', 'a'.repeat(1_000_000)],
    ['that begin tokens and never end', 'eyJ'.repeat(330_000)],
    ['that begin addresses', '://'.repeat(330_000)],
    ['that begin passwords', 'password: '.repeat(100_000)],
    ['of dashes', '-----BEGIN '.repeat(90_000)],
  ])('costs no more than its length: a mebibyte %s', (_, value) => {
    expect(cpuMs(() => found({ config: value }))).toBeLessThan(3000);
  });
});

describe('the API server', () => {
  const server = (...flags: string[]) =>
    object('kube-system', 'kube-apiserver-a', {
      spec: { containers: [{ name: 'kube-apiserver', command: ['kube-apiserver', ...flags] }] },
    });
  const AUDIT = ['--audit-policy-file=/p', '--audit-log-path=/l'];

  test.each<[readonly string[], number]>([
    [[], 1],
    [AUDIT, 0],
    [['--audit-policy-file', '/p', '--audit-webhook-config-file', '/w'], 0],
    [['--audit-policy-file=/p'], 1],
    [['--audit-policy-file=', '--audit-log-path=/l'], 1],
  ])('keeps an audit log: %j', (flags, found) => {
    expect(find({ pods: [server(...flags)] }, 'api-server-audit')).toHaveLength(found);
  });

  test('encrypts what it keeps, or does not', () => {
    expect(find({ pods: [server()] }, 'encryption-at-rest')).toHaveLength(1);
    expect(find({ pods: [server('--encryption-provider-config=/e')] }, 'encryption-at-rest')).toEqual([]);
  });

  test('that cannot be seen is not guessed at; a pod elsewhere that calls itself so does not count', () => {
    const elsewhere = { ...server(), metadata: { name: 'kube-apiserver-a', namespace: 'shop' } };
    const outcomes = checksOf({ pods: [elsewhere] }).map((check) => check.outcome());
    const hidden = outcomes.flatMap(({ notVisible }) => Object.keys(notVisible ?? {}));
    expect(hidden).toEqual(expect.arrayContaining(['api-server-audit', 'encryption-at-rest']));
  });
});

describe('a client certificate', () => {
  let certificate: string;
  beforeAll(async () => {
    ({ certificate } = await certificateRequest('jane', 'ops'));
  });
  const request = (signerName: string, status: JsonRecord) => object('', 'jane', { spec: { signerName }, status });
  const SIGNER = 'kubernetes.io/kube-apiserver-client';
  const settings = (now: number) => ({ prefixes: ['corp:'], proxyAccount: { namespace: 'a', name: 'b' }, now });

  test('that was signed for a user is found until it ends', () => {
    const given = { certificatesigningrequests: [request(SIGNER, { certificate })] };
    const [finding] = find(given, 'client-certificate', settings(Date.now()));
    expect(finding?.evidence).toContain('CN=jane');
    expect(find(given, 'client-certificate', settings(Date.now() + 90 * 24 * 3600 * 1000))).toEqual([]);
  });

  test('is none of a node’s, and none that was not signed; one that cannot be read is found all the same', () => {
    const of = (signer: string, status: JsonRecord) =>
      find({ certificatesigningrequests: [request(signer, status)] }, 'client-certificate', settings(NOW));
    expect(of('kubernetes.io/kube-apiserver-client-kubelet', { certificate })).toEqual([]);
    expect(of(SIGNER, {})).toEqual([]);
    expect(of(SIGNER, { certificate: 'nonsense' })[0]?.evidence).toContain('(unreadable)');
  });
});

describe('the fix', () => {
  test('is one line each, whatever the names hold', () => {
    const harmful = 'x\nid\u2028id\r';
    const pods = [
      object('shop', 'a', {
        metadata: { ownerReferences: [{ kind: harmful, name: harmful, controller: true }] },
        spec: { containers: [{ name: 'a', envFrom: [{ secretRef: { name: harmful } }] }] },
      }),
    ];
    const [finding] = find({ pods }, 'secret-in-environment');
    expect(finding?.fix.join('')).toMatch(/^# [^\n\r\u2028]+$/);
  });
});

describe('objects of any shape', () => {
  test('break nothing', () => {
    const strange: readonly JsonRecord[] = [
      {},
      { metadata: null, spec: 7, rules: 'x', subjects: [null, 3, {}], data: ['a'], status: [] },
      {
        metadata: { name: 4, labels: [], annotations: 'x', ownerReferences: {} },
        spec: { template: null, containers: [null] },
      },
      { metadata: { name: 'constructor', namespace: '__proto__' }, roleRef: { kind: 'ClusterRole', name: 'toString' } },
    ];
    const kinds = [
      'namespaces',
      'clusterroles',
      'roles',
      'clusterrolebindings',
      'rolebindings',
      'secrets',
      'configmaps',
      'pods',
      'cronjobs',
    ] as const;
    const cluster = Object.fromEntries(kinds.map((kind) => [kind, strange]));
    expect(() => checksOf(cluster).map((check) => check.outcome())).not.toThrow();
  });

  test('count once where their list is read twice', () => {
    const checks = checksOf({ clusterroles: [role('r', [rule('get', 'core', 'pods')])], pods: [object('shop', 'a')] });
    const mounted = checks.find((check) => 'serviceaccounts' in check.collectors);
    mounted?.collectors.pods?.begin();
    mounted?.collectors.pods?.add(object('shop', 'b'));
    expect(mounted?.outcome().findings).toMatchObject([{ evidence: expect.stringMatching(/into Pod\/b$/) as string }]);
  });
});
