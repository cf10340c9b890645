/**
 * Constrained impersonation at a real API server: what a stolen token of the proxy's account can do with the role that the
 * chart renders, and that the proxy judges `kubectl --as` as the API server does.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { impersonateOn } from '../../src/core/http/constrained-impersonation.ts';
import { rbacDenial } from '../../src/core/http/impersonation.ts';
import { requestInfo } from '../../src/core/request/request-info.ts';
import { createClusterProbe } from '../../src/proxy/proxy.ts';
import { ALICE, call, HOST, signIn, startPlane, type TestPlane, type TestUser } from '../support/data-plane.ts';
import { startBareApiServer } from './bare-api-server.ts';
import { ConstrainedCluster as Cluster, type Ask } from './constrained-cluster.ts';

const FEATURE = 'ConstrainedImpersonation';
const version = execFileSync(`${process.env['KUBEBUILDER_ASSETS'] ?? ''}/kube-apiserver`, ['--version'], {
  encoding: 'utf8',
});
const minor = Number(/v1\.(\d+)/.exec(version)?.[1]);
/** Before 1.35 an API server does not start with a feature that it does not know. */
const knowsFeature = minor >= 35;

const PODS = '/api/v1/namespaces/default/pods';
const MAPS = '/api/v1/namespaces/default/configmaps';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const AUTHENTICATION = 'authentication.k8s.io';
const BUILDER = 'system:serviceaccount:default:builder';
/** One of the cluster's own service accounts, with more rights than any user of Portcullis. */
const CONTROLLER = 'system:serviceaccount:kube-system:namespace-controller';

const user = (name: string): object => ({ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name });
const LIMITED = { 'impersonate-user': 'corp:limited' };
const SERVICES = '/api/v1/namespaces/default/services?fieldSelector=';

/** Requests that a careless reader takes for another verb, resource, namespace or name. */
const TARGETS: readonly (readonly [method: string, path: string])[] = [
  ['GET', '/api/v1/watch/namespaces/a/pods/b'],
  ['GET', '/api/v1/watch/namespaces/a/status'],
  ['DELETE', '/api/v1/watch/pods'],
  ['GET', '/api/v1/watch/watch/pods'],
  ['GET', '/api/v1/proxy/namespaces/a/services/b/c/d'],
  ['POST', '/api/v1/namespaces/a/finalize/b'],
  ['GET', '/api/v1/namespaces/a/namespaces/b/pods'],
  ['GET', '/api/v1/namespaces/a/pods/b/exec/c?watch=1'],
  ['OPTIONS', '/api/v1/namespaces/a/pods/b/proxy/'],
  ['GET', '/api/v1/namespaces/*/pods/*'],
  ['GET', '/api/v1/%70ods/'],
  ['GET', '/%61pi/v1/%77atch/pods'],
  ['GET', '/api/v1/pods%3Fwatch=1'],
  ['GET', '/api/v1/pods;watch=1'],
  ['GET', '/API/v1/pods'],
  ['GET', '/apis/apps/v1/'],
  ['PUT', '/apis/a'],
  ['DELETE', '/api/v1/pods?fieldSelector=metadata.name=b'],
  ...['watch', 'watch=', 'watch=f', 'watch=0&watch=1', 'watch=1;a', 'wat%63h=1', 'Watch=1', 'watch=0&limit=a'].map(
    (query) => ['GET', `/api/v1/pods?${query}`] as const,
  ),
  ...[
    'metadata.name==b,a=c',
    'metadata.name=b,metadata.name=c',
    'metadata.name!=b',
    'metadata.name=b,a',
    'metadata.name=%5c,',
    'metadata.name=a%252fb',
    'metadata.name=b&fieldSelector=metadata.name=c',
    'metadata.name=b&limit=9223372036854775808',
    'metadata.name=b&limit=',
    'metadata.name=b&labelSelector=a,',
    'metadata.name=b&labelSelector=a.b/c!%3Dd,!e',
    'metadata.name=b&watch=1',
  ].map((query) => ['GET', `/api/v1/pods?fieldSelector=${query}`] as const),
];

