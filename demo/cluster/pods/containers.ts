/** Which container of which pod a subresource is about. */
import { objectAt, objectsAt, stringAt } from '../objects/json.ts';
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest } from '../objects/status.ts';

/**
 * The container by name, or the pod's only one, or the one that an annotation calls the default.
 * @throws StatusError 400 for an unknown name, or where it is not clear
 */
export function containerOf(pod: KubeObject, wanted: string): JsonObject {
  const containers = objectsAt(objectAt(pod, 'spec'), 'containers');
  const annotated = stringAt(objectAt(pod.metadata, 'annotations'), 'kubectl.kubernetes.io/default-container');
  const name = wanted || annotated;
  const podName = pod.metadata.name ?? '';
  if (name === '') {
    const [only, ...others] = containers;
    if (only !== undefined && others.length === 0) return only;
    const names = containers.map((each) => stringAt(each, 'name')).join(' ');
    throw badRequest(`a container name must be specified for pod ${podName}, choose one of: [${names}]`);
  }
  const found = containers.find((each) => stringAt(each, 'name') === name);
  if (found === undefined) throw badRequest(`container ${name} is not valid for pod ${podName}`);
  return found;
}

/** The environment that a program in the container sees. */
export function environmentOf(pod: KubeObject, container: JsonObject): Map<string, string> {
  const env = new Map([
    ['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ['HOSTNAME', pod.metadata.name ?? ''],
    ['KUBERNETES_SERVICE_HOST', '203.0.113.1'],
    ['KUBERNETES_SERVICE_PORT', '443'],
    ['HOME', '/root'],
  ]);
  for (const each of objectsAt(container, 'env')) env.set(stringAt(each, 'name'), stringAt(each, 'value'));
  return env;
}
