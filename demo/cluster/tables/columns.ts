/** The columns that `kubectl get` shows for each kind. */
import { objectAt, objectsAt, stringAt } from '../objects/json.ts';
import type { JsonObject, JsonValue } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS } from '../resources.ts';
import type { ResourceType } from '../resources.ts';
import { age } from './duration.ts';

export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer';
  readonly format: '' | 'name';
  /** 0 always, 1 with `-o wide`. */
  readonly priority: 0 | 1;
  cell(object: KubeObject, now: Date): JsonValue;
}

const text = (name: string, cell: Column['cell'], priority: 0 | 1 = 0): Column => ({
  name,
  type: 'string',
  format: '',
  priority,
  cell,
});

const NAME: Column = { ...text('Name', (object) => object.metadata.name ?? ''), format: 'name' };
const AGE = text('Age', (object, now) => age(object.metadata.creationTimestamp ?? '', now));
const CREATED = text('Created At', (object) => object.metadata.creationTimestamp ?? '');
const NONE = '<none>';

const number = (name: string, cell: Column['cell']): Column => ({ ...text(name, cell), type: 'integer' });

const spec = (object: KubeObject): JsonObject => objectAt(object, 'spec');
const status = (object: KubeObject): JsonObject => objectAt(object, 'status');
const entries = (object: KubeObject): number =>
  Object.keys(objectAt(object, 'data')).length + Object.keys(objectAt(object, 'binaryData')).length;

function ready(pod: KubeObject): string {
  const containers = objectsAt(status(pod), 'containerStatuses');
  return `${containers.filter((each) => each['ready'] === true).length}/${objectsAt(spec(pod), 'containers').length}`;
}

function restarts(pod: KubeObject): number {
  const counts = objectsAt(status(pod), 'containerStatuses').map((each) => Number(each['restartCount'] ?? 0));
  return counts.reduce((sum, count) => sum + count, 0);
}

function ports(service: KubeObject): string {
  const shown = objectsAt(spec(service), 'ports').map(
    (port) => `${Number(port['port'])}/${stringAt(port, 'protocol')}`,
  );
  return shown.length === 0 ? NONE : shown.join(',');
}

function selector(service: KubeObject): string {
  const labels = objectAt(spec(service), 'selector');
  const shown = Object.keys(labels).map((key) => `${key}=${stringAt(labels, key)}`);
  return shown.length === 0 ? NONE : shown.join(',');
}

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  pods: [
    NAME,
    text('Ready', ready),
    text('Status', (pod) => stringAt(status(pod), 'phase')),
    text('Restarts', (pod) => String(restarts(pod))),
    AGE,
    text('IP', (pod) => stringAt(status(pod), 'podIP') || NONE, 1),
    text('Node', (pod) => stringAt(spec(pod), 'nodeName') || NONE, 1),
    text('Nominated Node', () => NONE, 1),
    text('Readiness Gates', () => NONE, 1),
  ],
  namespaces: [NAME, text('Status', (object) => stringAt(status(object), 'phase')), AGE],
  configmaps: [NAME, number('Data', entries), AGE],
  secrets: [NAME, text('Type', (object) => stringAt(object, 'type')), number('Data', entries), AGE],
  services: [
    NAME,
    text('Type', (object) => stringAt(spec(object), 'type')),
    text('Cluster-IP', (object) => stringAt(spec(object), 'clusterIP') || NONE),
    text('External-IP', () => NONE),
    text('Port(s)', ports),
    AGE,
    text('Selector', selector, 1),
  ],
  events: [
    text('Last Seen', (object, now) => age(stringAt(object, 'lastTimestamp'), now)),
    text('Type', (object) => stringAt(object, 'type')),
    text('Reason', (object) => stringAt(object, 'reason')),
    text('Object', (object) => {
      const about = objectAt(object, 'involvedObject');
      return `${stringAt(about, 'kind').toLowerCase()}/${stringAt(about, 'name')}`;
    }),
    text('Message', (object) => stringAt(object, 'message')),
    { ...NAME, priority: 1 },
  ],
};

const BINDING: readonly Column[] = [
  NAME,
  text('Role', (object) => {
    const role = objectAt(object, 'roleRef');
    return `${stringAt(role, 'kind')}/${stringAt(role, 'name')}`;
  }),
  AGE,
];

export function columnsOf(resource: ResourceType): readonly Column[] {
  if (resource === ROLE_BINDINGS || resource === CLUSTER_ROLE_BINDINGS) return BINDING;
  return (resource.group === '' ? COLUMNS[resource.resource] : undefined) ?? [NAME, CREATED];
}
