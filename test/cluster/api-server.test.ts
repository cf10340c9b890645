import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PORTCULLIS_EXTRA_KEYS } from '../../src/core/core.ts';
import { auditedBy } from '../support/audit-log.ts';
import { CliContext } from '../support/kubectl.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { startRealInstance, type RealInstance } from './real-instance.ts';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
/** Each message in this form begins so (k8s.io/apimachinery, runtime/serializer/protobuf). */
const MAGIC = Buffer.from('k8s\0');
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

let real: RealInstance;
let root: CliContext;
beforeAll(async () => {
  real = await startRealInstance();
  root = new CliContext(real.instance, 'root');
});
afterAll(async () => {
  root.close();
  await real.stop();
});

async function done(machine: CliContext, ...args: string[]): Promise<string> {
  const { code, stdout, all } = await machine.kubectl(...args);
  expect(code, all).toBe(0);
  return stdout;
}

describe('the service account of Portcullis, by itself', () => {
  let own: CliContext;
  let flags: readonly string[];
  beforeAll(() => {
    const { cluster, files } = real.instance;
    const { server, token } = cluster.upstream;
    flags = ['--server', server, '--token', token, '--certificate-authority', join(files.directory, 'cluster-ca.crt')];
    own = new CliContext(real.instance, 'no-user', { KUBECONFIG: '/dev/null' });
  });
  afterAll(() => own.close());

  it('may impersonate and ask for reviews, and nothing else beyond what every user may', async () => {
    const listed = await done(own, 'auth', 'can-i', '--list', '--no-headers', ...flags);
    const rights = listed
      .split('\n')
      .map((line) => line.trim().split(/ {2,}/))
      .filter(([first = '']) => first !== '' && !first.startsWith('['))
      .map(([resource, _urls, names, verbs]) => `${resource} ${names} ${verbs}`);
    expect(rights.toSorted()).toEqual(
      [
        // Of system:basic-user, which every user who is signed in has.
        'selfsubjectaccessreviews.authorization.k8s.io [] [create]',
        'selfsubjectreviews.authentication.k8s.io [] [create]',
        'selfsubjectrulesreviews.authorization.k8s.io [] [create]',
        'groups [] [impersonate]',
        'subjectaccessreviews.authorization.k8s.io [] [create]',
        'tokenreviews.authentication.k8s.io [] [create]',
        'uids.authentication.k8s.io [] [impersonate]',
        'users [] [impersonate]',
        ...PORTCULLIS_EXTRA_KEYS.map((key) => `userextras.authentication.k8s.io/${key} [] [impersonate]`),
      ].toSorted(),
    );
  });

  it.each([
    ['list', 'pods'],
    ['get', 'secrets'],
    ['create', 'serviceaccounts/token'],
    ['create', 'clusterrolebindings'],
    ['escalate', 'clusterroles'],
    ['impersonate', 'userextras.authentication.k8s.io/anything-else'],
  ])('may not %s %s', async (verb, resource) => {
    const { code, stdout } = await own.kubectl('auth', 'can-i', verb, resource, '--all-namespaces', ...flags);
    expect({ code, answer: stdout.trim() }).toEqual({ code: 1, answer: 'no' });
  });

  it('is rejected when it tries', async () => {
    const { code, stderr } = await own.kubectl('get', 'pods', ...flags);
    expect(code).toBe(1);
    expect(stderr).toContain('User "system:serviceaccount:portcullis:portcullis" cannot list resource "pods"');
  });

  it('is let through as another user, and for a SubjectAccessReview', async () => {
    const as = ['--as', 'demo:alice', '--as-group', 'demo:developers'];
    expect(await done(own, 'get', 'pods', '--output', 'name', ...as, ...flags)).toContain('pod/web-1');
    const review = JSON.stringify({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: 'demo:bob', resourceAttributes: { verb: 'list', resource: 'pods', namespace: 'default' } },
    });
    const answer = await own.kubectlWith(
      review,
      'create',
      '--validate=false',
      '--filename',
      '-',
      '--output',
      'json',
      ...flags,
    );
    expect(answer.code, answer.all).toBe(0);
    expect(JSON.parse(answer.stdout)).toMatchObject({ status: { allowed: false } });
  });
});

describe('the user that the API server sees', () => {
  it('is the signed-in user, with each group by itself: commas, blanks and letters of any script included', async () => {
    const groups = ['a, b', 'größe-チーム', 'plain'];
    real.instance.identityProvider.change('bob', { groups });
    const bob = new CliContext(real.instance, 'bob');
    const { status } = JSON.parse(await done(bob, 'auth', 'whoami', '--output', 'json')) as {
      status: { userInfo: Record<string, unknown> };
    };
    expect(status.userInfo).toMatchObject({ username: 'demo:bob', uid: 'demo/bob' });
    expect(status.userInfo['groups']).toEqual([...groups.map((name) => `demo:${name}`), 'system:authenticated']);
    await done(root, 'create', 'role', 'reader', '--verb', 'list', '--resource', 'configmaps');
    await done(root, 'create', 'rolebinding', 'reader', '--role', 'reader', '--group', 'demo:größe-チーム');
    await expect.poll(async () => (await bob.kubectl('get', 'configmaps')).code, { timeout: 10_000 }).toBe(0);
    expect((await bob.kubectl('get', 'pods')).stderr).toContain('User "demo:bob" cannot list resource "pods"');
  });
});

