/**
 * Strategic merge patch: lists of objects are merged by a key, other lists are replaced.
 *
 * Merge keys come from a table by field name, enough for the kinds served here; in Kubernetes they come from the types.
 * @see https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 */
import type { JsonObject, JsonValue } from '../objects/json.ts';
import { isJsonObject, stringAt } from '../objects/json.ts';
import { badRequest } from '../objects/status.ts';

/** Where a list is merged, by which of these keys its items are told apart: the first that an item has. */
const MERGE_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  ephemeralContainers: ['name'],
  env: ['name'],
  volumes: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  ports: ['containerPort', 'port'],
  imagePullSecrets: ['name'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey'],
  ownerReferences: ['uid'],
  conditions: ['type'],
};

/** Lists of plain values that are merged as sets. */
const SETS = new Set(['finalizers']);

const DIRECTIVE = '$patch';
const ORDER = '$setElementOrder/';
const DELETE_FROM = '$deleteFromPrimitiveList/';
const RETAIN = '$retainKeys';

function keyOf(field: string, item: JsonObject): string | undefined {
  return MERGE_KEYS[field]?.find((key) => item[key] !== undefined);
}

function sameItem(field: string, left: JsonValue, right: JsonValue): boolean {
  if (!isJsonObject(left) || !isJsonObject(right)) return left === right;
  const key = keyOf(field, right);
  return key !== undefined && left[key] === right[key];
}

function mergeList(field: string, target: JsonValue | undefined, patch: readonly JsonValue[]): JsonValue[] {
  const directive = patch.find((item) => isJsonObject(item) && item[DIRECTIVE] === 'replace');
  if (directive !== undefined) return patch.filter((item) => item !== directive).map(strip);
  const merged: JsonValue[] = Array.isArray(target) ? [...target] : [];
  for (const item of patch) {
    const index = merged.findIndex((present) => sameItem(field, present, item));
    if (isDeletion(item)) {
      if (index >= 0) merged.splice(index, 1);
    } else if (index < 0) merged.push(strip(item));
    else merged[index] = strategicMerge(merged[index], item);
  }
  return merged;
}

/** Takes directives out of what is added as it is. */
function strip(value: JsonValue): JsonValue {
  return isJsonObject(value) ? strategicMerge({}, value) : value;
}

const isMerged = (field: string, patch: readonly JsonValue[]): boolean =>
  SETS.has(field) ||
  (MERGE_KEYS[field] !== undefined &&
    patch.every((item) => isJsonObject(item) && (DIRECTIVE in item || keyOf(field, item) !== undefined)));

/** Items in the order that the patch names; those it does not name keep theirs, behind. */
function reorder(field: string, list: JsonValue[], order: readonly JsonValue[]): JsonValue[] {
  const place = (item: JsonValue): number => {
    const index = order.findIndex((wanted) => sameItem(field, item, wanted));
    return index < 0 ? order.length : index;
  };
  return list.toSorted((left, right) => place(left) - place(right));
}

/** Directives beside the fields: they act on `result` after the fields have been merged. */
function direct(result: JsonObject, key: string, value: JsonValue): void {
  if (!Array.isArray(value)) throw badRequest(`error decoding patch: ${key} must be a list`);
  if (key === RETAIN) {
    for (const present of Object.keys(result)) if (!value.includes(present)) delete result[present];
    return;
  }
  const deletes = key.startsWith(DELETE_FROM);
  const field = key.slice(deletes ? DELETE_FROM.length : ORDER.length);
  const list = result[field];
  if (!Array.isArray(list)) return;
  result[field] = deletes ? list.filter((item) => !value.includes(item)) : reorder(field, list, value);
}

const isDeletion = (value: JsonValue): boolean => isJsonObject(value) && value[DIRECTIVE] === 'delete';

/** A new value; neither argument is changed. */
export function strategicMerge(target: JsonValue | undefined, patch: JsonValue): JsonValue {
  if (!isJsonObject(patch)) return patch;
  const directive = stringAt(patch, DIRECTIVE);
  const result: JsonObject = isJsonObject(target) && directive !== 'replace' ? { ...target } : {};
  const later: [string, JsonValue][] = [];
  for (const [key, value] of Object.entries(patch)) {
    if (key === DIRECTIVE) continue;
    if (key === RETAIN || key.startsWith(ORDER) || key.startsWith(DELETE_FROM)) later.push([key, value ?? null]);
    else if (value === null || value === undefined || isDeletion(value)) delete result[key];
    else if (Array.isArray(value)) {
      result[key] = isMerged(key, value) ? mergeList(key, result[key], value) : value;
    } else result[key] = strategicMerge(result[key], value);
  }
  for (const [key, value] of later) direct(result, key, value);
  return result;
}
