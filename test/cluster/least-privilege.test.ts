import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PORTCULLIS_EXTRA_KEYS } from '../../src/core/core.ts';
import { rendered } from '../support/chart.ts';
import { startBareApiServer, type BareApiServer } from './bare-api-server.ts';

/** As clusters[].impersonate of the values has it: two groups by name, one extra key. */
const VALUES = [
  '--set-json',
  `clusters=${JSON.stringify([
    {
      name: 'elsewhere',
      impersonate: { groups: ['corp:developers', 'corp:platform'], extra: ['example.com/department'] },
    },
  ])}`,
  '--set',
  'remoteClusterOnly=true',
];

const ROLE = 'portcullis-portcullis-impersonator';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const REVIEW = {
  method: 'POST',
  path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
  body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
} as const;

interface Ask {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

const asUser = (more: Readonly<Record<string, string>> = {}): Ask => ({
  ...REVIEW,
  headers: { 'impersonate-user': 'corp:alice@example.com', ...more },
});
/** `/` is no character of a header's name, so a key is written as in a URL. */
const extra = (key: string): Ask => asUser({ [`impersonate-extra-${encodeURIComponent(key)}`]: 'value' });

describe('the account of Portcullis with the role that the chart renders', () => {
  let server: BareApiServer;
  let dispatcher: Agent;
  let token: string;

  beforeAll(async () => {
    server = await startBareApiServer();
    dispatcher = new Agent({ connect: { ca: server.ca } });
    const kubectl = async (args: readonly string[], input?: string): Promise<string> => {
      const { code, stdout, stderr } = await server.kubectl(args, input);
      expect(code, stderr).toBe(0);
      return stdout;
    };
    await kubectl(['create', 'namespace', 'portcullis']);
    const manifests = (await rendered(...VALUES)).map((object) => stringify(object)).join('---\n');
    await kubectl(['apply', '--namespace', 'portcullis', '--filename', '-'], manifests);
    token = (await kubectl(['create', 'token', 'portcullis', '--namespace', 'portcullis'])).trim();
  });
  afterAll(async () => {
    await dispatcher.close();
    await server.close();
  });

  async function ask({ method = 'GET', path, body, headers = {} }: Ask): Promise<{ status: number; answer: unknown }> {
    const patch = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const response = await request(`${server.url}${path}`, {
      method,
      dispatcher,
      headers: { authorization: `Bearer ${token}`, 'content-type': patch, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.statusCode, answer: await response.body.json() };
  }

  const identified = (userInfo: object): object => ({ status: 201, answer: { status: { userInfo } } });

  it('may act as a user, with groups that are named, a uid and each extra key that is named', async () => {
    const headers = {
      'impersonate-uid': 'corp/00u1x',
      'impersonate-extra-portcullis.dev%2fsession': 's1',
      'impersonate-extra-portcullis.dev%2foriginal-user': 'corp:root',
      'impersonate-extra-portcullis.dev%2factor': 'claude',
      'impersonate-extra-portcullis.dev%2fdelegated-session': 's2',
      'impersonate-extra-portcullis.dev%2fgrant-id': 'g1 g2',
      'impersonate-extra-example.com%2fdepartment': 'sales',
    };
    expect(await ask(asUser())).toMatchObject(identified({ username: 'corp:alice@example.com' }));
    for (const group of ['corp:developers', 'corp:platform']) {
      const { answer } = await ask(asUser({ 'impersonate-group': group }));
      expect(answer).toMatchObject({ status: { userInfo: { groups: [group, 'system:authenticated'] } } });
    }
    expect(await ask(asUser(headers))).toMatchObject(
      identified({
        uid: 'corp/00u1x',
        extra: {
          'portcullis.dev/session': ['s1'],
          'portcullis.dev/original-user': ['corp:root'],
          'portcullis.dev/actor': ['claude'],
          'portcullis.dev/delegated-session': ['s2'],
          'portcullis.dev/grant-id': ['g1 g2'],
          'example.com/department': ['sales'],
        },
      }),
    );
  });

  it('may ask what a user may do, and whose a token is', async () => {
    const access = {
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user: 'corp:bob', resourceAttributes: { verb: 'list', resource: 'pods' } },
      },
    } as const;
    expect(await ask(access)).toMatchObject({ status: 201, answer: { status: { allowed: false } } });
    const review = {
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/tokenreviews',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
    } as const;
    const user = { username: 'system:serviceaccount:portcullis:portcullis' };
    expect(await ask(review)).toMatchObject({ status: 201, answer: { status: { authenticated: true, user } } });
  });

  const core = (path: string, more: Partial<Ask> = {}): Ask => ({ path: `/api/v1/${path}`, ...more });
  const rules = [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
  const pod = { metadata: { name: 'a' }, spec: { containers: [{ name: 'a', image: 'registry.example/a:1' }] } };
  const own = 'namespaces/portcullis/serviceaccounts/portcullis';
  const created = (path: string, body: object): Ask => ({ method: 'POST', path, body });

  it.each<readonly [string, Ask]>([
    ['list pods', core('pods')],
    ['list the pods of its own namespace', core('namespaces/portcullis/pods')],
    ['list secrets', core('secrets')],
    ['read the secrets of its own namespace', core('namespaces/portcullis/secrets')],
    ['list namespaces', core('namespaces')],
    ['list nodes', core('nodes')],
    ['watch events', core('events?watch=1')],
    ['create a pod', created('/api/v1/namespaces/portcullis/pods', pod)],
    ['make a token for itself', created(`/api/v1/${own}/token`, { spec: {} })],
    ['change its own account', core(own, { method: 'PATCH', body: { metadata: { labels: { a: 'b' } } } })],
    ['read its own role', { path: `${RBAC}/clusterroles/${ROLE}` }],
    ['change its own role', { method: 'PATCH', path: `${RBAC}/clusterroles/${ROLE}`, body: { rules } }],
    ['make a role', created(`${RBAC}/clusterroles`, { metadata: { name: 'a' }, rules })],
    ['bind a role', created(`${RBAC}/clusterrolebindings`, { metadata: { name: 'a' }, roleRef, subjects: [] })],
    ['act as a user of a group that is not named', asUser({ 'impersonate-group': 'corp:security' })],
    ['act as system:masters', asUser({ 'impersonate-group': 'system:masters' })],
    ['act with an extra key that is not named', extra('example.com/other')],
    ['act as a service account', { ...REVIEW, headers: { 'impersonate-user': 'system:serviceaccount:kube-system:a' } }],
    [
      'list nodes as a user without any right in the cluster',
      { ...core('nodes'), headers: { 'impersonate-user': 'a' } },
    ],
  ])('may not %s', async (_what, asked) => {
    expect(await ask(asked)).toMatchObject({ status: 403, answer: { kind: 'Status', reason: 'Forbidden' } });
  });

  it('may do nothing else that a list of its rights would show', async () => {
    const as = ['--as', 'system:serviceaccount:portcullis:portcullis', '--as-group', 'system:serviceaccounts'];
    const listed = await server.kubectl(['auth', 'can-i', '--list', '--no-headers', ...as]);
    const resources = listed.stdout
      .split('\n')
      .map((line) => line.trim().split(/ {2,}/))
      .filter(([first = '', , , verbs = '']) => first !== '' && !first.startsWith('[') && verbs !== '')
      .map(([resource, , names, verbs]) => `${resource} ${names} ${verbs}`);
    expect(resources.toSorted()).toEqual(
      [
        'groups [corp:developers] [impersonate]',
        'groups [corp:platform] [impersonate]',
        'subjectaccessreviews.authorization.k8s.io [] [create]',
        'tokenreviews.authentication.k8s.io [] [create]',
        'uids.authentication.k8s.io [] [impersonate]',
        ...['example.com/department', ...PORTCULLIS_EXTRA_KEYS].map(
          (key) => `userextras.authentication.k8s.io/${key} [] [impersonate]`,
        ),
        'users [] [impersonate]',
        // Of system:basic-user, which every user who is signed in has.
        'selfsubjectaccessreviews.authorization.k8s.io [] [create]',
        'selfsubjectreviews.authentication.k8s.io [] [create]',
        'selfsubjectrulesreviews.authorization.k8s.io [] [create]',
      ].toSorted(),
    );
  });
});
