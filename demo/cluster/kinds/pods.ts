/** Pods: defaults, faults, and a status that says Running at once, for there is no kubelet here to wait for. */
import { isDeepStrictEqual } from 'node:util';

import type { JsonObject } from '../objects/json.ts';
import { objectAt, objectsAt, stringAt } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { kubeTime } from '../objects/kube-object.ts';
import type { FieldFault } from '../objects/status.ts';
import { addressFor } from './addresses.ts';
import type { Kind } from './kind.ts';
import { labelFault, required, subdomainFault } from './names.ts';

const NODE = 'demo-node';
const HOST_IP = '192.0.2.10';

const pullPolicy = (image: string): string => (/:(?!latest$)[^/]+$|@/.test(image) ? 'IfNotPresent' : 'Always');

const completeContainer = (container: JsonObject): JsonObject => ({
  ...container,
  imagePullPolicy: container['imagePullPolicy'] ?? pullPolicy(stringAt(container, 'image')),
  resources: container['resources'] ?? {},
  terminationMessagePath: container['terminationMessagePath'] ?? '/dev/termination-log',
  terminationMessagePolicy: container['terminationMessagePolicy'] ?? 'File',
  ...(container['ports'] === undefined
    ? {}
    : { ports: objectsAt(container, 'ports').map((port) => ({ ...port, protocol: port['protocol'] ?? 'TCP' })) }),
});

function complete(pod: KubeObject): void {
  const spec = objectAt(pod, 'spec');
  pod['spec'] = {
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    enableServiceLinks: true,
    nodeName: NODE,
    preemptionPolicy: 'PreemptLowerPriority',
    priority: 0,
    schedulerName: 'default-scheduler',
    securityContext: {},
    serviceAccount: 'default',
    serviceAccountName: 'default',
    terminationGracePeriodSeconds: 30,
    ...spec,
    containers: objectsAt(spec, 'containers').map(completeContainer),
  };
}

function containerFaults(container: JsonObject, field: string): FieldFault[] {
  const name = stringAt(container, 'name');
  const nameFault = name === '' ? required(`${field}.name`) : labelFault(`${field}.name`, name);
  return [
    ...(nameFault === undefined ? [] : [nameFault]),
    ...(stringAt(container, 'image') === '' ? [required(`${field}.image`)] : []),
  ];
}

function faults(pod: KubeObject): FieldFault[] {
  const nameFault = subdomainFault('metadata.name', pod.metadata.name ?? '');
  const containers = objectsAt(objectAt(pod, 'spec'), 'containers');
  const seen = new Set<string>();
  const duplicates = containers.flatMap((container, index): FieldFault[] => {
    const name = stringAt(container, 'name');
    const twice = seen.has(name);
    seen.add(name);
    const field = `spec.containers[${index}].name`;
    return twice ? [{ field, reason: 'FieldValueDuplicate', message: `Duplicate value: ${JSON.stringify(name)}` }] : [];
  });
  return [
    ...(nameFault === undefined ? [] : [nameFault]),
    ...(containers.length === 0 ? [required('spec.containers')] : []),
    ...containers.flatMap((container, index) => containerFaults(container, `spec.containers[${index}]`)),
    ...duplicates,
  ];
}

/** All of a pod's spec that may not change: everything but the images and a few timers. */
function fixedSpec(pod: KubeObject): JsonObject {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...spec } = objectAt(pod, 'spec');
  return {
    ...spec,
    containers: objectsAt(spec, 'containers').map(({ image: _image, imagePullPolicy: _policy, ...rest }) => rest),
  };
}

function changeFaults(pod: KubeObject, previous: KubeObject): FieldFault[] {
  if (isDeepStrictEqual(fixedSpec(pod), fixedSpec(previous))) return [];
  return [
    {
      field: 'spec',
      reason: 'FieldValueForbidden',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    },
  ];
}

const condition = (type: string, at: string): JsonObject => ({
  type,
  status: 'True',
  lastProbeTime: null,
  lastTransitionTime: at,
});

function containerStatus(container: JsonObject, at: string, uid: string): JsonObject {
  const image = stringAt(container, 'image');
  return {
    name: stringAt(container, 'name'),
    image,
    imageID: `demo://${image}`,
    containerID: `demo://${uid}/${stringAt(container, 'name')}`,
    lastState: {},
    ready: true,
    restartCount: 0,
    started: true,
    state: { running: { startedAt: at } },
  };
}

function status(pod: KubeObject, now: Date): JsonObject {
  const at = kubeTime(now);
  const ip = addressFor(pod, '198.51.100.');
  return {
    phase: 'Running',
    conditions: ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) =>
      condition(type, at),
    ),
    hostIP: HOST_IP,
    hostIPs: [{ ip: HOST_IP }],
    podIP: ip,
    podIPs: [{ ip }],
    startTime: at,
    qosClass: 'BestEffort',
    containerStatuses: objectsAt(objectAt(pod, 'spec'), 'containers').map((container) =>
      containerStatus(container, at, `${pod.metadata.namespace}-${pod.metadata.name}`),
    ),
  };
}

export const podKind: Kind = { complete, faults, changeFaults, status };
