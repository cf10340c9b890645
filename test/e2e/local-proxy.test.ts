import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { freePort } from '../../demo/ports.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext, type Open } from '../support/kubectl.ts';
import { cachedSession } from '../support/cli-cache.ts';

/** So that a token ends while a test runs. */
const TOKEN_SECONDS = 20;
/** Debian's, whose package python3-kubernetes this is; another Python first on PATH knows nothing of it. */
const PYTHON = '/usr/bin/python3';

const LIST = `
from kubernetes import client, config
config.load_kube_config()
for pod in client.CoreV1Api().list_namespaced_pod("default").items:
    print(pod.metadata.name)
`;
const WATCH = `
from kubernetes import client, config, watch
config.load_kube_config()
for event in watch.Watch().stream(client.CoreV1Api().list_namespaced_pod, "default"):
    print(event["type"], event["object"].metadata.name, flush=True)
`;
const LIST_AND_EXEC = `${LIST}
from kubernetes.stream import stream
api = client.CoreV1Api()
print(stream(api.connect_get_namespaced_pod_exec, "web-1", "default", command=["echo", "from inside"],
             stderr=True, stdin=False, stdout=True, tty=False), end="")
`;

interface Run {
  /** With the kubeconfig that was written, and without the plugin's cache. */
  readonly client: CliContext;
  readonly open: Open;
  readonly path: string;
}