/** The user who may do everything, in whose name the thief tries. */
const ADMIN = { 'impersonate-user': 'corp:admin', 'impersonate-group': 'corp:admins' };

const upstreamOf = ({ server, token }: Cluster) => ({
  server: server.url,
  ca: server.ca,
  token: () => token,
  impersonate: { groups: '*', extra: [], constrained: 'read' } as const,
});

describe.skipIf(!knowsFeature)('a stolen token of the account, with every group and only for reads', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = new Cluster(await startBareApiServer(`${FEATURE}=true`));
    await cluster.install();
    await cluster.grant('everything', [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }], {
      kind: 'Group',
      apiGroup: 'rbac.authorization.k8s.io',
      name: 'corp:admins',
    });
  });
  afterAll(() => cluster.close());

  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const pod = { metadata: { name: 'a' }, spec: { containers: [{ name: 'a', image: 'registry.example/a:1' }] } };
  const rules = [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }];

  it.each<[string, Ask]>([
    ['list pods', { path: PODS }],
    ['watch deployments', { path: '/apis/apps/v1/deployments?watch=1&timeoutSeconds=1' }],
    ['read roles', { path: `${RBAC}/clusterroles/everything` }],
    ['read the API', { path: '/openapi/v2' }],
    ['learn who it is', { method: 'POST', path: `/apis/${AUTHENTICATION}/v1/selfsubjectreviews`, body: review }],
  ])('can %s', async (_what, asked) => {
    const [status, text] = await cluster.ask({ ...asked, headers: ADMIN });
    expect(status, text).toBeLessThan(300);
  });

  it.each<[string, Ask]>([
    ['create a pod', { method: 'POST', path: PODS, body: pod }],
    ['change a pod', { method: 'PATCH', path: `${PODS}/a`, body: {} }],
    ['delete every pod', { method: 'DELETE', path: PODS }],
    ['read a Secret', { path: '/api/v1/namespaces/default/secrets/a' }],
    ['list Secrets', { path: '/api/v1/secrets' }],
    ['make a token', { method: 'POST', path: '/api/v1/namespaces/default/serviceaccounts/a/token', body: {} }],
    ['make a role', { method: 'POST', path: `${RBAC}/clusterroles`, body: { metadata: { name: 'a' }, rules } }],
    ['give itself a right', { method: 'PATCH', path: `${RBAC}/clusterroles/everything`, body: { rules } }],
    [
      'approve a certificate',
      { method: 'PUT', path: '/apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval', body: {} },
    ],
    ['exec by POST', { method: 'POST', path: `${PODS}/a/exec?command=id&stdout=1` }],
    ['exec by GET', { path: `${PODS}/a/exec?command=id&stdout=1` }],
    ['read what is behind a pod', { path: `${PODS}/a/proxy/` }],
    [
      'write what is behind a service',
      { method: 'POST', path: '/api/v1/namespaces/default/services/a/proxy/', body: {} },
    ],
    ['reach a kubelet', { path: '/api/v1/nodes/a/proxy/pods' }],
    [
      'review other users',
      { method: 'POST', path: '/apis/authorization.k8s.io/v1/localsubjectaccessreviews', body: {} },
    ],
    ['read metrics', { path: '/metrics' }],
  ])('cannot %s, although the user may', async (_what, asked) => {
    const [status, text] = await cluster.ask({ ...asked, headers: ADMIN });
    expect([status, text]).toEqual([403, expect.stringContaining('cannot impersonate-on:user-info:')]);
  });

  it.each([
    ['system:masters', { 'impersonate-user': 'a', 'impersonate-group': 'system:masters' }],
    ['a node', { 'impersonate-user': 'system:node:one' }],
    ['a service account with a group', { 'impersonate-user': BUILDER, 'impersonate-group': 'corp:admins' }],
    ['a user with an extra key of its own choice', { ...ADMIN, 'impersonate-extra-example.com%2fother': 'a' }],
  ])('cannot act as %s', async (_what, headers) => {
    const [status, text] = await cluster.ask({ path: PODS, headers });
    expect([status, text]).toEqual([403, expect.stringMatching(/cannot impersonate|not allowed/)]);
  });

  it('cannot open a shell by a WebSocket; with `get` on every resource it could', async () => {
    const path = `${PODS}/a/exec?command=id&stdout=1`;
    expect(await cluster.upgrade(path, ADMIN)).toContain(
      'cannot impersonate-on:user-info:get resource \\"pods/exec\\"',
    );
    const account = { kind: 'ServiceAccount', namespace: 'portcullis', name: 'portcullis' };
    const verbs = ['impersonate-on:user-info:get'];
    await cluster.grant('too-wide', [{ apiGroups: ['*'], resources: ['*'], verbs }], account);
    // Past impersonation and authorization: the API server looks for the pod.
    await expect.poll(() => cluster.upgrade(path, ADMIN)).toMatch(/^HTTP\/1\.1 404 [^]*pods \\"a\\" not found/);
    await cluster.kubectl(['delete', 'clusterrolebinding', 'too-wide']);
  });

  it.each<[string, string, object, Ask]>([
    [
      'write',
      'users',
      { resources: ['users', 'groups'] },
      { method: 'POST', path: MAPS, body: { metadata: { name: 'a' } }, headers: ADMIN },
    ],
    [
      'list every Secret',
      'serviceaccounts',
      { resources: ['serviceaccounts'] },
      { path: '/api/v1/secrets', headers: { 'impersonate-user': CONTROLLER } },
    ],
  ])(
    'can %s again, once the account has a legacy right to %s, and the probe says so',
    async (_what, kind, rule, asked) => {
      const probe = createClusterProbe({ ...upstreamOf(cluster), name: 'prod', hosts: [] });
      expect((await cluster.ask(asked))[0]).toBe(403);
      expect(await probe()).toBeUndefined();
      const account = { kind: 'ServiceAccount', namespace: 'portcullis', name: 'portcullis' };
      await cluster.grant('legacy', [{ apiGroups: [''], verbs: ['impersonate'], ...rule }], account);
      await expect.poll(async () => (await cluster.ask(asked))[0]).toBeLessThan(300);
      expect(await probe()).toContain(`Our account may still impersonate ${kind} by the legacy verb`);
      await cluster.kubectl(['delete', 'clusterrolebinding', 'legacy']);
    },
  );
});

