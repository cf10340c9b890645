/** Single guarantees of the chart, each of which a change of a template could break. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { PORTCULLIS_EXTRA_KEYS } from '../../src/core/core.ts';
import { podTemplateOf } from '../support/chart-pods.ts';
import {
  CHART,
  DEPLOY_TESTS,
  helm,
  objectsIn,
  only,
  rendered,
  valuesOf,
  type KubernetesObject,
} from '../support/chart.ts';
import { ROOT, RULES_FILE } from '../support/deployed.ts';

const SMALL = ['--values', valuesOf('small')];
const set = (...settings: string[]): string[] => settings.flatMap((setting) => ['--set', setting]);
const setJson = (...settings: string[]): string[] => settings.flatMap((setting) => ['--set-json', setting]);

const specOf = (object: KubernetesObject): Record<string, unknown> => object['spec'] as Record<string, unknown>;

describe('a rolling update', () => {
  it('has no gap, and the drain ends before the pod is killed', async () => {
    const deployment = only(await rendered(...SMALL), 'Deployment');
    expect(specOf(deployment)).toMatchObject({
      replicas: 3,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    });
    expect(podTemplateOf(deployment).spec).toMatchObject({ terminationGracePeriodSeconds: 60 });
    const [container] = podTemplateOf(deployment).spec.containers;
    expect(container).toMatchObject({
      // Kubernetes removes a terminating pod from the ready endpoints itself; this checks whether it still serves.
      readinessProbe: { httpGet: { path: '/readyz?exclude=shutdown', port: 'ops' } },
      livenessProbe: { httpGet: { path: '/livez', port: 'ops' } },
      startupProbe: { httpGet: { path: '/livez', port: 'ops' } },
    });
  });

  it.each([
    ['with the default values', [], 60],
    ['with a longer drain', set('shutdown.grace=45s'), 80],
    ['with minutes', set('shutdown.delay=1m'), 90],
    [
      'with the values of 0.1.0',
      set('terminationGracePeriodSeconds=60', 'shutdown.delay=10s', 'shutdown.grace=45s'),
      60,
    ],
    ['with an explicit value', set('terminationGracePeriodSeconds=120'), 120],
  ] as const)('lets the pod live for longer than its drain: %s', async (_name, settings, seconds) => {
    const { spec } = podTemplateOf(only(await rendered(...SMALL, ...settings), 'Deployment'));
    expect(spec).toMatchObject({ terminationGracePeriodSeconds: seconds });
  });

  it('leaves the number of replicas to the autoscaler', async () => {
    const deployment = only(await rendered(...SMALL, ...set('autoscaling.enabled=true')), 'Deployment');
    expect(specOf(deployment)).not.toHaveProperty('replicas');
  });

  it('follows a change of the configuration', async () => {
    const checksum = async (...args: string[]): Promise<unknown> =>
      podTemplateOf(only(await rendered(...SMALL, ...args), 'Deployment')).metadata.annotations;
    expect(await checksum()).toEqual(await checksum());
    expect(await checksum(...set('config.telemetry.logLevel=debug'))).not.toEqual(await checksum());
  });

  it('keeps the immutable fields of Kubernetes objects for installations of 0.1.0', async () => {
    const objects = await rendered('--values', join(DEPLOY_TESTS, 'values-0.1.0.yaml'));
    const labels = { 'app.kubernetes.io/name': 'portcullis', 'app.kubernetes.io/instance': 'portcullis' };
    expect(specOf(only(objects, 'Deployment'))['selector']).toEqual({
      matchLabels: { ...labels, 'app.kubernetes.io/component': 'gate' },
    });
    const redis = specOf(only(objects, 'StatefulSet'));
    expect(redis['selector']).toEqual({ matchLabels: { ...labels, 'app.kubernetes.io/component': 'redis' } });
    expect(redis['serviceName']).toBe('portcullis-redis');
    expect(redis['volumeClaimTemplates']).toEqual([
      {
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      },
    ]);
    const binding = only(objects, 'ClusterRoleBinding');
    expect(binding['roleRef']).toMatchObject({ name: 'portcullis-portcullis-impersonator' });
    expect(binding['subjects']).toEqual([{ kind: 'ServiceAccount', name: 'portcullis', namespace: 'portcullis' }]);
  });
});

describe('the upstream token', () => {
  it('is projected for an hour, and no other is mounted', async () => {
    const { spec } = podTemplateOf(only(await rendered(...SMALL), 'Deployment'));
    const tokens = spec.volumes
      .flatMap(({ projected }) => projected?.sources ?? [])
      .flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
    expect(tokens).toEqual([{ path: 'token', expirationSeconds: 3600 }]);
    expect(spec).toMatchObject({ automountServiceAccountToken: false });
  });
});

describe('the ClusterRole', () => {
  const rules = async (...args: string[]): Promise<unknown> =>
    only(await rendered(...SMALL, ...args), 'ClusterRole')['rules'];
  const rest = (...extra: string[]): object[] => [
    {
      apiGroups: ['authentication.k8s.io'],
      resources: ['uids', ...[...PORTCULLIS_EXTRA_KEYS, ...extra].map((key) => `userextras/${key}`)],
      verbs: ['impersonate'],
    },
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
  ];
  const core = (resource: string, names?: readonly string[]): object => ({
    apiGroups: [''],
    resources: [resource],
    verbs: ['impersonate'],
    ...(names === undefined ? {} : { resourceNames: names }),
  });

  it('has the groups by name, and nothing that was not requested', async () => {
    expect(await rules()).toEqual([core('users'), core('groups', ['corp:developers', 'corp:platform']), ...rest()]);
  });

  it('has every group only where the values say so explicitly', async () => {
    const prod = `clusters=${JSON.stringify([{ name: 'prod', impersonate: { groups: '*' } }])}`;
    expect(await rules(...setJson(prod))).toEqual([core('users'), core('groups'), ...rest()]);
  });

  it('has no rule for groups where none may be impersonated, and each extra key by name', async () => {
    const prod = `clusters=${JSON.stringify([{ name: 'prod', impersonate: { groups: [], extra: ['example.com/a'] } }])}`;
    expect(await rules(...setJson(prod))).toEqual([core('users'), ...rest('example.com/a')]);
  });

  it('covers only the clusters that use this account', async () => {
    const clusters = [
      { name: 'prod', impersonate: { groups: ['corp:a'] } },
      {
        name: 'away',
        server: 'https://203.0.113.7',
        token: { secret: 'away' },
        impersonate: { groups: '*', extra: ['b'] },
      },
    ];
    expect(await rules(...setJson(`clusters=${JSON.stringify(clusters)}`))).toEqual([
      core('users'),
      core('groups', ['corp:a']),
      ...rest(),
    ]);
  });
});

describe('the job that rotates keys', () => {
  const ROTATION = set('keys.rotation.enabled=true');

  it('exists only where it is enabled', async () => {
    expect((await rendered(...SMALL)).filter(({ kind }) => ['CronJob', 'Role', 'RoleBinding'].includes(kind))).toEqual(
      [],
    );
  });

  it('may read and replace the three Secrets of keys, and nothing else', async () => {
    const objects = await rendered(...SMALL, ...ROTATION);
    const names = ['portcullis-signing-keys', 'portcullis-sealing-keys', 'portcullis-audit-keys'];
    expect(only(objects, 'Role')['rules']).toEqual([
      { apiGroups: [''], resources: ['secrets'], resourceNames: names, verbs: ['get', 'update'] },
    ]);
    const { spec } = podTemplateOf(only(objects, 'CronJob'));
    expect(spec).toMatchObject({ serviceAccountName: 'portcullis-keys' });
    expect(only(objects, 'ClusterRoleBinding')['subjects']).not.toContainEqual(
      expect.objectContaining({ name: 'portcullis-keys' }),
    );
    const mounted = podTemplateOf(only(objects, 'Deployment')).spec.volumes.flatMap(
      ({ secret }) => secret?.secretName ?? [],
    );
    expect(mounted).toEqual(expect.arrayContaining(names));
  });

  it('has a command line that the program accepts', async () => {
    const [container] = podTemplateOf(only(await rendered(...SMALL, ...ROTATION), 'CronJob')).spec.containers;
    const run = promisify(execFile);
    // Outside a cluster the command fails with this message, after everything that could be wrong with the command
    // line.
    const said = await run(process.execPath, [`${ROOT}src/main.ts`, ...(container?.args ?? [])], { env: {} }).catch(
      (error: { readonly code: number; readonly stderr: string }) => error,
    );
    expect(said).toMatchObject({ code: 1, stderr: expect.stringContaining('KUBERNETES_SERVICE_HOST is not set here') });
  });
});

describe('the chart’s own Redis', () => {
  const redis = async (...args: string[]): Promise<ReturnType<typeof podTemplateOf>> =>
    podTemplateOf(only(await rendered(...SMALL, ...args), 'StatefulSet'));

  it('restarts when its configuration changes, and only then', async () => {
    const before = (await redis()).metadata.annotations;
    expect(before).toEqual((await redis()).metadata.annotations);
    expect(before).not.toEqual((await redis(...set('redis.inChart.maxMemory=200mb'))).metadata.annotations);
  });

  it('is pulled, scheduled and prioritised as the server is, because the server depends on it', async () => {
    const nodes = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [] }] } };
    const placed = {
      imagePullSecrets: [{ name: 'registry' }],
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'dedicated', operator: 'Exists' }],
      priorityClassName: 'system-cluster-critical',
    };
    const apart = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [] } };
    const values = { ...placed, affinity: { nodeAffinity: nodes, ...apart } };
    const settings = Object.entries(values).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    // The anti-affinity of the server's pods does not apply to Redis: where each node runs a server, no node would
    // be left.
    const { spec } = await redis(...setJson(...settings));
    expect(spec).toMatchObject({ ...placed, affinity: { nodeAffinity: nodes } });
    expect(spec['affinity']).not.toHaveProperty('podAntiAffinity');
  });
});

describe('OpenShift', () => {
  it('assigns the user of each pod: the chart names none, and none is root', async () => {
    const objects = await rendered(...SMALL, ...set('openshift=true', 'keys.rotation.enabled=true'));
    for (const kind of ['Deployment', 'StatefulSet', 'CronJob', 'Pod']) {
      const { securityContext } = podTemplateOf(only(objects, kind)).spec;
      expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      for (const name of ['runAsUser', 'runAsGroup', 'fsGroup']) expect(securityContext).not.toHaveProperty(name);
    }
  });
});

interface EgressRule {
  readonly to?: readonly { readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] } }[];
  readonly ports?: readonly { readonly port: number }[];
}

describe('the network', () => {
  const egressOf = async (...args: string[]): Promise<readonly EgressRule[]> =>
    (
      specOf(only(await rendered(...SMALL, ...args), 'NetworkPolicy', 'portcullis')) as {
        egress: readonly EgressRule[];
      }
    ).egress;
  const portsOf = (rules: readonly EgressRule[]): readonly (readonly number[])[] =>
    rules.map(({ ports = [] }) => ports.map(({ port }) => port));

  it('is not open to providers where no address of a provider is named', async () => {
    const rules = await egressOf(...setJson('networkPolicy.providers.cidrs=[]'));
    expect(rules).toHaveLength((await egressOf()).length - 1);
    for (const { to } of rules) expect(to?.length, 'a rule without `to` is a rule for everywhere').toBeGreaterThan(0);
  });

  it('allows egress to the ports that the other values name', async () => {
    const redis = {
      url: 'rediss://cache.example.com:6380',
      nodes: 3,
      master: 'portcullis',
      sentinels: ['sentinel-0.example.com:26379', '[2001:db8::1]:26380'],
      inChart: { enabled: false },
    };
    const away = { name: 'away', server: 'https://203.0.113.7:16443', token: { secret: 'away' } };
    const provider = { name: 'corp', type: 'keycloak', issuer: 'https://sso.example.com:8443/realms/a', clientId: 'a' };
    const sinks = [{ type: 'stdout' }, { type: 'webhook', url: 'https://siem.example.com:9443/in' }];
    const rules = await egressOf(
      ...setJson(
        `redis=${JSON.stringify(redis)}`,
        `clusters=${JSON.stringify([{ ...away, impersonate: { groups: [] } }])}`,
        `providers=${JSON.stringify([provider])}`,
        `config.audit.sinks=${JSON.stringify(sinks)}`,
      ),
    );
    const [dns, apiServers, store, providers] = portsOf(rules);
    expect({ dns, apiServers, store, providers }).toEqual({
      dns: [53, 53],
      apiServers: [443, 6443, 16443],
      store: [6379, 6380, 26379, 26380],
      providers: [443, 8443, 9443],
    });
  });

  it('allows DNS at the ports that the values name', async () => {
    const [dns] = portsOf(await egressOf(...setJson('networkPolicy.dns.ports=[53,5353]')));
    expect(dns).toEqual([53, 53, 5353, 5353]);
  });

  it('is closed for every pod of the release except where a policy opens it, and metadata services stay unreachable', async () => {
    const objects = await rendered(...SMALL, ...set('keys.rotation.enabled=true'));
    const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
    const shut = specOf(only(policies, 'NetworkPolicy', 'portcullis-default-deny'));
    expect(Object.keys(shut).toSorted()).toEqual(['podSelector', 'policyTypes']);
    // A direction that no policy of a pod names stays open.
    for (const policy of policies) expect(specOf(policy)['policyTypes']).toEqual(['Ingress', 'Egress']);
    const { matchLabels } = shut['podSelector'] as { readonly matchLabels: Readonly<Record<string, string>> };
    for (const kind of ['Deployment', 'StatefulSet', 'CronJob', 'Pod']) {
      expect(podTemplateOf(only(objects, kind)).metadata.labels).toMatchObject(matchLabels);
    }
    const { egress } = specOf(only(policies, 'NetworkPolicy', 'portcullis')) as {
      egress: { to?: { ipBlock?: { cidr: string; except?: string[] } }[] }[];
    };
    for (const { to } of egress) expect(to?.length, 'a rule without `to` is a rule for everywhere').toBeGreaterThan(0);
    const worlds = egress.flatMap(({ to = [] }) => to).filter(({ ipBlock }) => ipBlock?.cidr === '0.0.0.0/0');
    expect(worlds.length).toBeGreaterThan(0);
    for (const { ipBlock } of worlds) expect(ipBlock?.except).toContain('169.254.0.0/16');
    const redis = specOf(only(policies, 'NetworkPolicy', 'portcullis-redis'));
    expect(redis).not.toHaveProperty('egress');
  });
});

describe('the Service of the web listener', () => {
  const web = async (...args: string[]): Promise<Record<string, unknown>> =>
    specOf(only(await rendered(...SMALL, ...args), 'Service', 'portcullis-web'));

  it('keeps the addresses of browsers where it is a load balancer, unless the values say otherwise', async () => {
    const balancer = set('web.service.type=LoadBalancer');
    expect(await web(...balancer)).toMatchObject({ externalTrafficPolicy: 'Local' });
    const other = set('web.service.externalTrafficPolicy=Cluster');
    expect(await web(...balancer, ...other)).toMatchObject({ externalTrafficPolicy: 'Cluster' });
    // The default stays as it was: a client that sends to any node still reaches a pod.
    expect(await web(...set('web.service.type=NodePort'))).not.toHaveProperty('externalTrafficPolicy');
    expect(await web()).not.toHaveProperty('externalTrafficPolicy');
  });

  it('admits only the source ranges that the values name', async () => {
    const ranges = setJson('web.service.loadBalancerSourceRanges=["198.51.100.0/24"]');
    expect(await web(...set('web.service.type=LoadBalancer'), ...ranges)).toMatchObject({
      loadBalancerSourceRanges: ['198.51.100.0/24'],
    });
  });
});

describe('the route to the web listener', () => {
  const consoles = [
    { name: 'headlamp', host: 'headlamp.example.com', cluster: 'prod', server: 'https://headlamp.headlamp.svc' },
  ];
  const wanted = ['portcullis.example.com', 'headlamp.example.com'];
  const withConsole = ['--set-json', `config.consoles=${JSON.stringify(consoles)}`];

  it('has the host of each console as well as the host of Portcullis: Ingress', async () => {
    const objects = await rendered(...SMALL, ...withConsole, ...set('ingress.enabled=true'));
    const spec = specOf(only(objects, 'Ingress')) as { rules: { host: string }[]; tls: { hosts: string[] }[] };
    expect(spec.rules.map(({ host }) => host)).toEqual(wanted);
    expect(spec.tls[0]?.hosts).toEqual(wanted);
  });

  it('has the host of each console as well as the host of Portcullis: HTTPRoute and Certificate', async () => {
    const gateway = ['--set-json', 'gateway={"enabled":true,"parentRefs":[{"name":"edge"}]}'];
    const issuer = set('certManager.enabled=true', 'certManager.issuerRef.name=example');
    const objects = await rendered(...SMALL, ...withConsole, ...gateway, ...issuer);
    expect(specOf(only(objects, 'HTTPRoute'))['hostnames']).toEqual(wanted);
    expect(specOf(only(objects, 'Certificate', 'portcullis-web'))['dnsNames']).toEqual(wanted);
    expect(specOf(only(objects, 'Certificate', 'portcullis-api'))['dnsNames']).toEqual([
      'api.portcullis.example.com',
      'prod.k8s.example.com',
    ]);
  });
});

describe('monitoring', () => {
  it('has the rules and dashboards unchanged: nothing in them is evaluated as a template', async () => {
    const objects = await rendered(
      ...SMALL,
      ...set('prometheusRule.enabled=true', 'grafanaDashboards.enabled=true', 'serviceMonitor.enabled=true'),
    );
    expect(only(objects, 'PrometheusRule')['spec']).toEqual(parse(readFileSync(RULES_FILE, 'utf8')));
    const files = readdirSync(`${ROOT}deploy/grafana`).filter((name) => name.endsWith('.json'));
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      const { data } = only(objects, 'ConfigMap', `portcullis-${file.replace('.json', '')}`) as unknown as {
        data: Record<string, string>;
      };
      expect(JSON.parse(data[file] ?? '')).toEqual(JSON.parse(readFileSync(`${ROOT}deploy/grafana/${file}`, 'utf8')));
    }
  });

  it('scrapes each replica separately, under the job that the rules of deploy/prometheus expect', async () => {
    const objects = await rendered(...SMALL, ...set('serviceMonitor.enabled=true'));
    const { selector } = specOf(only(objects, 'ServiceMonitor')) as { selector: { matchLabels: object } };
    const ops = only(objects, 'Service', 'portcullis-ops');
    expect(ops.metadata.labels).toMatchObject(selector.matchLabels);
    expect(specOf(ops)).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true });
    expect(specOf(only(objects, 'ServiceMonitor'))).toMatchObject({ jobLabel: 'app.kubernetes.io/name' });
  });
});

describe('names', () => {
  it('stay within the limits of Kubernetes, however long the name of the release is', async () => {
    const long = 'a'.repeat(53);
    const { code, stdout, stderr } = await helm('template', long, CHART, ...SMALL);
    expect(code, stderr).toBe(0);
    const named = objectsIn(stdout).filter(({ kind }) => ['Service', 'Deployment', 'StatefulSet'].includes(kind));
    expect(named.length).toBe(6);
    // A StatefulSet's pods have ten characters more, in a label of at most 63.
    for (const { metadata } of named) expect(metadata.name.length).toBeLessThanOrEqual(52);
  });
});
