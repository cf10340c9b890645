import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import { startCluster } from '../../demo/cluster/cluster.ts';
import type { EmbeddedCluster } from '../../demo/cluster/cluster.ts';

const INSTANCE = 'system:serviceaccount:portcullis:portcullis';
const TOKENS = {
  instance: { username: INSTANCE },
  alice: { username: 'demo:alice', uid: 'a-1', groups: ['demo:developers'] },
  bob: { username: 'demo:bob' },
  eve: { username: 'demo:eve' },
  root: { username: 'demo:root', groups: ['demo:admins'] },
};
type TestUser = keyof typeof TOKENS;

let directory: string;
let cluster: EmbeddedCluster;
let tls: DemoCertificates;
const children = new Set<ReturnType<typeof spawn>>();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'demo-cluster-'));
  tls = await makeCertificates(['127.0.0.1'], Date.now());
  const caFile = join(directory, 'ca.pem');
  writeFileSync(caFile, tls.ca);
  cluster = await startCluster({ host: '127.0.0.1', port: 0, tls, tokens: TOKENS });
  for (const token of Object.keys(TOKENS)) writeFileSync(join(directory, token), kubeconfig(token, caFile));
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await cluster.close();
  rmSync(directory, { recursive: true });
});

const kubeconfig = (token: string, ca: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'demo', cluster: { server: cluster.url, 'certificate-authority': ca } }],
    users: [{ name: 'me', user: { token } }],
    contexts: [{ name: 'demo', context: { cluster: 'demo', user: 'me', namespace: 'default' } }],
    'current-context': 'demo',
  });

/** Starts kubectl. Returns the process and its output so far. */
function start(user: TestUser, args: readonly string[], environment: Record<string, string> = {}) {
  const child = spawn('kubectl', args, {
    env: {
      ...process.env,
      KUBECONFIG: join(directory, user),
      KUBECACHEDIR: join(directory, 'cache'),
      ...environment,
    },
  });
  children.add(child);
  const said = { out: '', err: '' };
  child.stdout.on('data', (bytes: Buffer) => (said.out += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (said.err += bytes.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...said }));
  return { child, said, ended };
}

async function kubectl(user: TestUser, args: readonly string[], input = '', environment: Record<string, string> = {}) {
  const { child, ended } = start(user, args, environment);
  child.stdin.end(input);
  return ended;
}