/** Clients that know nothing of certificates, as well as kubectl. */
describe('portcullis proxy', () => {
  let instance: RunningDemo;
  let root: CliContext;
  const machines: CliContext[] = [];

  beforeAll(async () => {
    instance = await startTestInstance({
      file: (settings) => settings,
      loaded: (config) => ({ ...config, sessions: { ...config.sessions, accessToken: TOKEN_SECONDS } }),
    });
    root = new CliContext(instance, 'root');
    const signedIn = await root.portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
  });
  afterEach(() => {
    for (const machine of machines.splice(0)) machine.close();
  });
  afterAll(() => instance.stop());

  const cacheOf = (name: string): string => `${instance.files.directory}/cache-${name}`;

  function machineOf(name: string, extra: NodeJS.ProcessEnv = {}): CliContext {
    const machine = new CliContext(instance, 'alice', { PORTCULLIS_CACHE_DIR: cacheOf(name), ...extra });
    machines.push(machine);
    return machine;
  }

  async function start(name: string): Promise<Run> {
    const path = `${instance.files.directory}/${name}.kubeconfig`;
    const machine = machineOf(name);
    const open = machine.openPortcullis(
      'proxy',
      '--server',
      instance.urls.web,
      '--cluster',
      'demo',
      '--kubeconfig',
      path,
    );
    await open.until(/acts as you until/);
    return { open, path, client: machineOf('nothing', { KUBECONFIG: path, PORTCULLIS_NO_BROWSER: '1' }) };
  }

  const python = (client: CliContext, script: string): Open => client.open(PYTHON, ['-c', script]);

  async function revoke(name: string): Promise<void> {
    const { person: user } = await cachedSession(cacheOf(name));
    const done = await root.portcullis('revoke', '--session', user.sessionId, '--reason', 'laptop lost');
    expect(done.code, done.all).toBe(0);
  }

  it('is what a client that drops the certificate of its plugin, as Python’s does, is told to use', async () => {
    const direct = machineOf('direct');
    expect((await direct.portcullis('login')).code).toBe(0);
    const refused = await python(direct, LIST).finished;
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('this client did not present the certificate of its exec plugin');
    expect(refused.stderr).toContain('portcullis proxy');
  });

  it('lets Python list, execute and watch, and a revocation cuts the watch and ends the run', async () => {
    const { client, open, path } = await start('python');
    const ran = await python(client, LIST_AND_EXEC).finished;
    expect(ran.code, ran.all).toBe(0);
    expect(ran.stdout).toMatch(/^web-1$/m);
    expect(ran.stdout).toMatch(/^from inside$/m);
    const watch = python(client, WATCH);
    await watch.until(/^ADDED web-1$/m);
    await revoke('python');
    const [cut, ended] = await Promise.all([watch.finished, open.finished]);
    expect(cut.code).not.toBe(0);
    expect(ended.code, ended.all).toBe(1);
    expect(ended.stderr).toMatch(/portcullis: The server says: .*\n {2}Next: portcullis login --server/);
    expect(existsSync(path)).toBe(false);
  });

  it('lets kubectl get, watch, execute and forward, as the user', async () => {
    const { client, open, path } = await start('kubectl');
    const got = await client.kubectl('get', 'pods');
    expect(got.stdout, got.all).toMatch(/^web-1 +1\/1 +Running/m);
    const who = await client.kubectl('auth', 'whoami', '--output', 'jsonpath={.status.userInfo.username}');
    expect(who.stdout, who.all).toBe('demo:alice');
    const watch = client.openKubectl('get', 'configmaps', '--watch', '--output', 'name');
    await expect.poll(async () => (await auditedBy(instance)).some(isOpenWatch)).toBe(true);
    await client.kubectl('create', 'configmap', 'seen', '--from-literal', 'a=b');
    await watch.until(/configmap\/seen/);
    await client.kubectl('delete', 'configmap', 'seen');
    const piped = await client.open('kubectl', ['exec', '-i', 'web-1', '--', 'cat'], 'through both\n').finished;
    expect(piped.stdout, piped.all).toBe('through both\n');
    const failed = await client.kubectl('exec', 'web-1', '--', 'sh', '-c', 'exit 7');
    expect(failed.code, failed.all).toBe(7);
    const older = machineOf('nothing', { KUBECONFIG: path, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' });
    const overSpdy = await older.kubectl('exec', 'web-1', '--', 'echo', 'over SPDY');
    expect(overSpdy.stdout, overSpdy.all).toBe('over SPDY\n');
    const port = await freePort();
    const forward = client.openKubectl('port-forward', 'pod/web-1', `${port}:8080`);
    await forward.until(/Forwarding from/);
    const answer = await request(`http://127.0.0.1:${port}/`);
    expect([answer.statusCode, await answer.body.text()]).toEqual([200, expect.stringMatching(/./)]);
    forward.child.kill();
    const refused = await client.kubectl('get', 'pods', '--as', 'demo:root');
    expect(refused.stderr, 'the proxy evaluates it').toMatch(/impersonat/i);
    open.child.kill('SIGTERM');
    const ended = await open.finished;
    expect(ended.code, ended.all).toBe(0);
    // kubectl takes the cut for an end.
    await watch.finished;
  });

  it('renews its token while clients go on, and shows it to no client', async () => {
    const { client, open, path } = await start('renewing');
    const seen = (await auditedBy(instance)).length;
    const watch = client.openKubectl('get', 'pods', '--watch', '--output', 'name');
    await watch.until(/pod\/web-1/);
    const since = async (): Promise<readonly AuditEvent[]> => (await auditedBy(instance)).slice(seen);
    const count = (events: readonly AuditEvent[], verb: string): number =>
      events.filter((one) => one.verb === verb).length;
    const first = await cachedSession(cacheOf('renewing'));
    while (count(await since(), 'refresh') < 2) {
      const got = await client.kubectl('get', 'pod', 'web-1', '--output', 'name');
      expect(got, got.all).toMatchObject({ code: 0, stdout: 'pod/web-1\n', stderr: '' });
      await delay(500);
    }
    const events = await since();
    expect(events.filter(({ responseStatus }) => responseStatus?.code === 401)).toEqual([]);
    expect(count(events, 'sign-in')).toBe(0);
    // What is open goes on.
    expect(watch.child.exitCode).toBeNull();
    const secrets = [
      ...Object.values(first.tokens),
      ...Object.values((await cachedSession(cacheOf('renewing'))).tokens),
    ];
    const written = `${open.output()}${await readFile(path, 'utf8')}`;
    for (const { token } of secrets) expect(written).not.toContain(token);
    const [, secret = ''] = /token: (\S+)/.exec(await readFile(path, 'utf8')) ?? [];
    expect(secret).toHaveLength(43);
    expect(open.output()).not.toContain(secret);
    open.child.kill('SIGINT');
    expect((await open.finished).code).toBe(0);
  });
});

const isOpenWatch = (event: AuditEvent): boolean =>
  event.stage === 'ResponseStarted' && event.verb === 'watch' && event.objectRef?.resource === 'configmaps';
