/** Pods: defaults, validation, and a status that is Running from the start, because no kubelet runs here. */
import { isDeepStrictEqual } from 'node:util';

import type { JsonObject } from '../objects/json.ts';
import { objectAt, objectsAt, stringAt } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { kubeTime } from '../objects/kube-object.ts';
import type { FieldError } from '../objects/status.ts';
import { addressFor } from './addresses.ts';
import type { Kind } from './kind.ts';
import { labelError, required, subdomainError } from './names.ts';

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

function containerErrors(container: JsonObject, field: string): FieldError[] {
  const name = stringAt(container, 'name');
  const nameError = name === '' ? required(`${field}.name`) : labelError(`${field}.name`, name);
  return [
    ...(nameError === undefined ? [] : [nameError]),
    ...(stringAt(container, 'image') === '' ? [required(`${field}.image`)] : []),
  ];
}

function errors(pod: KubeObject): FieldError[] {
  const nameError = subdomainError('metadata.name', pod.metadata.name ?? '');
  const containers = objectsAt(objectAt(pod, 'spec'), 'containers');
  const seen = new Set<string>();
  const duplicates = containers.flatMap((container, index): FieldError[] => {
    const name = stringAt(container, 'name');
    const twice = seen.has(name);
    seen.add(name);
    const field = `spec.containers[${index}].name`;
    return twice ? [{ field, reason: 'FieldValueDuplicate', message: `Duplicate value: ${JSON.stringify(name)}` }] : [];
  });
  return [
    ...(nameError === undefined ? [] : [nameError]),
    ...(containers.length === 0 ? [required('spec.containers')] : []),
    ...containers.flatMap((container, index) => containerErrors(container, `spec.containers[${index}]`)),
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

function changeErrors(pod: KubeObject, previous: KubeObject): FieldError[] {
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

export const podKind: Kind = { complete, errors, changeErrors, status };