describe('kubectl --as before a real API server', () => {
  it('is the impersonated user, in any script, with the real user in extra', async () => {
    const as = ['--as', 'demo:zoë-ゾーイ', '--as-group', 'x, y', '--as-group', 'größe', '--as-uid', 'z/1'];
    const { status } = JSON.parse(await done(root, 'auth', 'whoami', '--output', 'json', ...as)) as {
      status: { userInfo: { username: string; uid: string; groups: string[]; extra: Record<string, string[]> } };
    };
    expect(status.userInfo).toMatchObject({ username: 'demo:zoë-ゾーイ', uid: 'z/1' });
    expect(status.userInfo.groups).toEqual(['x, y', 'größe', 'system:authenticated']);
    expect(status.userInfo.extra['portcullis.dev/original-user']).toEqual(['demo:root']);
  });

  it('is rejected with the message of Kubernetes where the user has no right', async () => {
    const alice = new CliContext(real.instance, 'alice');
    const { code, stderr } = await alice.kubectl('get', 'pods', '--as', 'demo:root');
    expect(code).toBe(1);
    expect(stderr).toContain('User "demo:alice" cannot impersonate resource "users" in API group ""');
  });
});

describe('a client that speaks protobuf', () => {
  let dispatcher: Agent;
  let authorization: string;
  beforeAll(async () => {
    const { urls, files } = real.instance;
    const printed = await root.portcullis('get-token', '--server', urls.web, '--cluster', 'demo');
    const { status } = JSON.parse(printed.stdout) as {
      status: { token: string; clientCertificateData: string; clientKeyData: string };
    };
    const ca = await readFile(join(files.directory, 'ca.crt'));
    dispatcher = new Agent({ connect: { ca, cert: status.clientCertificateData, key: status.clientKeyData } });
    authorization = `Bearer ${status.token}`;
  });
  afterAll(() => dispatcher.close());

  const ask = (path: string, accept: string) =>
    request(`${real.instance.urls.api}${path}`, { dispatcher, headers: { authorization, accept } });

  it('lists', async () => {
    await done(root, 'create', 'configmap', 'in-protobuf', '--from-literal', 'a=größe');
    const answer = await ask(CONFIG_MAPS, PROTOBUF);
    const body = Buffer.from(await answer.body.arrayBuffer());
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toBe(PROTOBUF);
    expect(body.subarray(0, 4)).toEqual(MAGIC);
    expect(body.includes('in-protobuf')).toBe(true);
  });

  it('watches: first what there is, a bookmark that ends it, then a change, then a bookmark before the end', async () => {
    const query =
      'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=4';
    const answer = await ask(`${CONFIG_MAPS}?${query}`, `${PROTOBUF};stream=watch`);
    expect(answer.headers['content-type']).toBe(`${PROTOBUF};stream=watch`);
    const seen: string[] = [];
    for await (const frame of frames(answer.body)) {
      const type = /ADDED|MODIFIED|DELETED|BOOKMARK/.exec(frame.toString('latin1'))?.[0] ?? '';
      seen.push(`${type}${frame.includes('while-watching') ? ' of the new one' : ''}`);
      const initial = frame.includes('k8s.io/initial-events-end');
      if (initial) await done(root, 'create', 'configmap', 'while-watching', '--from-literal', 'a=b');
    }
    expect(seen.slice(0, 2)).toEqual(['ADDED', 'BOOKMARK']);
    expect(seen).toContain('ADDED of the new one');
    expect(seen.at(-1)).toBe('BOOKMARK');
  });
});

describe('the two records', () => {
  it('show the user as impersonated, with the session that Portcullis names', async () => {
    const [listed] = (await auditedBy(real.instance)).filter(({ requestURI }) => requestURI === CONFIG_MAPS);
    const theirs = (await real.apiServerAudit()).find(({ auditID }) => auditID === listed?.auditID);
    expect(theirs?.user.username).toBe('system:serviceaccount:portcullis:portcullis');
    expect(theirs?.impersonatedUser).toMatchObject({ username: 'demo:root' });
    expect(theirs?.impersonatedUser?.extra?.['portcullis.dev/session']).toEqual([
      listed?.annotations['portcullis.dev/session'],
    ]);
  });

  it('join on the Audit-ID, and say the same', async () => {
    expect(await expectJoinedAudit(real)).toBeGreaterThan(10);
  });
});

/** A protobuf watch is a row of messages, each behind its length in four bytes. */
async function* frames(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0);
      yield rest.subarray(4, end);
      rest = rest.subarray(end);
    }
  }
}
