/** What a platform team sets besides the product's own values: names, environment, further containers, Services, placement. */
import { describe, expect, it } from 'vitest';
import { podTemplateOf } from '../support/chart-pods.ts';
import { helm, CHART, objectsIn, only, rendered, valuesOf, type KubernetesObject } from '../support/chart.ts';

const SMALL = ['--values', valuesOf('small')];
const set = (...settings: string[]): string[] => settings.flatMap((setting) => ['--set', setting]);
const json = (name: string, value: unknown): string[] => ['--set-json', `${name}=${JSON.stringify(value)}`];
const specOf = (object: KubernetesObject): Record<string, unknown> => object['spec'] as Record<string, unknown>;

/** Every value of a field below an object, however deep. */
function valuesNamed(name: string, inside: unknown): readonly unknown[] {
  if (typeof inside !== 'object' || inside === null) return [];
  return Object.entries(inside).flatMap(([key, value]) => [
    ...(key === name ? [value] : []),
    ...valuesNamed(name, value),
  ]);
}

describe('names', () => {
  it('begin with fullnameOverride, in each object and in what refers to it', async () => {
    const all = ['redis.inChart.replicas=3', 'keys.rotation.enabled=true', 'serviceMonitor.enabled=true'];
    const objects = await rendered(...SMALL, ...set('fullnameOverride=access', ...all));
    const text = JSON.stringify(objects);
    for (const { kind, metadata } of objects) {
      expect(metadata.name, kind).toMatch(kind.startsWith('ClusterRole') ? /^portcullis-access-/ : /^access(-|$)/);
    }
    expect(/portcullis-(?:redis|ops|test)/.exec(text)?.[0]).toBeUndefined();
    expect(text.includes('access-redis-2.access-redis.portcullis.svc:26379')).toBe(true);
  });

  it.each([
    ['platform', 'team', 'team-platform'],
    ['portcullis', 'portcullis-eu', 'portcullis-eu'],
  ])('have nameOverride (%s) in the label and behind the release (%s)', async (override, release, name) => {
    const { stdout } = await helm('template', release, CHART, ...SMALL, ...set(`nameOverride=${override}`));
    const objects = objectsIn(stdout);
    expect(only(objects, 'Deployment').metadata.name).toBe(name);
    // A label that differs in one place would be a selector without pods, or a policy for none.
    const labels = new Set(valuesNamed('app.kubernetes.io/name', objects));
    expect([...labels]).toEqual([override]);
  });

  it('leave the job of the metrics as the alert rules have it', async () => {
    const objects = await rendered(...SMALL, ...set('serviceMonitor.enabled=true', 'nameOverride=platform'));
    const { endpoints } = specOf(only(objects, 'ServiceMonitor')) as { readonly endpoints: readonly object[] };
    expect(endpoints).toMatchObject([{ relabelings: [{ targetLabel: 'job', replacement: 'portcullis' }] }]);
  });
});

it('puts common labels on each object, and into no selector', async () => {
  const objects = await rendered(...SMALL, ...json('commonLabels', { 'example.com/team': 'platform' }));
  for (const { metadata } of objects) expect(metadata.labels).toMatchObject({ 'example.com/team': 'platform' });
  const selectors = ['matchLabels', 'selector'].flatMap((name) => valuesNamed(name, objects));
  expect(selectors.length).toBeGreaterThan(10);
  expect(JSON.stringify(selectors)).not.toContain('example.com/team');
});

it('gives the server its environment, and further containers their place', async () => {
  const proxy = { name: 'HTTPS_PROXY', value: 'http://proxy.example.com:3128' };
  const shipper = { name: 'shipper', image: 'registry.example.com/shipper:1' };
  const prepared = { name: 'prepare', image: 'registry.example.com/prepare:1' };
  const { spec } = podTemplateOf(
    only(
      await rendered(
        ...SMALL,
        ...json('extraEnv', [proxy]),
        ...json('extraEnvFrom', [{ secretRef: { name: 'environment' } }]),
        ...json('extraContainers', [shipper]),
        ...json('extraInitContainers', [prepared]),
      ),
      'Deployment',
    ),
  );
  expect(spec).toMatchObject({ initContainers: [prepared], containers: [{ name: 'portcullis' }, shipper] });
  expect(spec.containers[0]).toMatchObject({ env: [proxy], envFrom: [{ secretRef: { name: 'environment' } }] });
});