describe.skipIf(!knowsFeature)('the account with every verb', () => {
  it('can do for a user what the user may, but for no member of system:masters', async () => {
    const cluster = new Cluster(await startBareApiServer(`${FEATURE}=true`));
    await cluster.install('all');
    await cluster.grant('maps', [{ apiGroups: [''], resources: ['configmaps'], verbs: ['*'] }], user('corp:admin'));
    const as = (headers: Readonly<Record<string, string>>, method: string, path: string, body?: object) =>
      cluster.ask({ method, path, headers, ...(body === undefined ? {} : { body }) });
    expect((await as(ADMIN, 'POST', MAPS, { metadata: { name: 'a' } }))[0]).toBe(201);
    expect((await as(ADMIN, 'PATCH', `${MAPS}/a`, { data: { a: 'b' } }))[0]).toBe(200);
    expect((await as(ADMIN, 'DELETE', MAPS))[0]).toBe(200);
    expect((await as(ADMIN, 'GET', '/api/v1/secrets'))[1]).toContain('User \\"corp:admin\\" cannot list resource');
    expect((await as(ADMIN, 'GET', '/metrics'))[1]).toContain('User \\"corp:admin\\" cannot get path');
    const masters = { ...ADMIN, 'impersonate-group': 'system:masters' };
    expect(await as(masters, 'GET', MAPS)).toEqual([
      403,
      expect.stringContaining('system:masters group is not allowed'),
    ]);
    await cluster.close();
  });
});

