/** get and list. */
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest, notFound } from '../objects/status.ts';
import { selectorOf } from '../storage/selectors.ts';
import type { ClusterParts, ResourceCall } from './call.ts';
import { named, scopeOf } from './call.ts';
import { writeList, writeObject, type List } from './reply.ts';

/**
 * The object that the path names.
 * @throws StatusError 404
 */
export function existing(parts: ClusterParts, call: ResourceCall): KubeObject {
  const object = parts.storage.get(call.resource, scopeOf(call), call.target.name);
  if (object === undefined) throw notFound(named(call));
  return object;
}

export const get = (parts: ClusterParts, call: ResourceCall): void =>
  writeObject(parts, call, 200, existing(parts, call));

/** The objects of the path's scope that the selectors let through. */
export function selected(parts: ClusterParts, call: ResourceCall): { items: KubeObject[]; resourceVersion: string } {
  const selects = selectorOf(call.resource, call.info.query);
  const scope = scopeOf(call);
  const { items, resourceVersion } = parts.storage.list(call.resource, scope === '' ? undefined : scope);
  return { items: items.filter(selects), resourceVersion };
}

export const list = (parts: ClusterParts, call: ResourceCall): void =>
  writeList(parts, call, pageOf(selected(parts, call), call.info.query));

interface Position {
  readonly namespace: string;
  readonly name: string;
}

const positionOf = ({ metadata }: KubeObject): Position => ({
  namespace: metadata.namespace ?? '',
  name: metadata.name ?? '',
});

/**
 * One page, as `limit` and `continue` say. Unlike a real API server's, the next page is of the objects as they are then.
 * @throws StatusError 400
 */
function pageOf(whole: { items: KubeObject[]; resourceVersion: string }, query: URLSearchParams): List {
  const token = query.get('continue') ?? '';
  const after = token === '' ? undefined : parseToken(token);
  const rest = after === undefined ? whole.items : whole.items.filter((object) => isAfter(positionOf(object), after));
  const limit = Number(query.get('limit') ?? 0);
  const items = Number.isInteger(limit) && limit > 0 ? rest.slice(0, limit) : rest;
  const last = items.at(-1);
  const { resourceVersion } = whole;
  if (last === undefined || items.length === rest.length) return { items, resourceVersion };
  const next = Buffer.from(JSON.stringify(positionOf(last))).toString('base64url');
  // With a selector a real API server does not know how many remain.
  const isSelected = query.has('labelSelector') || query.has('fieldSelector');
  const remaining = isSelected ? {} : { remainingItemCount: rest.length - items.length };
  return { items, resourceVersion, continue: next, ...remaining };
}

/** In the order of `Storage.list`. */
const isAfter = (one: Position, other: Position): boolean =>
  `${one.namespace}/${one.name}` > `${other.namespace}/${other.name}`;

function parseToken(token: string): Position {
  try {
    const { namespace, name } = JSON.parse(Buffer.from(token, 'base64url').toString()) as Partial<Position>;
    if (typeof namespace === 'string' && typeof name === 'string') return { namespace, name };
  } catch {
    // Said below.
  }
  throw badRequest('continue key is not valid');
}
