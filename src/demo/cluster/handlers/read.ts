/** get and list. */
import type { KubeObject } from '../objects/kube-object.ts';
import { notFound } from '../objects/status.ts';
import { selectorOf } from '../storage/selectors.ts';
import type { ClusterParts, ResourceCall } from './call.ts';
import { named, scopeOf } from './call.ts';
import { writeList, writeObject } from './reply.ts';

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

/** The objects of the path's scope that the selectors let through. `limit` is not honoured: the list is always whole. */
export function selected(parts: ClusterParts, call: ResourceCall): { items: KubeObject[]; resourceVersion: string } {
  const selects = selectorOf(call.resource, call.info.query);
  const scope = scopeOf(call);
  const { items, resourceVersion } = parts.storage.list(call.resource, scope === '' ? undefined : scope);
  return { items: items.filter(selects), resourceVersion };
}

export const list = (parts: ClusterParts, call: ResourceCall): void => writeList(parts, call, selected(parts, call));