describe.skipIf(!knowsFeature)('kubectl --as by a user with constrained rights', () => {
  let cluster: Cluster;
  let plane: TestPlane;
  let alice: TestUser;
  let direct: string;
  beforeAll(async () => {
    cluster = new Cluster(await startBareApiServer(`${FEATURE}=true`));
    await cluster.install();
    await cluster.kubectl(['create', 'serviceaccount', 'tester', '--namespace', 'default']);
    direct = (await cluster.kubectl(['create', 'token', 'tester', '--namespace', 'default'])).trim();
    // The same rights for a client of the API server and for a user of Portcullis.
    const both = [{ kind: 'ServiceAccount', namespace: 'default', name: 'tester' }, user(ALICE.username)];
    const constrained = (resources: readonly string[], resourceNames: readonly string[], mode = 'user-info') => ({
      apiGroups: [AUTHENTICATION],
      resources,
      resourceNames,
      verbs: [`impersonate:${mode}`],
    });
    const legacy = { apiGroups: [''], resources: ['users'], resourceNames: ['corp:old'], verbs: ['impersonate'] };
    const rules = [
      constrained(['users'], ['corp:limited', 'corp:admin']),
      constrained(['groups'], ['corp:readers']),
      constrained(['serviceaccounts'], ['builder'], 'serviceaccount'),
      { apiGroups: [''], resources: ['configmaps'], verbs: ['impersonate-on:user-info:list'] },
      { apiGroups: [''], resources: ['configmaps'], verbs: ['impersonate-on:serviceaccount:list'] },
      {
        apiGroups: [AUTHENTICATION],
        resources: ['selfsubjectreviews'],
        verbs: ['impersonate-on:serviceaccount:create'],
      },
      { nonResourceURLs: ['/version'], verbs: ['impersonate-on:user-info:get'] },
      { apiGroups: [''], resources: ['services'], resourceNames: ['one'], verbs: ['impersonate-on:user-info:list'] },
      legacy,
    ];
    await cluster.grant('as', rules, ...both);
    const subjects = ['corp:limited', 'corp:admin', 'corp:old', 'corp:other', BUILDER].map(user);
    const readers = { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'corp:readers' };
    const verbs = ['get', 'list', 'create'];
    const maps = { apiGroups: [''], resources: ['configmaps', 'services'], verbs };
    await cluster.grant('maps', [maps], ...subjects, readers);
    await cluster.kubectl(['create', 'configmap', 'one', '--namespace', 'default']);
    plane = await startPlane({ cluster: upstreamOf(cluster) });
    alice = await signIn(plane);
  });
  afterAll(async () => {
    await plane.close();
    await cluster.close();
  });

  it.each<[string, number, Ask]>([
    ['a list as that user', 200, { path: MAPS, headers: LIMITED }],
    ['a path', 200, { path: '/version', headers: LIMITED }],
    ['another path', 403, { path: '/healthz', headers: LIMITED }],
    ['a get, which is another verb', 403, { path: `${MAPS}/one`, headers: LIMITED }],
    ['a list of another resource', 403, { path: PODS, headers: LIMITED }],
    ['a list of one name', 200, { path: `${SERVICES}metadata.name%3Done`, headers: LIMITED }],
    ['a list of another name', 403, { path: `${SERVICES}metadata.name%3Dtwo`, headers: LIMITED }],
    // The API server cannot decode the options, and takes it for a list of every name.
    [
      '… that only seems to be of that name',
      403,
      { path: `${SERVICES}metadata.name%3Done&labelSelector=-a`, headers: LIMITED },
    ],
    ['another user', 403, { path: MAPS, headers: { 'impersonate-user': 'corp:other' } }],
    [
      'a group',
      200,
      { path: MAPS, headers: { 'impersonate-user': 'corp:admin', 'impersonate-group': 'corp:readers' } },
    ],
    [
      'another group',
      403,
      { path: MAPS, headers: { 'impersonate-user': 'corp:admin', 'impersonate-group': 'corp:x' } },
    ],
    ['a uid', 403, { path: MAPS, headers: { 'impersonate-user': 'corp:limited', 'impersonate-uid': 'u' } }],
    ['a service account', 200, { path: MAPS, headers: { 'impersonate-user': BUILDER } }],
    ['another service account', 403, { path: MAPS, headers: { 'impersonate-user': `${BUILDER}-2` } }],
    [
      'a service account with a group',
      403,
      { path: MAPS, headers: { 'impersonate-user': BUILDER, 'impersonate-group': 'corp:readers' } },
    ],
    ['a user by the legacy right', 200, { path: `${MAPS}/one`, headers: { 'impersonate-user': 'corp:old' } }],
    ['a node', 403, { path: MAPS, headers: { 'impersonate-user': 'system:node:one' } }],
    [
      'system:masters',
      403,
      { path: MAPS, headers: { 'impersonate-user': 'corp:limited', 'impersonate-group': 'system:masters' } },
    ],
  ])('is judged as the API server does: %s, %i', async (_what, status, asked) => {
    const [atServer] = await cluster.ask(asked, direct);
    const through = await call(plane, alice, asked.path, { headers: { ...asked.headers } });
    expect([atServer, through.status], through.text).toEqual([status, status]);
  });

  it('takes a request for what the API server takes it for, however it is written', async () => {
    // Of an account without a right: the API server names first the mode that was the last one to succeed for it.
    await cluster.kubectl(['create', 'serviceaccount', 'rightless', '--namespace', 'default']);
    const token = (await cluster.kubectl(['create', 'token', 'rightless', '--namespace', 'default'])).trim();
    const account = 'system:serviceaccount:default:rightless';
    for (const [method, path] of TARGETS) {
      const headers = { 'impersonate-user': 'corp:other' };
      const [, text] = await cluster.ask({ method, path, headers }, token);
      const ours = rbacDenial(account, impersonateOn('user-info', requestInfo(method, path)));
      expect(JSON.parse(text), `${method} ${path}`).toMatchObject({ message: ours });
    }
  });

  it('keeps the session in the identity, but for a service account, which has its name and its groups alone', async () => {
    const whoami = `/apis/${AUTHENTICATION}/v1/selfsubjectreviews`;
    const body = JSON.stringify({ apiVersion: `${AUTHENTICATION}/v1`, kind: 'SelfSubjectReview' });
    const headers = { 'content-type': 'application/json' };
    const own = await call(plane, alice, whoami, { method: 'POST', body, headers });
    expect(JSON.parse(own.text)).toMatchObject({
      status: { userInfo: { username: ALICE.username, extra: { 'portcullis.dev/session': [alice.session.id] } } },
    });
    const as = await call(plane, alice, whoami, {
      method: 'POST',
      body,
      headers: { ...headers, 'impersonate-user': BUILDER },
    });
    const groups = ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'];
    expect((JSON.parse(as.text) as { status: object }).status).toEqual({ userInfo: { username: BUILDER, groups } });
  });

  it('cannot write, and the response says why', async () => {
    const body = JSON.stringify({ metadata: { name: 'two' } });
    const headers = { 'content-type': 'application/json' };
    const { status, text } = await call(plane, alice, MAPS, { method: 'POST', body, headers, host: HOST });
    expect([status, text]).toEqual([403, expect.stringContaining('the cluster can be read only')]);
  });
});

describe('an API server that does not know constrained impersonation', () => {
  it('rejects the account for every user, and the response and the probe say why', async () => {
    const cluster = new Cluster(await startBareApiServer(knowsFeature ? `${FEATURE}=false` : undefined));
    const plane = await cluster.install().then(() => startPlane({ cluster: upstreamOf(cluster) }));
    const alice = await signIn(plane);
    await cluster.grant('all', [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }], user(ALICE.username));
    const { status, text } = await call(plane, alice, PODS);
    expect([status, text]).toEqual([503, expect.stringContaining('does not know constrained impersonation')]);
    const probe = createClusterProbe({ ...upstreamOf(cluster), name: 'prod', hosts: [] });
    expect(await probe()).toMatch(/^It does not know constrained impersonation/);
    await plane.close();
    await cluster.close();
  });
});
