/** A program with a kubeconfig of a delegated session that may only read: it starts, works, and is told what it may not do. */
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { CoreV1Api, Exec, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { delegate, type DelegatedSession } from '../support/delegated-session.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';

const INFORMER = fileURLToPath(new URL('../support/informer-program.ts', import.meta.url));
const READ_ONLY = ['--read-only', '--namespace', 'default'];
const namespace = 'default';

describe('a program with @kubernetes/client-node', () => {
  let instance: RunningDemo;
  let alice: CliContext;
  let session: DelegatedSession;
  let config: KubeConfig;
  let api: CoreV1Api;
  beforeAll(async () => {
    instance = await startTestInstance();
    alice = new CliContext(instance, 'alice');
    const signedIn = await alice.portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
    session = await delegate(instance, alice, 'program', READ_ONLY);
    config = new KubeConfig();
    config.loadFromFile(session.kubeconfig);
    api = config.makeApiClient(CoreV1Api);
  });
  afterAll(async () => {
    session.close();
    alice.close();
    await instance.stop();
  });

  it('lists and watches', async () => {
    const { items } = await api.listNamespacedPod({ namespace });
    expect(items.map(({ metadata }) => metadata?.name)).toContain('web-1');
    const list = () => api.listNamespacedConfigMap({ namespace });
    const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list);
    const seen: (string | undefined)[] = [];
    informer.on('add', ({ metadata }: V1ConfigMap) => void seen.push(metadata?.name));
    await informer.start();
    const made = await alice.kubectl('create', 'configmap', 'seen-by-the-program');
    expect(made.code, made.all).toBe(0);
    await expect.poll(() => seen).toContain('seen-by-the-program');
    await informer.stop();
  });

  it('is told what it may not do', async () => {
    await expect(api.deleteNamespacedPod({ namespace, name: 'web-1' })).rejects.toMatchObject({
      code: 403,
      body: expect.stringContaining('this session was delegated to \\"program\\": read-only in default'),
    });
    await expect(api.listPodForAllNamespaces()).rejects.toMatchObject({ code: 403 });
    const streams = [new PassThrough(), new PassThrough(), null] as const;
    await expect(new Exec(config).exec(namespace, 'web-1', 'web', ['id'], ...streams, false)).rejects.toThrow('403');
    expect((await alice.kubectl('get', 'pod', 'web-1')).code).toBe(0);
  });

  it('is started with a session of its own, which ends with it', async () => {
    const how = ['delegate', ...READ_ONLY, '--for', '5m', '--name', 'informer', '--command', instance.files.command];
    const running = alice.openPortcullis(...how, '--', process.execPath, INFORMER);
    await running.until(/^add web-settings at/m);
    expect((await alice.portcullis('delegations')).stdout).toMatch(/^\S+ +informer /m);
    running.child.kill('SIGTERM');
    await running.finished;
    expect((await alice.portcullis('delegations')).stdout).not.toMatch(/^\S+ +informer /m);
  });
});
