/** delete and deletecollection. Objects go at once: no finalizers, no grace, no owners here. */
import { isJsonObject, objectAt, stringAt } from '../objects/json.ts';
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { conflict, StatusError } from '../objects/status.ts';
import type { ResourceType } from '../resources.ts';
import { NAMESPACES, STORED } from '../resources.ts';
import { readObject } from './body.ts';
import type { ClusterParts, ResourceCall } from './call.ts';
import { isDryRun, named } from './call.ts';
import { existing, selected } from './read.ts';
import { writeJson, writeList } from './reply.ts';

/** Namespaces that a cluster cannot be without. */
const KEPT = new Set(['default', 'kube-system']);

/** @throws StatusError 409 where the preconditions of DeleteOptions do not hold */
function checkPreconditions(call: ResourceCall, object: KubeObject, options: JsonObject): void {
  const wanted = objectAt(options, 'preconditions');
  for (const field of ['uid', 'resourceVersion'] as const) {
    const expected = stringAt(wanted, field);
    const actual = object.metadata[field];
    if (expected === '' || expected === actual) continue;
    const title = field === 'uid' ? 'UID' : 'ResourceVersion';
    throw conflict(
      named(call),
      `Precondition failed: ${title} in precondition: ${expected}, ${title} in object meta: ${actual}`,
    );
  }
}

function removeObject(parts: ClusterParts, resource: ResourceType, object: KubeObject): void {
  const { namespace = '', name = '' } = object.metadata;
  if (resource === NAMESPACES) {
    if (KEPT.has(name)) {
      throw new StatusError(403, 'Forbidden', `namespaces "${name}" is forbidden: this namespace may not be deleted`);
    }
    for (const each of STORED.filter((stored) => stored.namespaced)) {
      for (const inside of parts.storage.list(each, name).items) removeObject(parts, each, inside);
    }
  }
  parts.storage.remove(resource, namespace, name);
}

async function optionsOf(call: ResourceCall): Promise<JsonObject> {
  const options = await readObject(call.request);
  return isJsonObject(options) ? options : {};
}

const dry = (call: ResourceCall, options: JsonObject): boolean => {
  const listed = options['dryRun'];
  return isDryRun(call) || (Array.isArray(listed) && listed.includes('All'));
};

export async function remove(parts: ClusterParts, call: ResourceCall): Promise<void> {
  const options = await optionsOf(call);
  const object = existing(parts, call);
  checkPreconditions(call, object, options);
  if (!dry(call, options)) removeObject(parts, call.resource, object);
  writeJson(call.response, 200, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: call.target.name,
      ...(call.resource.group === '' ? {} : { group: call.resource.group }),
      kind: call.resource.resource,
      uid: object.metadata.uid,
    },
  });
}

export async function removeCollection(parts: ClusterParts, call: ResourceCall): Promise<void> {
  const options = await optionsOf(call);
  const list = selected(parts, call);
  if (!dry(call, options)) for (const object of list.items) removeObject(parts, call.resource, object);
  writeList(parts, call, list);
}
