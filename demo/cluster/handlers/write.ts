/** create, update and patch: the same checks before anything is stored. */
import { randomInt } from 'node:crypto';

import { isJsonObject, stringAt } from '../objects/json.ts';
import type { JsonObject, JsonValue } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest, invalid, methodNotAllowed, notFound } from '../objects/status.ts';
import type { FieldError } from '../objects/status.ts';
import { kindOf } from '../kinds/kinds.ts';
import { jsonPatch } from '../patch/json-patch.ts';
import { mergePatch } from '../patch/merge.ts';
import { strategicMerge } from '../patch/strategic.ts';
import type { ResourceType } from '../resources.ts';
import { apiVersionOf, NAMESPACES, SERVICE_ACCOUNTS } from '../resources.ts';
import { readJson, readObject } from './body.ts';
import type { ClusterParts, ResourceCall } from './call.ts';
import { isDryRun, scopeOf } from './call.ts';
import { existing } from './read.ts';
import { writeObject } from './reply.ts';

const PATCHES: readonly [string, ...string[]] = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

/** Letters of generated names: no vowels, and nothing that looks like something else. */
const SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

const suffix = (): string => Array.from({ length: 5 }, () => SUFFIX_LETTERS[randomInt(SUFFIX_LETTERS.length)]).join('');

/** @throws StatusError 400 where the body is an object of another kind, or none */
function asObject(resource: ResourceType, body: JsonValue | undefined): KubeObject {
  if (!isJsonObject(body)) throw badRequest('the object provided is unrecognized: the body must be a JSON object');
  const expected = { apiVersion: apiVersionOf(resource), kind: resource.kind };
  const given = { apiVersion: stringAt(body, 'apiVersion'), kind: stringAt(body, 'kind') };
  if ((given.kind || expected.kind) !== expected.kind) {
    throw badRequest(
      `${given.kind} in version ${JSON.stringify(given.apiVersion)} cannot be handled as a ${expected.kind}: converting to ${expected.kind} is not possible`,
    );
  }
  if ((given.apiVersion || expected.apiVersion) !== expected.apiVersion) {
    throw badRequest(
      `the API version in the data (${given.apiVersion}) does not match the expected API version (${expected.apiVersion})`,
    );
  }
  const metadata = body['metadata'];
  if (metadata !== undefined && !isJsonObject(metadata)) throw badRequest('metadata must be an object');
  checkStrings(metadata ?? {});
  return { ...body, ...expected, metadata: { ...metadata } };
}

/** The fields of metadata that this cluster itself relies on are strings, whatever a client sends. */
function checkStrings(metadata: JsonObject): void {
  for (const field of ['name', 'generateName', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp']) {
    const value = metadata[field];
    if (value !== undefined && value !== null && typeof value !== 'string') {
      throw badRequest(`json: cannot unmarshal into Go struct field ObjectMeta.metadata.${field} of type string`);
    }
    if (value === null || value === '') delete metadata[field];
  }
}

/** Puts the object where the path says; one that names another place is refused. */
function place(call: ResourceCall, object: KubeObject): void {
  const scope = scopeOf(call);
  const { namespace, name } = object.metadata;
  if (namespace !== undefined && namespace !== scope) {
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  }
  if (scope === '') delete object.metadata.namespace;
  else object.metadata.namespace = scope;
  const wanted = call.target.name;
  if (wanted === '') return;
  if (name !== undefined && name !== wanted) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${wanted})`);
  }
  object.metadata.name = wanted;
}

/** @throws StatusError 422 */
function validate(resource: ResourceType, object: KubeObject, previous?: KubeObject): void {
  const kind = kindOf(resource);
  kind.complete?.(object);
  const { name } = object.metadata;
  const errors: FieldError[] =
    name === undefined
      ? [
          {
            field: 'metadata.name',
            reason: 'FieldValueRequired',
            message: 'Required value: name or generateName is required',
          },
        ]
      : [...kind.errors(object), ...(previous === undefined ? [] : (kind.changeErrors?.(object, previous) ?? []))];
  if (errors.length > 0) throw invalid(resource.group, resource.kind, name ?? '', errors);
}

/** Stores a new object; also how the cluster's first objects come about. */
export function createObject(
  parts: ClusterParts,
  resource: ResourceType,
  object: KubeObject,
  dryRun = false,
): KubeObject {
  const { namespace = '', generateName } = object.metadata;
  if (object.metadata.name === undefined && generateName !== undefined) object.metadata.name = generateName + suffix();
  if (resource.namespaced && parts.storage.get(NAMESPACES, '', namespace) === undefined) {
    throw notFound({ group: '', resource: 'namespaces', name: namespace });
  }
  // A client's own word about these never counts.
  for (const field of ['uid', 'resourceVersion', 'creationTimestamp', 'managedFields']) delete object.metadata[field];
  delete object['status'];
  validate(resource, object);
  const status = kindOf(resource).status?.(object, parts.now());
  if (status !== undefined) object['status'] = status;
  if (dryRun) return object;
  const created = parts.storage.create(resource, object);
  if (resource === NAMESPACES) createDefaultAccount(parts, created.metadata.name ?? '');
  return created;
}

/** What a real cluster's controller does as soon as it sees a new namespace. */
function createDefaultAccount(parts: ClusterParts, namespace: string): void {
  const { kind } = SERVICE_ACCOUNTS;
  const account = { apiVersion: apiVersionOf(SERVICE_ACCOUNTS), kind, metadata: { name: 'default', namespace } };
  createObject(parts, SERVICE_ACCOUNTS, account);
}

export async function create(parts: ClusterParts, call: ResourceCall): Promise<void> {
  if (call.target.name !== '' || (call.resource.namespaced && scopeOf(call) === '')) throw methodNotAllowed();
  const object = asObject(call.resource, await readObject(call.request));
  place(call, object);
  writeObject(parts, call, 201, createObject(parts, call.resource, object, isDryRun(call)));
}

function store(parts: ClusterParts, call: ResourceCall, object: KubeObject, previous: KubeObject): void {
  place(call, object);
  delete object.metadata['managedFields'];
  delete object['status'];
  if (previous['status'] !== undefined) object['status'] = previous['status'];
  validate(call.resource, object, previous);
  writeObject(parts, call, 200, isDryRun(call) ? object : parts.storage.update(call.resource, object));
}

export async function update(parts: ClusterParts, call: ResourceCall): Promise<void> {
  const object = asObject(call.resource, await readObject(call.request));
  store(parts, call, object, existing(parts, call));
}

function patched(type: string, target: KubeObject, patch: JsonValue): JsonValue {
  if (type === 'application/json-patch+json') return jsonPatch(target, patch);
  if (!isJsonObject(patch)) throw badRequest('error decoding patch: a JSON object is expected');
  return type === 'application/merge-patch+json' ? mergePatch(target, patch) : strategicMerge(target, patch);
}

export async function patch(parts: ClusterParts, call: ResourceCall): Promise<void> {
  const { type, value } = await readJson(call.request, PATCHES);
  if (value === undefined) throw badRequest('error decoding patch: the body is empty');
  const previous = existing(parts, call);
  // The patch is made on a copy: what is stored is never changed in place.
  const object = asObject(call.resource, patched(type, structuredClone(previous), value));
  store(parts, call, object, previous);
}
