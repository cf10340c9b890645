/**
 * `clusters[].impersonate.constrained` against the embedded cluster, which decides as the API server does; test/cluster has the same with a real
 * one.
 */
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import { startCluster, type EmbeddedCluster } from '../../demo/cluster/cluster.ts';
import { createClusterProbe } from '../../src/proxy/proxy.ts';
import type { UpstreamCluster } from '../../src/proxy/proxy.ts';
import { ALICE, call, HOST, rawConnection, signIn, startPlane } from '../support/data-plane.ts';
import type { Called, TestPlane, TestUser } from '../support/data-plane.ts';
import { ROOT } from '../support/deployed.ts';

const ACCOUNT = 'system:serviceaccount:portcullis:portcullis';
const TOKENS = { instance: { username: ACCOUNT }, root: { username: 'demo:root', groups: ['demo:admins'] } };
const AUTHENTICATION = 'authentication.k8s.io';
const MAPS = '/api/v1/namespaces/default/configmaps';
const WHOAMI = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
const SERVICE_ACCOUNT = 'system:serviceaccount:default:builder';

let tls: DemoCertificates;
let exampleRules: readonly object[];
beforeAll(async () => {
  tls = await makeCertificates(['127.0.0.1'], Date.now());
  const text = await readFile(`${ROOT}deploy/examples/service-account-constrained.yaml`, 'utf8');
  const documents = parseAllDocuments(text).map((each) => each.toJS() as { kind: string; rules: readonly object[] });
  exampleRules = documents.find(({ kind }) => kind === 'ClusterRole')?.rules ?? [];
});

interface Stage {
  readonly plane: TestPlane;
  readonly probe: () => Promise<string | undefined>;
  as(user: TestUser, who: string, path?: string, more?: Record<string, string>): Promise<Called>;
  close(): Promise<void>;
}

const groups = { apiGroups: [AUTHENTICATION], resources: ['groups'], verbs: ['impersonate:user-info'] };
const serviceAccounts = [
  { apiGroups: [AUTHENTICATION], resources: ['serviceaccounts'], verbs: ['impersonate:serviceaccount'] },
  { apiGroups: [''], resources: ['configmaps'], verbs: ['impersonate-on:serviceaccount:list'] },
  { apiGroups: [AUTHENTICATION], resources: ['selfsubjectreviews'], verbs: ['impersonate-on:serviceaccount:create'] },
];

/** @param knows the cluster knows constrained impersonation. @param legacy the account keeps the role that it is seeded with, or of it one right */
async function stage({
  knows,
  legacy,
}: {
  readonly knows: boolean;
  readonly legacy: boolean | 'serviceaccounts';
}): Promise<Stage> {
  const cluster: EmbeddedCluster = await startCluster({
    host: '127.0.0.1',
    port: 0,
    tls,
    tokens: TOKENS,
    constrained: knows,
  });
  const dispatcher = new Agent({ connect: { ca: tls.ca } });
  const asRoot = async (method: 'POST' | 'DELETE', kind: string, body: object | string): Promise<void> => {
    const url = `${cluster.url}/apis/rbac.authorization.k8s.io/v1/${kind}${typeof body === 'string' ? `/${body}` : ''}`;
    const headers = { authorization: 'Bearer root', 'content-type': 'application/json' };
    const sent = typeof body === 'string' ? {} : { body: JSON.stringify(body) };
    const response = await request(url, { method, dispatcher, headers, ...sent });
    expect(response.statusCode, await response.body.text()).toBeLessThan(300);
  };
  const grant = async (name: string, rules: readonly object[], subject: object): Promise<void> => {
    const apiVersion = 'rbac.authorization.k8s.io/v1';
    await asRoot('POST', 'clusterroles', { apiVersion, kind: 'ClusterRole', metadata: { name }, rules });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name };
    const bound = { apiVersion, kind: 'ClusterRoleBinding', metadata: { name }, roleRef, subjects: [subject] };
    await asRoot('POST', 'clusterrolebindings', bound);
  };
  const account = { kind: 'ServiceAccount', namespace: 'portcullis', name: 'portcullis' };
  await grant('constrained', [...exampleRules, groups, ...serviceAccounts], account);
  if (legacy !== true) await asRoot('DELETE', 'clusterrolebindings', 'portcullis');
  if (legacy === 'serviceaccounts') {
    await grant('left', [{ apiGroups: [''], resources: [legacy], verbs: ['impersonate'] }], account);
  }
  const user = (name: string): object => ({ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name });
  await grant('everything', [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], user('corp:admin'));
  await grant('alice', [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }], user(ALICE.username));
  await grant('builder', [{ verbs: ['list'], apiGroups: [''], resources: ['configmaps'] }], user(SERVICE_ACCOUNT));
  // Alice has constrained rights only, Bob the legacy right only.
  const who = { apiGroups: [AUTHENTICATION], resources: ['users'], resourceNames: ['demo:limited', 'demo:root'] };
  const builder = { apiGroups: [AUTHENTICATION], resources: ['serviceaccounts'], resourceNames: ['builder'] };
  const list = ['impersonate-on:user-info:list', 'impersonate-on:serviceaccount:list'];
  const rules = [
    { ...who, verbs: ['impersonate:user-info'] },
    { ...builder, verbs: ['impersonate:serviceaccount'] },
    { apiGroups: [''], resources: ['configmaps'], verbs: list },
    { apiGroups: [AUTHENTICATION], resources: ['selfsubjectreviews'], verbs: ['impersonate-on:serviceaccount:create'] },
  ];
  await grant('alice-as', rules, user(ALICE.username));
  const legacyRule = { verbs: ['impersonate'], apiGroups: [''], resources: ['users'], resourceNames: ['demo:limited'] };
  await grant('bob-as', [legacyRule], user('corp:bob'));
  const configured = { server: cluster.url, ca: tls.ca, token: () => 'instance' };
  const impersonate = { groups: '*', extra: [], constrained: 'read' } as const;
  const plane = await startPlane({ cluster: { ...configured, impersonate } });
  const upstream: UpstreamCluster = { ...configured, name: 'prod', hosts: [HOST], impersonate };
  return {
    plane,
    probe: createClusterProbe(upstream),
    as: (user, name, path = MAPS, more = {}) =>
      call(plane, user, path, { headers: { 'impersonate-user': name, ...more } }),
    close: async () => {
      await plane.close();
      await dispatcher.close();
      await cluster.close();
    },
  };
}

