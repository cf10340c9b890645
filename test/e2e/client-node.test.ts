import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../src/demo/launch.ts';
import { startTestGate } from '../support/gate.ts';
import { Laptop } from '../support/kubectl.ts';

/** A second client that is not kubectl: it runs the plugin itself, and without `KUBERNETES_EXEC_INFO`. */
describe('@kubernetes/client-node through the gate', () => {
  let gate: RunningDemo;
  let api: CoreV1Api;
  let config: KubeConfig;

  beforeAll(async () => {
    gate = await startTestGate();
    // In the cache that the kubeconfig's own command uses.
    const signedIn = await new Laptop(gate, 'alice', { PORTCULLIS_CACHE_DIR: '' }).portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
    config = new KubeConfig();
    config.loadFromFile(gate.files.kubeconfig);
    api = config.makeApiClient(CoreV1Api);
  });
  afterAll(() => gate.stop());

  it('lists', async () => {
    const { items } = await api.listNamespacedPod({ namespace: 'default' });
    expect(items.map(({ metadata }) => metadata?.name)).toEqual(expect.arrayContaining(['web-1', 'web-2']));
  });

  it('is refused by the cluster where the person has no rights', async () => {
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
});