describe('a Service', () => {
  it.each(['api', 'web'] as const)(
    'of %s has the class, the families and the port that the values name',
    async (which) => {
      const path = `${which}.service`;
      const objects = await rendered(
        ...SMALL,
        ...set(`${path}.type=LoadBalancer`, `${path}.loadBalancerClass=service.k8s.aws/nlb`, `${path}.nodePort=30443`),
        ...set(`${path}.ipFamilyPolicy=PreferDualStack`),
        ...json(`${path}.ipFamilies`, ['IPv6', 'IPv4']),
      );
      expect(specOf(only(objects, 'Service', `portcullis-${which}`))).toMatchObject({
        loadBalancerClass: 'service.k8s.aws/nlb',
        ipFamilyPolicy: 'PreferDualStack',
        ipFamilies: ['IPv6', 'IPv4'],
        ports: [{ name: which, nodePort: 30443 }],
      });
    },
  );

  it('has no class where it is no load balancer, since Kubernetes would reject it', async () => {
    const service = set('api.service.type=ClusterIP', 'api.service.loadBalancerClass=service.k8s.aws/nlb');
    const spec = specOf(only(await rendered(...SMALL, ...service), 'Service', 'portcullis-api'));
    expect(spec).not.toHaveProperty('loadBalancerClass');
  });
});

it('spreads pods as the values say, and on top of that over nodes and zones unless they say otherwise', async () => {
  const own = { maxSkew: 2, topologyKey: 'example.com/rack', whenUnsatisfiable: 'DoNotSchedule' };
  const keys = async (...args: string[]): Promise<readonly unknown[]> =>
    valuesNamed('topologyKey', podTemplateOf(only(await rendered(...SMALL, ...args), 'Deployment')).spec);
  const usual = ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'];
  expect(await keys(...json('topologySpreadConstraints', [own]))).toEqual([...usual, 'example.com/rack']);
  const none = set('defaultTopologySpreadConstraints=false');
  expect(await keys(...none, ...json('topologySpreadConstraints', [own]))).toEqual(['example.com/rack']);
  expect(await keys(...none)).toEqual([]);
});

it('annotates the Deployment, and labels and annotates the pods of Redis', async () => {
  const objects = await rendered(
    ...SMALL,
    ...json('deploymentAnnotations', { 'example.com/reload': 'true' }),
    ...json('redis.inChart.podAnnotations', { 'example.com/backup': 'data' }),
    ...json('redis.inChart.podLabels', { 'example.com/mesh': 'off' }),
  );
  expect(only(objects, 'Deployment').metadata).toMatchObject({ annotations: { 'example.com/reload': 'true' } });
  expect(podTemplateOf(only(objects, 'StatefulSet')).metadata).toMatchObject({
    labels: { 'example.com/mesh': 'off', 'app.kubernetes.io/component': 'redis' },
    annotations: { 'example.com/backup': 'data' },
  });
});

describe('the test of a release', () => {
  it('lets its pod in only while it runs', async () => {
    const policies = (await rendered(...SMALL)).filter(({ kind }) => kind === 'NetworkPolicy');
    const open = policies.filter((policy) => JSON.stringify(policy).includes('"app.kubernetes.io/component":"test"'));
    expect(open.map(({ metadata }) => metadata.name)).toEqual(['portcullis-test', 'portcullis-from-test']);
    for (const { metadata } of open) {
      expect(metadata).toMatchObject({
        annotations: { 'helm.sh/hook': 'test', 'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded' },
      });
    }
  });

  it('does not ask the api listener where only a load balancer may', async () => {
    const settings = [...set('api.proxyProtocol=required'), ...json('trustedProxies', ['10.1.0.0/16'])];
    const [container] = podTemplateOf(only(await rendered(...SMALL, ...settings), 'Pod')).spec.containers;
    expect(container?.['env']).toContainEqual({ name: 'API_URL', value: '' });
  });
});