const identity = (username: string) => ({ ...ALICE, username });

describe('a cluster that knows constrained impersonation, with an account that has nothing else', () => {
  let on: Stage;
  let alice: TestUser;
  let bob: TestUser;
  let admin: TestUser;
  beforeAll(async () => {
    on = await stage({ knows: true, legacy: false });
    alice = await signIn(on.plane);
    bob = await signIn(on.plane, { subject: 'bob', identity: identity('corp:bob') });
    admin = await signIn(on.plane, { subject: 'admin', identity: identity('corp:admin') });
  });
  afterAll(() => on.close());
  beforeEach(() => void (on.plane.counted.upstreamErrors.length = 0));

  it('is up, and users read what they may read', async () => {
    expect(await on.probe()).toBeUndefined();
    expect((await call(on.plane, alice, '/api/v1/namespaces/default/pods')).status).toBe(200);
    expect((await call(on.plane, alice, MAPS)).status).toBe(403);
    expect((await call(on.plane, admin, WHOAMI, { method: 'POST', body: '{}' })).text).toContain(
      'portcullis.dev/session',
    );
  });

  it.each([
    ['a write', 'POST', MAPS, 'impersonate-on:user-info:create'],
    ['a deletion', 'DELETE', `${MAPS}/web-settings`, 'impersonate-on:user-info:delete'],
    ['a Secret', 'GET', '/api/v1/namespaces/default/secrets', 'impersonate-on:user-info:list'],
  ])('rejects %s of an admin as a 403 that says why, and alerts no operator', async (_what, method, path, verb) => {
    const answered = await call(on.plane, admin, path, { method, ...(method === 'POST' ? { body: '{}' } : {}) });
    expect(answered.json()).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(answered.json().message).toContain(`can be read only`);
    expect(answered.json().message).toContain(`"${verb}"`);
    expect(on.plane.counted.upstreamErrors).toEqual([]);
  });

  it('rejects an exec by GET, which is a shell and no read', async () => {
    const connection = await rawConnection(on.plane, admin.certificate);
    connection.socket.write(
      `GET /api/v1/namespaces/default/pods/web-1/exec?command=id&stdout=1 HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${admin.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n`,
    );
    await connection.ended;
    expect(connection.received()).toMatch(/^HTTP\/1\.1 403 [^]*can be read only[^]*impersonate-on:user-info:get/);
  });

  it('lets a user with constrained rights act as those users, for those verbs, and no more', async () => {
    expect((await on.as(alice, 'demo:limited')).status).toBe(200);
    const denied = async (...args: Parameters<Stage['as']>): Promise<unknown> => {
      const { code, message } = (await on.as(...args)).json();
      return [code, message?.replace(/^.*User "[^"]*" /, '').replace(/ \(audit id.*/, '')];
    };
    expect(await denied(alice, 'demo:limited', `${MAPS}/web-settings`)).toEqual([
      403,
      'cannot impersonate-on:user-info:get resource "configmaps" in API group "" in the namespace "default"',
    ]);
    expect(await denied(alice, 'demo:other')).toEqual([
      403,
      `cannot impersonate:user-info resource "users" in API group "${AUTHENTICATION}" at the cluster scope`,
    ]);
    expect(await denied(alice, 'demo:limited', MAPS, { 'impersonate-group': 'demo:admins' })).toEqual([
      403,
      `cannot impersonate:user-info resource "groups" in API group "${AUTHENTICATION}" at the cluster scope`,
    ]);
    expect(await denied(alice, 'demo:limited', '/version')).toEqual([
      403,
      'cannot impersonate-on:user-info:get path "/version"',
    ]);
  });

  it('lets a user with the legacy right act as that user, but no further than the account goes', async () => {
    expect((await on.as(bob, 'demo:limited')).status).toBe(200);
    expect((await on.as(bob, 'demo:root')).status).toBe(403);
  });

  it('sends a service account by its name alone', async () => {
    expect((await on.as(alice, SERVICE_ACCOUNT)).status).toBe(200);
    const options = { method: 'POST', body: '{}', headers: { 'impersonate-user': SERVICE_ACCOUNT } };
    const { text } = await call(on.plane, alice, WHOAMI, options);
    expect(JSON.parse(text)).toMatchObject({
      status: { userInfo: { username: SERVICE_ACCOUNT, groups: expect.arrayContaining(['system:serviceaccounts']) } },
    });
    expect(text).not.toContain('extra');
    // The API server does not learn whose request it was, so this is the only place that has it.
    expect(on.plane.audited.at(-1)).toMatchObject({
      user: { username: ALICE.username },
      impersonatedUser: { username: SERVICE_ACCOUNT },
      annotations: { 'portcullis.dev/session': alice.session.id },
    });
    expect((await on.as(alice, 'system:serviceaccount:kube-system:builder-2')).status).toBe(403);
  });

  it.each([
    ['a service account with a group', SERVICE_ACCOUNT, { 'impersonate-group': 'g' }],
    ['a service account with a uid', SERVICE_ACCOUNT, { 'impersonate-uid': 'u' }],
    ['a node', 'system:node:one', {}],
    ['system:masters', 'demo:limited', { 'impersonate-group': 'system:masters' }],
  ])('rejects %s without asking, whatever the user may', async (_what, name, more) => {
    const answered = await on.as(admin, name, MAPS, more);
    expect(answered.json()).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(on.plane.audited.at(-1)?.annotations).toMatchObject({
      'portcullis.dev/reason': 'impersonation_unconstrained',
    });
  });
});

describe('a cluster that does not know constrained impersonation', () => {
  it('rejects every request, and says of reads what it needs', async () => {
    const off = await stage({ knows: false, legacy: false });
    const alice = await signIn(off.plane);
    const answered = await call(off.plane, alice, '/api/v1/namespaces/default/pods');
    expect(answered.json()).toMatchObject({ code: 503 });
    expect(answered.json().message).toMatch(
      /does not know constrained impersonation \(Kubernetes 1\.36, or 1\.35 with/,
    );
    expect(off.plane.counted.upstreamErrors).toEqual(['constrained_unsupported']);
    // A write is rejected anyway, and users must not alert an operator: an API server names the legacy verb also as long
    // as that was the last one to succeed.
    const write = await call(off.plane, alice, MAPS, { method: 'POST', body: '{}' });
    expect(write.json()).toMatchObject({
      code: 403,
      message: expect.stringContaining('"impersonate-on:user-info:create"'),
    });
    expect(off.plane.counted.upstreamErrors).toEqual(['constrained_unsupported']);
    // Alice's rights are inert there, so that the account's lack of any must not be the only thing in the way.
    expect((await off.as(alice, 'demo:limited')).status).toBe(503);
    expect(await off.probe()).toMatch(/^It does not know constrained impersonation/);
    await off.close();
  });
});

describe.each([{ knows: false }, { knows: true }])('an account that keeps its legacy right ($knows)', ({ knows }) => {
  it('gives no user more than the legacy right, and the cluster is shown as down', async () => {
    const left = await stage({ knows, legacy: true });
    const alice = await signIn(left.plane);
    const bob = await signIn(left.plane, { subject: 'bob', identity: identity('corp:bob') });
    const answered = await left.as(alice, 'demo:limited');
    expect(answered.json()).toMatchObject({ code: 403 });
    expect(answered.json().message).toContain('cannot impersonate resource "users"');
    expect((await left.as(bob, 'demo:limited')).status).toBe(200);
    expect(await left.probe()).toMatch(/^Our account may still impersonate users by the legacy verb/);
    await left.close();
  });
});

it('shows a cluster as down where the account may act as its service accounts by the legacy verb', async () => {
  const left = await stage({ knows: true, legacy: 'serviceaccounts' });
  expect(await left.probe()).toMatch(/^Our account may still impersonate serviceaccounts by the legacy verb/);
  await left.close();
});
