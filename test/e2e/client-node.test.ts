import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  Attach,
  CoreV1Api,
  Exec,
  KubeConfig,
  makeInformer,
  PortForward,
  type V1ConfigMap,
  type V1Status,
} from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy, whatWasDone } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';

const CLOCK = new URL('../support/client-clock.ts', import.meta.url).href;
const INFORMER = fileURLToPath(new URL('../support/informer-program.ts', import.meta.url));

/** A sink that remembers, and says when it has seen something. */
function listener() {
  const stream = new PassThrough();
  let text = '';
  stream.on('data', (bytes: Buffer) => (text += bytes.toString()));
  return { stream, heard: () => text };
}

/** `readyState` of a WebSocket. */
const CLOSED = 3;

/** A second client that is not kubectl: it runs the plugin itself, and without `KUBERNETES_EXEC_INFO`. */
describe('@kubernetes/client-node through Portcullis', () => {
  let instance: RunningDemo;
  let api: CoreV1Api;
  let config: KubeConfig;

  beforeAll(async () => {
    instance = await startTestInstance();
    // In the cache that the kubeconfig's own command uses.
    const signedIn = await new CliContext(instance, 'alice', { PORTCULLIS_CACHE_DIR: '' }).portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
    config = new KubeConfig();
    config.loadFromFile(instance.files.kubeconfig);
    api = config.makeApiClient(CoreV1Api);
  });
  afterAll(() => instance.stop());

  it('lists', async () => {
    const { items } = await api.listNamespacedPod({ namespace: 'default' });
    expect(items.map(({ metadata }) => metadata?.name)).toEqual(expect.arrayContaining(['web-1', 'web-2']));
  });

  it('is rejected by the cluster where the user has no rights', async () => {
    await expect(api.listNamespacedSecret({ namespace: 'payments' })).rejects.toMatchObject({ code: 403 });
  });

  it('keeps an informer up to date', async () => {
    const path = '/api/v1/namespaces/default/configmaps';
    const informer = makeInformer(config, path, () => api.listNamespacedConfigMap({ namespace: 'default' }));
    const seen: string[] = [];
    informer.on('add', ({ metadata }: V1ConfigMap) => void seen.push(metadata?.name ?? ''));
    await informer.start();
    await api.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: 'from-node' }, data: {} } });
    await expect.poll(() => seen, { timeout: 10_000 }).toContain('from-node');
    await informer.stop();
  });

  it('executes: standard input, its end, output and exit code', async () => {
    const stdin = new PassThrough();
    const [stdout, stderr] = [listener(), listener()];
    const command = ['sh', '-c', 'cat; echo to stderr >&2; exit 5'];
    const done = Promise.withResolvers<V1Status>();
    const exec = new Exec(config);
    const streams = [stdout.stream, stderr.stream, stdin] as const;
    const socket = await exec.exec('default', 'web-1', 'web', command, ...streams, false, done.resolve);
    expect(socket.protocol).toBe('v5.channel.k8s.io');
    stdin.end('from node, through Portcullis\n');
    expect((await done.promise).details?.causes).toEqual([{ reason: 'ExitCode', message: '5' }]);
    expect(stdout.heard()).toBe('from node, through Portcullis\n');
    expect(stderr.heard()).toBe('to stderr\n');
  });

  it('attaches', async () => {
    const stdout = listener();
    const socket = await new Attach(config).attach('default', 'web-1', 'web', stdout.stream, null, null, false);
    await expect.poll(stdout.heard, { timeout: 10_000 }).toMatch(/^web: request \d+: GET \/ 200\n/);
    socket.close();
  });

  it('forwards a port over its two channels, and hears of one on which nothing listens', async () => {
    const forward = new PortForward(config);
    const [answer, errors, ignored] = [listener(), listener(), listener()];
    const input = new PassThrough();
    const socket = await forward.portForward('default', 'web-1', [8080], answer.stream, errors.stream, input);
    input.write('GET /from-node HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
    await expect.poll(answer.heard, { timeout: 10_000 }).toMatch(/^HTTP\/1\.1 200 OK[^]*You asked for \/from-node\n/);
    expect(errors.heard()).toBe('');
    // The web server in the pod has closed the connection, which a client can only learn by the end of its own.
    await expect.poll(() => typeof socket !== 'function' && socket.readyState, { timeout: 10_000 }).toBe(CLOSED);
    const refused = await forward.portForward(
      'default',
      'web-1',
      [9999],
      ignored.stream,
      errors.stream,
      new PassThrough(),
    );
    await expect.poll(errors.heard, { timeout: 10_000 }).toMatch(/failed to connect to localhost:9999/);
    expect(ignored.heard()).toBe('');
    await expect.poll(() => typeof refused !== 'function' && refused.readyState, { timeout: 10_000 }).toBe(CLOSED);
  });

  it('has these streams in the audit log', async () => {
    const done = whatWasDone(await auditedBy(instance));
    expect([...done]).toEqual(expect.arrayContaining(['get pods/exec', 'get pods/attach', 'get pods/portforward']));
  });

  it('keeps an informer for an hour, on one sign-in and a new token every five minutes', async () => {
    const cache = { PORTCULLIS_CACHE_DIR: `${instance.files.directory}/cache-of-the-informer` };
    const before = (await auditedBy(instance)).length;
    const signedIn = await new CliContext(instance, 'alice', cache).portcullis('login');
    expect(signedIn.code, signedIn.all).toBe(0);
    // The plugin that the informer runs lives by the same clock: five minutes in a second.
    const clock = { CLIENT_CLOCK: `${Date.now()},300`, NODE_OPTIONS: `--import=${CLOCK}` };
    const machine = new CliContext(instance, 'alice', { ...cache, ...clock });
    const informer = machine.open(process.execPath, [INFORMER]);
    const turns = Array.from({ length: 14 }, (_, index) => index + 1);
    for (const turn of turns) {
      await informer.until(new RegExp(`^connect ${turn} at`, 'm'));
      const body = { metadata: { name: `turn-${turn}` }, data: {} };
      await api.createNamespacedConfigMap({ namespace: 'default', body });
      await informer.until(new RegExp(`^add turn-${turn} at`, 'm'));
    }
    informer.child.kill();
    await once(informer.child, 'exit');
    const said = informer.output();
    expect(said).not.toMatch(/^error/m);
    for (const turn of turns) expect(said.match(new RegExp(`^add turn-${turn} at`, 'gm'))).toHaveLength(1);
    const times = [...said.matchAll(/ at (\S+)$/gm)].map(([, at = '']) => Date.parse(at));
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(3_600_000);
    const verbs = (await auditedBy(instance)).slice(before).map(({ verb }) => verb);
    expect(verbs.filter((verb) => verb === 'sign-in')).toHaveLength(1);
    expect(verbs.filter((verb) => verb === 'refresh').length).toBeGreaterThanOrEqual(12);
  });
});
