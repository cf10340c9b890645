/** JSON patch (RFC 6902) over JSON pointers (RFC 6901). */
import { isDeepStrictEqual } from 'node:util';

import type { JsonObject, JsonValue } from '../objects/json.ts';
import { isJsonObject, stringAt } from '../objects/json.ts';
import { badRequest, StatusError } from '../objects/status.ts';

/** The API server's bound on operations in one patch. */
const MAX_OPERATIONS = 10_000;

const error = (message: string): StatusError => new StatusError(422, 'Invalid', message);

function tokensOf(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw badRequest(`error decoding patch: invalid pointer ${JSON.stringify(pointer)}`);
  const tokens = pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  // A pointer through `__proto__` would reach the prototype that all objects share.
  if (tokens.includes('__proto__')) throw badRequest('error decoding patch: invalid pointer');
  return tokens;
}

function indexOf(list: JsonValue[], token: string, limit: number): number {
  const index = token === '-' ? list.length : /^(0|[1-9]\d*)$/.test(token) ? Number(token) : -1;
  if (index < 0 || index > limit)
    throw error(`the server rejected our request due to an error in our request: index ${token}`);
  return index;
}

function child(parent: JsonValue, token: string): JsonValue {
  if (Array.isArray(parent)) return parent[indexOf(parent, token, parent.length - 1)] ?? null;
  if (isJsonObject(parent) && Object.hasOwn(parent, token)) return parent[token] ?? null;
  throw error('the server rejected our request due to an error in our request: path does not exist');
}

const valueAt = (root: JsonValue, tokens: readonly string[]): JsonValue =>
  tokens.reduce<JsonValue>((value, token) => child(value, token), root);

function add(root: JsonValue, tokens: readonly string[], value: JsonValue): JsonValue {
  const last = tokens.at(-1);
  if (last === undefined) return value;
  const parent = valueAt(root, tokens.slice(0, -1));
  if (Array.isArray(parent)) parent.splice(indexOf(parent, last, parent.length), 0, value);
  else if (isJsonObject(parent)) parent[last] = value;
  else throw error('the server rejected our request due to an error in our request: path does not exist');
  return root;
}

function remove(root: JsonValue, tokens: readonly string[]): JsonValue {
  const last = tokens.at(-1);
  if (last === undefined) return null;
  const parent = valueAt(root, tokens.slice(0, -1));
  child(parent, last);
  if (Array.isArray(parent)) parent.splice(indexOf(parent, last, parent.length - 1), 1);
  else if (isJsonObject(parent)) delete parent[last];
  return root;
}

function replace(root: JsonValue, tokens: readonly string[], value: JsonValue): JsonValue {
  valueAt(root, tokens);
  return tokens.length === 0 ? value : add(remove(root, tokens), tokens, value);
}

function apply(root: JsonValue, operation: JsonObject): JsonValue {
  const path = tokensOf(stringAt(operation, 'path'));
  const value = structuredClone(operation['value'] ?? null);
  switch (stringAt(operation, 'op')) {
    case 'add':
      return add(root, path, value);
    case 'remove':
      return remove(root, path);
    case 'replace':
      return replace(root, path, value);
    case 'test':
      if (isDeepStrictEqual(valueAt(root, path), value)) return root;
      throw error('the server rejected our request due to an error in our request: testing path failed');
    case 'copy':
      return add(root, path, structuredClone(valueAt(root, tokensOf(stringAt(operation, 'from')))));
    case 'move': {
      const from = tokensOf(stringAt(operation, 'from'));
      const moved = structuredClone(valueAt(root, from));
      return add(remove(root, from), path, moved);
    }
    default:
      throw badRequest('error decoding patch: unexpected kind');
  }
}

/**
 * A new value; neither argument is changed.
 * @throws StatusError 400 for what is no patch, 422 for one that does not fit the object
 */
export function jsonPatch(target: JsonValue, patch: JsonValue): JsonValue {
  if (!Array.isArray(patch) || !patch.every(isJsonObject)) throw badRequest('error decoding patch: a list is expected');
  if (patch.length > MAX_OPERATIONS) throw badRequest('The allowed maximum operations in a JSON patch is 10000');
  return patch.reduce<JsonValue>((root, operation) => apply(root, operation), structuredClone(target));
}
