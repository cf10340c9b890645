/** A program that keeps an informer on the configmaps of `default`, and tells on stdout what it hears, with its own time. */
import { CoreV1Api, KubeConfig, makeInformer, type V1ConfigMap } from '@kubernetes/client-node';

const config = new KubeConfig();
config.loadFromFile(process.env['KUBECONFIG'] ?? '');
const api = config.makeApiClient(CoreV1Api);
const say = (what: string): void => console.log(`${what} at ${new Date().toISOString()}`);

// A watch that the server ends after a second, so that many follow one another; the program's clock says that they were long.
const path = '/api/v1/namespaces/default/configmaps?timeoutSeconds=1';
const informer = makeInformer(config, path, () => api.listNamespacedConfigMap({ namespace: 'default' }));
let connected = 0;
informer.on('connect', () => say(`connect ${(connected += 1)}`));
informer.on('add', ({ metadata }: V1ConfigMap) => say(`add ${metadata?.name ?? ''}`));
informer.on('error', (error: unknown) => say(`error ${error instanceof Error ? error.message : String(error)}`));
await informer.start();
