/** Single promises of the chart, each of which a change of a template could break. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
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
      readinessProbe: { httpGet: { path: '/readyz', port: 'ops' } },
      livenessProbe: { httpGet: { path: '/livez', port: 'ops' } },
      startupProbe: { httpGet: { path: '/livez', port: 'ops' } },
    });
  });

  it('follows a change of the configuration', async () => {
    const checksum = async (...args: string[]): Promise<unknown> =>
      podTemplateOf(only(await rendered(...SMALL, ...args), 'Deployment')).metadata.annotations;
    expect(await checksum()).toEqual(await checksum());
    expect(await checksum(...set('config.telemetry.logLevel=debug'))).not.toEqual(await checksum());
  });

  it('keeps what Kubernetes lets nobody change, for whoever installed 0.1.0', async () => {
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
      resources: [
        'uids',
        'userextras/portcullis.dev/session',
        'userextras/portcullis.dev/original-user',
        ...extra.map((key) => `userextras/${key}`),
      ],
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

  it('has the groups by name, and nothing that was not asked for', async () => {
    expect(await rules()).toEqual([core('users'), core('groups', ['corp:developers', 'corp:platform']), ...rest()]);
  });

  it('has every group where the values say so in words', async () => {
    const prod = `clusters=${JSON.stringify([{ name: 'prod', impersonate: { groups: '*' } }])}`;
    expect(await rules(...setJson(prod))).toEqual([core('users'), core('groups'), ...rest()]);
  });

  it('has no rule for groups where none may be impersonated, and each extra key by name', async () => {
    const prod = `clusters=${JSON.stringify([{ name: 'prod', impersonate: { groups: [], extra: ['example.com/a'] } }])}`;
    expect(await rules(...setJson(prod))).toEqual([core('users'), ...rest('example.com/a')]);
  });

  it('counts only clusters that this account is for', async () => {
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

  it('is there only where it is asked for', async () => {
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

  it('says a command line that the program takes', async () => {
    const [container] = podTemplateOf(only(await rendered(...SMALL, ...ROTATION), 'CronJob')).spec.containers;
    const run = promisify(execFile);
    // Outside a cluster it ends with these words, which is behind everything that could be wrong with the line.
    const said = await run(process.execPath, [`${ROOT}src/main.ts`, ...(container?.args ?? [])], { env: {} }).catch(
      (error: { readonly code: number; readonly stderr: string }) => error,
    );
    expect(said).toMatchObject({ code: 1, stderr: expect.stringContaining('KUBERNETES_SERVICE_HOST is not set here') });
  });
});

describe('the network', () => {
  it('is shut for every pod of the release but where a policy opens it, and metadata services stay out of reach', async () => {
    const policies = (await rendered(...SMALL)).filter(({ kind }) => kind === 'NetworkPolicy');
    const shut = specOf(only(policies, 'NetworkPolicy', 'portcullis-default-deny'));
    expect(Object.keys(shut).toSorted()).toEqual(['podSelector', 'policyTypes']);
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

describe('the way to the web listener', () => {
  const consoles = [
    { name: 'headlamp', host: 'headlamp.example.com', cluster: 'prod', server: 'https://headlamp.headlamp.svc' },
  ];
  const wanted = ['portcullis.example.com', 'headlamp.example.com'];
  const withConsole = ['--set-json', `config.consoles=${JSON.stringify(consoles)}`];

  it('has each console’s host beside the gate’s: Ingress', async () => {
    const objects = await rendered(...SMALL, ...withConsole, ...set('ingress.enabled=true'));
    const spec = specOf(only(objects, 'Ingress')) as { rules: { host: string }[]; tls: { hosts: string[] }[] };
    expect(spec.rules.map(({ host }) => host)).toEqual(wanted);
    expect(spec.tls[0]?.hosts).toEqual(wanted);
  });

  it('has each console’s host beside the gate’s: HTTPRoute and Certificate', async () => {
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
  it('has the rules and dashboards as they are: nothing in them is taken for a template', async () => {
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

  it('scrapes under the job that the rules of deploy/prometheus expect, each replica by itself', async () => {
    const objects = await rendered(...SMALL, ...set('serviceMonitor.enabled=true'));
    const { selector } = specOf(only(objects, 'ServiceMonitor')) as { selector: { matchLabels: object } };
    const ops = only(objects, 'Service', 'portcullis-ops');
    expect(ops.metadata.labels).toMatchObject(selector.matchLabels);
    expect(specOf(ops)).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true });
    expect(specOf(only(objects, 'ServiceMonitor'))).toMatchObject({ jobLabel: 'app.kubernetes.io/name' });
  });
});

describe('names', () => {
  it('stay within what Kubernetes takes, however long the release is called', async () => {
    const long = 'a'.repeat(53);
    const { code, stdout, stderr } = await helm('template', long, CHART, ...SMALL);
    expect(code, stderr).toBe(0);
    const named = objectsIn(stdout).filter(({ kind }) => ['Service', 'Deployment', 'StatefulSet'].includes(kind));
    expect(named.length).toBe(6);
    // A StatefulSet's pods have ten characters more, in a label of at most 63.
    for (const { metadata } of named) expect(metadata.name.length).toBeLessThanOrEqual(52);
  });
});
