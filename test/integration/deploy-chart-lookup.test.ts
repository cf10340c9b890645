/** What the chart makes of what is in the cluster already, as an API server reports it to Helm. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { objectsIn, only, template, valuesOf, type Rendering } from '../support/chart.ts';

/** The kinds that the chart makes, by group and version. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  v1: ['ConfigMap', 'Secret', 'Service', 'ServiceAccount'],
  'apps/v1': ['Deployment', 'StatefulSet'],
  'networking.k8s.io/v1': ['NetworkPolicy'],
  'policy/v1': ['PodDisruptionBudget'],
  'rbac.authorization.k8s.io/v1': ['ClusterRole', 'ClusterRoleBinding'],
};

/** As much of discovery as Helm asks for. */
const DISCOVERY: readonly (readonly [string, object])[] = [
  ['/version', { major: '1', minor: '35', gitVersion: 'v1.35.0' }],
  ['/api', { kind: 'APIVersions', versions: ['v1'] }],
  [
    '/apis',
    {
      kind: 'APIGroupList',
      groups: Object.keys(KINDS)
        .filter((each) => each !== 'v1')
        .map(group),
    },
  ],
  ...Object.entries(KINDS).map(([groupVersion, kinds]): [string, object] => [
    groupVersion === 'v1' ? '/api/v1' : `/apis/${groupVersion}`,
    { kind: 'APIResourceList', groupVersion, resources: kinds.map(resource) },
  ]),
];

function group(groupVersion: string): object {
  const [name = '', version = ''] = groupVersion.split('/');
  return { name, versions: [{ groupVersion, version }], preferredVersion: { groupVersion, version } };
}

function resource(kind: string): object {
  const name = `${kind.toLowerCase()}s`.replace('policys', 'policies');
  return { name, kind, singularName: '', namespaced: !kind.startsWith('Cluster'), verbs: ['get'] };
}

let server: Server;
let there: Map<string, object>;

beforeEach(async () => {
  there = new Map(DISCOVERY);
  server = createServer(({ url = '' }, response) => {
    const found = there.get(url.split('?')[0] ?? '');
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function inCluster(...settings: readonly string[]): Promise<Rendering> {
  const { port } = server.address() as AddressInfo;
  const cluster = ['--dry-run=server', '--disable-openapi-validation', '--kubeconfig', '/dev/null'];
  const sets = settings.flatMap((setting) => ['--set', setting]);
  return template('--values', valuesOf('small'), ...cluster, '--kube-apiserver', `http://127.0.0.1:${port}`, ...sets);
}

/** An object of the release itself. */
function put(path: string, apiVersion: string, kind: string, content: object): void {
  const release = { 'meta.helm.sh/release-name': 'portcullis', 'meta.helm.sh/release-namespace': 'portcullis' };
  const metadata = { labels: { 'app.kubernetes.io/managed-by': 'Helm' }, annotations: release };
  there.set(path, { apiVersion, kind, metadata, ...content });
}

const madeAs = (podManagementPolicy: string): void =>
  put('/apis/apps/v1/namespaces/portcullis/statefulsets/portcullis-redis', 'apps/v1', 'StatefulSet', {
    spec: { podManagementPolicy },
  });

it.each([
  ['OrderedReady', 3],
  ['Parallel', 1],
] as const)(
  'says what to do before anything changes, where a StatefulSet made %s would get %i nodes',
  async (made, nodes) => {
    madeAs(made);
    const { code, stderr } = await inCluster(`redis.inChart.replicas=${nodes}`);
    expect(code).not.toBe(0);
    expect(stderr).toContain('kubectl --namespace portcullis delete statefulset portcullis-redis');
  },
);

it.each([
  ['OrderedReady', 1],
  ['Parallel', 3],
] as const)('goes on where a StatefulSet made %s has %i nodes', async (made, nodes) => {
  madeAs(made);
  expect(await inCluster(`redis.inChart.replicas=${nodes}`)).toMatchObject({ code: 0, stderr: '' });
});

it('keeps the passwords that are there, and adds those that are missing', async () => {
  const secret = (name: string, data: object): void =>
    put(`/api/v1/namespaces/portcullis/secrets/portcullis-redis-${name}`, 'v1', 'Secret', { data });
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  secret('auth', { username: encode('portcullis'), password: encode('kept') });
  secret('ha', { 'peer-password': encode('kept-too') });
  const { stdout, stderr } = await inCluster('redis.inChart.replicas=3');
  expect(stderr).toBe('');
  const objects = objectsIn(stdout);
  expect(only(objects, 'Secret', 'portcullis-redis-auth')['data']).toMatchObject({ password: encode('kept') });
  const internal = only(objects, 'Secret', 'portcullis-redis-ha')['data'];
  expect(internal).toMatchObject({ 'peer-password': encode('kept-too'), 'lookup-username': encode('portcullis') });
  expect(Buffer.from((internal as Record<string, string>)['sentinel-password'] ?? '', 'base64').length).toBe(43);
});
