/** The first objects of the cluster: namespaces, who may do what, and a few workloads to look at. */
import { createObject } from './handlers/write.ts';
import type { ClusterParts } from './handlers/call.ts';
import type { JsonObject } from './objects/json.ts';
import { kubeTime } from './objects/kube-object.ts';
import type { KubeObject } from './objects/kube-object.ts';
import { rbacObjects } from './rbac/seed.ts';
import { apiVersionOf, EVENTS, PODS, STORED } from './resources.ts';

const NAMESPACES = ['default', 'kube-system', 'payments', 'portcullis'];

const object = (kind: string, namespace: string, name: string, rest: JsonObject): KubeObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, ...(namespace === '' ? {} : { namespace }) },
  ...rest,
});

function pod(namespace: string, name: string, app: string, image: string): KubeObject {
  const made = object('Pod', namespace, name, {
    spec: { containers: [{ name: app, image, ports: [{ containerPort: 8080, name: 'http' }] }] },
  });
  made.metadata['labels'] = { app };
  return made;
}

const service = (namespace: string, name: string): KubeObject =>
  object('Service', namespace, name, {
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });

/** What the kubelet would have said about a pod. */
const started = (about: KubeObject, now: Date): KubeObject =>
  object('Event', about.metadata.namespace ?? '', `${about.metadata.name}.started`, {
    involvedObject: {
      kind: about.kind,
      apiVersion: about.apiVersion,
      namespace: about.metadata.namespace,
      name: about.metadata.name,
      uid: about.metadata.uid,
    },
    reason: 'Started',
    message: 'Started container',
    type: 'Normal',
    count: 1,
    firstTimestamp: kubeTime(now),
    lastTimestamp: kubeTime(now),
    source: { component: 'kubelet', host: 'demo-node' },
    reportingComponent: 'kubelet',
    reportingInstance: 'demo-node',
  });

const workloads = (): KubeObject[] => [
  pod('default', 'web-1', 'web', 'registry.example/web:1.4.2'),
  pod('default', 'web-2', 'web', 'registry.example/web:1.4.2'),
  pod('default', 'worker', 'worker', 'registry.example/worker:0.9.0'),
  pod('payments', 'ledger', 'ledger', 'registry.example/ledger:3.0.1'),
  service('default', 'web'),
  service('payments', 'ledger'),
  object('ConfigMap', 'default', 'web-settings', { data: { greeting: 'hello', color: 'green' } }),
  object('Secret', 'default', 'portcullis-demo-key', { stringData: { key: 'not-a-real-secret' } }),
  object('Secret', 'payments', 'ledger-key', { stringData: { key: 'not-a-real-secret' } }),
];

/**
 * @param extraKeys keys of `extra` that Portcullis may set while impersonating
 * @param withWorkloads false leaves only the namespaces and RBAC
 */
export function seed(parts: ClusterParts, extraKeys: readonly string[], withWorkloads: boolean): void {
  const objects = [
    ...NAMESPACES.map((name) => object('Namespace', '', name, {})),
    object('ServiceAccount', 'portcullis', 'portcullis', {}),
    ...rbacObjects(extraKeys),
    ...(withWorkloads ? workloads() : []),
  ];
  for (const each of objects) {
    const resource = STORED.find((stored) => stored.kind === each.kind && apiVersionOf(stored) === each.apiVersion);
    if (resource === undefined) continue;
    const created = createObject(parts, resource, each);
    if (resource === PODS) createObject(parts, EVENTS, started(created, parts.now()));
  }
}