/** Sends a request with exactly these header lines. */
async function raw(path: string, headers: readonly string[], method = 'GET', body = ''): Promise<IncomingMessage> {
  const lines = ['host', '127.0.0.1', 'content-length', String(Buffer.byteLength(body)), ...headers];
  const sent = request(`${cluster.url}${path}`, { method, ca: tls.ca, headers: lines, agent: false });
  // As bytes: Node would write the head in the encoding of a text.
  sent.end(Buffer.from(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}

const bearer = (user: string): string[] => ['authorization', `Bearer ${user}`];

describe('kubectl against the embedded cluster', () => {
  it('lists pods with their columns', async () => {
    const { out } = await kubectl('alice', ['get', 'pods', '-o', 'wide']);
    expect(out).toMatch(/^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE/);
    expect(out).toMatch(/web-1 +1\/1 +Running +0 +\d+s +198\.51\.100\.\d+ +demo-node/);
  });

  it('shows the identity and the rights of a user', async () => {
    expect((await kubectl('alice', ['auth', 'whoami'])).out).toMatch(
      /Groups +\[demo:developers system:authenticated\]/,
    );
    expect(await kubectl('alice', ['auth', 'can-i', 'create', 'pods/exec'])).toMatchObject({ code: 0, out: 'yes\n' });
    expect(await kubectl('alice', ['auth', 'can-i', 'get', 'secrets'])).toMatchObject({ code: 1, out: 'no\n' });
    expect((await kubectl('alice', ['auth', 'can-i', '--list'])).out).toMatch(/pods\/log .*\[get\]/);
    expect((await kubectl('root', ['auth', 'can-i', '*', '*'])).out).toBe('yes\n');
  });

  it('runs no command by a GET of a user who may not create, as from Kubernetes 1.35 on', async () => {
    const reader = ['create', 'clusterrole', 'exec-reader', '--verb', 'get', '--resource', 'pods,pods/exec'];
    await kubectl('root', reader);
    await kubectl('root', [
      'create',
      'clusterrolebinding',
      'exec-reader',
      '--clusterrole',
      'exec-reader',
      '--user',
      'demo:eve',
    ]);
    const upgrade = [...bearer('eve'), 'connection', 'Upgrade', 'upgrade', 'websocket'];
    const response = await raw('/api/v1/namespaces/default/pods/web-1/exec?command=id&stdout=1', upgrade);
    expect([response.statusCode, await json(response)]).toMatchObject([
      403,
      { message: 'pods "web-1" is forbidden: ' },
    ]);
  });

  it('has the role edit for the binding of the README', async () => {
    const name = ['rolebinding', 'editors', '--namespace', 'default'];
    await kubectl('root', ['create', ...name, '--clusterrole', 'edit', '--user', 'demo:bob']);
    const secret = ['create', 'secret', 'generic', 'mine', '--from-literal', 'a=b', '--dry-run=server', '-o', 'name'];
    expect(await kubectl('bob', secret)).toMatchObject({ code: 0, out: 'secret/mine\n' });
    expect(await kubectl('bob', ['logs', 'web-1', '--tail', '1'])).toMatchObject({ code: 0, err: '' });
    expect((await kubectl('bob', ['get', 'rolebindings'])).err).toContain('forbidden');
    expect((await kubectl('bob', ['get', 'pods', '--namespace', 'kube-system'])).err).toContain('forbidden');
    await kubectl('root', ['delete', ...name]);
  });

  it('names its resources', async () => {
    const { out } = await kubectl('alice', ['api-resources', '--namespaced=true']);
    expect(out).toMatch(/configmaps +cm +v1 +true +ConfigMap/);
  });

  it('denies with the messages of Kubernetes', async () => {
    const { code, err } = await kubectl('bob', ['get', 'pods']);
    expect(code).toBe(1);
    expect(err).toBe(
      'Error from server (Forbidden): pods is forbidden: User "demo:bob" cannot list resource "pods" in API group "" in the namespace "default"\n',
    );
    expect((await kubectl('alice', ['get', 'secrets', '-A'])).err).toContain('at the cluster scope');
  });

  it('decides by the impersonated user, not by the token', async () => {
    expect((await kubectl('instance', ['get', 'pods'])).err).toContain(`User "${INSTANCE}" cannot list`);
    const developer = ['--as', 'carol', '--as-group', 'demo:developers'];
    expect((await kubectl('instance', ['get', 'pods', ...developer])).out).toContain('web-1');
    expect((await kubectl('instance', ['get', 'pods', '--as', 'demo:bob'])).err).toContain(
      'User "demo:bob" cannot list',
    );
    expect((await kubectl('alice', ['get', 'pods', '--as', 'demo:root'])).err).toContain('cannot impersonate');
  });

  it('applies, patches, labels and deletes', async () => {
    const manifest = (image: string, data: object): string =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'List',
        items: [
          { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c1' }, data },
          { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p1' }, spec: { containers: [{ name: 'c', image }] } },
        ],
      });
    const apply = (image: string, data: object) => kubectl('alice', ['apply', '-f', '-'], manifest(image, data));
    expect(await apply('a:1', { x: '1', y: '2' })).toMatchObject({
      code: 0,
      out: 'configmap/c1 created\npod/p1 created\n',
    });
    expect((await apply('a:1', { x: '1', y: '2' })).out).toBe('configmap/c1 unchanged\npod/p1 unchanged\n');
    expect((await apply('a:2', { x: '3' })).out).toBe('configmap/c1 configured\npod/p1 configured\n');
    const shown = await kubectl('alice', ['get', 'cm/c1', 'pod/p1', '-o', 'json']);
    const { items } = JSON.parse(shown.out) as { items: object[] };
    expect(items).toMatchObject([{ data: { x: '3' } }, { spec: { containers: [{ name: 'c', image: 'a:2' }] } }]);
    expect(items[0]).not.toHaveProperty('data.y');
    await kubectl('alice', ['label', 'pod', 'p1', 'tier=test']);
    expect((await kubectl('alice', ['get', 'pods', '-l', 'tier=test', '-o', 'name'])).out).toBe('pod/p1\n');
    expect((await kubectl('alice', ['delete', 'cm/c1', 'pod/p1'])).out).toBe(
      'configmap "c1" deleted\npod "p1" deleted\n',
    );
    expect((await kubectl('alice', ['get', 'pod', 'p1'])).err).toBe(
      'Error from server (NotFound): pods "p1" not found\n',
    );
  });

  it('watches pods', async () => {
    const watching = start('alice', ['get', 'configmaps', '-w', '--output-watch-events', '-l', 'seen=yes']);
    await kubectl('alice', ['create', 'configmap', 'w1', '--from-literal=a=b']);
    await kubectl('alice', ['label', 'cm', 'w1', 'seen=yes']);
    await kubectl('alice', ['annotate', 'cm', 'w1', 'x=y']);
    await kubectl('alice', ['label', 'cm', 'w1', 'seen-']);
    await kubectl('alice', ['delete', 'cm', 'w1']);
    await expect
      .poll(() => watching.said.out.match(/^[A-Z]+ +w1/gm)?.map((line) => line.split(' ')[0]))
      .toEqual(['ADDED', 'MODIFIED', 'DELETED']);
    watching.child.kill();
    await watching.ended;
  });

  it('follows logs', async () => {
    const following = start('alice', ['logs', '-f', 'web-1', '--tail=1']);
    await expect.poll(() => following.said.out.split('\n').length, { timeout: 10_000 }).toBeGreaterThan(3);
    expect(following.said.out).toMatch(/web: request \d+: GET \/ 200\n/);
    following.child.kill();
    await following.ended;
  });

  it('describes a pod with its events', async () => {
    const { out } = await kubectl('alice', ['describe', 'pod', 'web-1']);
    expect(out).toMatch(/Normal +Started +\d+s +kubelet +Started container/);
  });
});

describe.each([
  ['WebSocket', 'true', 'Sec-Websocket-Protocol'],
  ['SPDY', 'false', 'X-Stream-Protocol-Version'],
])('streams over %s', (_name, websockets, header) => {
  const environment = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: websockets, KUBECTL_PORT_FORWARD_WEBSOCKETS: websockets };
  const exec = (args: string[], input = '') => kubectl('alice', ['exec', ...args], input, environment);

  it('use that protocol', async () => {
    expect((await exec(['-v=8', 'web-1', '--', 'true'])).err).toContain(header);
  });

  it('carry the whole output, stderr separately, and the exit code', async () => {
    const result = await exec(['web-1', '--', 'sh', '-c', 'seq 3000; echo err >&2; exit 3']);
    expect(result.out.trim().split('\n')).toHaveLength(3000);
    expect(result).toMatchObject({ code: 3, err: 'err\ncommand terminated with exit code 3\n' });
  });

  it('carry stdin to its end', async () => {
    const input = 'x'.repeat(300_000);
    expect((await exec(['-i', 'web-1', '--', 'cat'], input)).out).toBe(input);
  });

  it('name a program, container or pod that does not exist', async () => {
    expect((await exec(['web-1', '--', 'curl'])).err).toContain('executable file not found in $PATH');
    expect((await exec(['web-1', '-c', 'no', '--', 'date'])).err).toContain('container no is not valid for pod web-1');
    expect((await exec(['nope', '--', 'date'])).err).toBe('Error from server (NotFound): pods "nope" not found\n');
  });

  it('are denied to a user who may not open them', async () => {
    const outsider = ['-n', 'payments', 'ledger', '--', 'date'];
    expect((await exec(outsider)).err).toContain('User "demo:alice" cannot get resource "pods"');
  });

  it('forward ports', async () => {
    const forwarding = start('alice', ['port-forward', 'pod/web-1', ':80', ':81'], environment);
    await expect.poll(() => forwarding.said.out.match(/127\.0\.0\.1:\d+/g)?.length).toBe(2);
    const [open, shut] = forwarding.said.out.match(/127\.0\.0\.1:\d+/g) as [string, string];
    for (const path of ['/one', '/two']) {
      const answer = await fetch(`http://${open}${path}`);
      expect(await answer.text()).toBe(`Hello from web-1 in default. You asked for ${path}\n`);
    }
    await expect(fetch(`http://${shut}/`)).rejects.toThrow('fetch failed');
    await expect.poll(() => forwarding.said.err).toContain('connection refused');
    forwarding.child.kill();
    await forwarding.ended;
  });

  it('end with their pod', async () => {
    await kubectl('alice', ['run', 'brief', '--image=x']);
    const running = start('alice', ['exec', 'brief', '--', 'sh', '-c', 'echo begun; sleep 1000'], environment);
    await expect.poll(() => running.said.out).toBe('begun\n');
    await kubectl('alice', ['delete', 'pod', 'brief']);
    // Over SPDY kubectl treats a broken stream as an ended one, so its exit code proves nothing.
    expect((await running.ended).out).toBe('begun\n');
  });
});

describe('requests as the proxy sends them', () => {
  const review = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const asAlice = ['impersonate-user', 'demo:alice', 'impersonate-group', 'a, b', 'impersonate-group', 'c'];

  it('keep group lines separate and names in UTF-8', async () => {
    const utf8 = Buffer.from('Ünïté').toString('latin1');
    const extra = ['impersonate-extra-portcullis.dev%2fsession', 's1', 'content-type', 'application/json'];
    const headers = [...bearer('instance'), ...asAlice, 'impersonate-group', utf8, 'impersonate-uid', 'u1', ...extra];
    const response = await raw(review, headers, 'POST', '{}');
    expect(response.statusCode).toBe(201);
    expect(await json(response)).toMatchObject({
      status: {
        userInfo: {
          username: 'demo:alice',
          uid: 'u1',
          groups: ['a, b', 'c', 'Ünïté', 'system:authenticated'],
          extra: { 'portcullis.dev/session': ['s1'] },
        },
      },
    });
  });

  it('are rejected where groups come without a user', async () => {
    const response = await raw('/api/v1/pods', [...bearer('root'), 'impersonate-group', 'x']);
    expect(response.statusCode).toBe(500);
    expect(await text(response)).toContain('without impersonating a user');
  });

  it.each([[[]], [['authorization', 'Bearer unknown']], [['authorization', 'Basic cm9vdDo=']]])(
    'get 401 without a known token: %j',
    async (headers) => {
      const response = await raw('/api/v1/namespaces/default/pods', headers);
      expect(response.statusCode).toBe(401);
      expect(await json(response)).toMatchObject({
        kind: 'Status',
        status: 'Failure',
        reason: 'Unauthorized',
        code: 401,
      });
    },
  );

  it('succeed without a token only on the health and version paths', async () => {
    const codes = await Promise.all(
      ['/livez', '/readyz', '/version', '/api'].map(async (path) => (await raw(path, [])).statusCode),
    );
    expect(codes).toEqual([200, 200, 200, 401]);
  });

  it('return their audit id', async () => {
    const response = await raw('/version', ['audit-id', 'b2f1']);
    expect(response.headers['audit-id']).toBe('b2f1');
  });

  it('review a token only for Portcullis, and never return the token', async () => {
    const body = JSON.stringify({ spec: { token: 'alice' } });
    const path = '/apis/authentication.k8s.io/v1/tokenreviews';
    const post = (user: TestUser) => raw(path, [...bearer(user), 'content-type', 'application/json'], 'POST', body);
    expect((await post('alice')).statusCode).toBe(403);
    const answer = await text(await post('instance'));
    expect(JSON.parse(answer)).toMatchObject({ status: { authenticated: true, user: { username: 'demo:alice' } } });
    expect(answer).not.toContain('"token"');
  });

  it('survive bodies that are empty, too large, or nested without end', async () => {
    const post = (body: string) =>
      raw(
        '/api/v1/namespaces/default/configmaps',
        [...bearer('root'), 'content-type', 'application/json'],
        'POST',
        body,
      );
    expect((await post('{')).statusCode).toBe(400);
    expect((await post(' '.repeat(3 * 1024 * 1024 + 1))).statusCode).toBe(413);
    expect((await post('['.repeat(1_000_000))).statusCode).toBe(400);
    expect((await raw('/livez', [])).statusCode).toBe(200);
  });
});

describe('closing', () => {
  it('ends open watches and streams immediately', async () => {
    const other = await startCluster({ host: '127.0.0.1', port: 0, tls, tokens: TOKENS });
    const headers = { authorization: 'Bearer root' };
    const sent = request(`${other.url}/api/v1/pods?watch=1`, { ca: tls.ca, headers }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const ended = text(response).then(
      () => 'ended',
      (error: Error) => error.message,
    );
    await once(response, 'readable');
    await other.close();
    expect(await ended).toBe('aborted');
  });
});
