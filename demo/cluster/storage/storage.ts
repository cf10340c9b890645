/**
 * Objects in memory, and what happened to them lately.
 *
 * Every write takes the next number of one counter (`resourceVersion`). Returned objects are the stored ones: callers copy
 * before they change anything.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

import type { KubeObject } from '../objects/kube-object.ts';
import { kubeTime } from '../objects/kube-object.ts';
import { alreadyExists, conflict, expired, MODIFIED_MEANWHILE, notFound } from '../objects/status.ts';
import type { ResourceType } from '../resources.ts';

/** Changes per kind that a watch can still start from. */
const HISTORY = 1000;

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly number: number;
  readonly object: KubeObject;
  /** What it was before; absent for ADDED. */
  readonly previous?: KubeObject;
}

export interface Storage {
  readonly resourceVersion: string;
  get(resource: ResourceType, namespace: string, name: string): KubeObject | undefined;
  /** Ordered by namespace and name; of one namespace or of all. The list is the caller's own. */
  list(resource: ResourceType, namespace?: string): { items: KubeObject[]; resourceVersion: string };
  /** Gives uid, time and resourceVersion. @throws StatusError 409 AlreadyExists */
  create(resource: ResourceType, object: KubeObject): KubeObject;
  /** Replaces; a resourceVersion inside must be the current one. An equal object changes nothing. @throws StatusError 404, 409 */
  update(resource: ResourceType, object: KubeObject): KubeObject;
  /** @throws StatusError 404 */
  remove(resource: ResourceType, namespace: string, name: string): KubeObject;
  /**
   * Calls `listener` for each change after `since`, those of the past at once.
   * @throws StatusError 410 when `since` is older than what is remembered
   */
  subscribe(resource: ResourceType, since: number, listener: (change: Change) => void): () => void;
}

class Table {
  readonly objects = new Map<string, KubeObject>();
  readonly listeners = new Set<(change: Change) => void>();
  history: Change[] = [];
  /** Number of the last change that has been forgotten. */
  forgotten = 0;

  record(change: Change): void {
    this.history.push(change);
    if (this.history.length > HISTORY) this.forgotten = this.history.shift()?.number ?? this.forgotten;
    for (const listener of this.listeners) listener(change);
  }
}

const byKey = ([left]: [string, KubeObject], [right]: [string, KubeObject]): number => (left < right ? -1 : 1);

/** No name contains a slash, so the key cannot be forged. */
const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`;

class MemoryStorage implements Storage {
  #number = 1;
  readonly #tables = new Map<ResourceType, Table>();
  readonly #now: () => Date;

  constructor(now: () => Date) {
    this.#now = now;
  }

  get resourceVersion(): string {
    return String(this.#number);
  }

  #table(resource: ResourceType): Table {
    const table = this.#tables.get(resource) ?? new Table();
    this.#tables.set(resource, table);
    return table;
  }

  get(resource: ResourceType, namespace: string, name: string): KubeObject | undefined {
    return this.#table(resource).objects.get(keyOf(namespace, name));
  }

  list(resource: ResourceType, namespace?: string): { items: KubeObject[]; resourceVersion: string } {
    const items = [...this.#table(resource).objects]
      .toSorted(byKey)
      .map(([, object]) => object)
      .filter((object) => namespace === undefined || object.metadata.namespace === namespace);
    return { items, resourceVersion: this.resourceVersion };
  }

  create(resource: ResourceType, object: KubeObject): KubeObject {
    const { name = '', namespace = '' } = object.metadata;
    const table = this.#table(resource);
    if (table.objects.has(keyOf(namespace, name))) throw alreadyExists({ ...resource, name });
    this.#number += 1;
    const stored = structuredClone(object);
    stored.metadata.uid = randomUUID();
    stored.metadata.creationTimestamp = kubeTime(this.#now());
    stored.metadata.resourceVersion = String(this.#number);
    table.objects.set(keyOf(namespace, name), stored);
    table.record({ type: 'ADDED', number: this.#number, object: stored });
    return stored;
  }

  update(resource: ResourceType, object: KubeObject): KubeObject {
    const { name = '', namespace = '', resourceVersion, uid } = object.metadata;
    const table = this.#table(resource);
    const previous = table.objects.get(keyOf(namespace, name));
    if (previous === undefined) throw notFound({ ...resource, name });
    if (resourceVersion !== undefined && resourceVersion !== previous.metadata.resourceVersion) {
      throw conflict({ ...resource, name }, MODIFIED_MEANWHILE);
    }
    if (uid !== undefined && uid !== previous.metadata.uid) {
      const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${previous.metadata.uid}`;
      throw conflict({ ...resource, name }, why);
    }
    const stored = structuredClone(object);
    const { uid: given, creationTimestamp, resourceVersion: current } = previous.metadata;
    Object.assign(stored.metadata, { uid: given, creationTimestamp, resourceVersion: current });
    if (isDeepStrictEqual(stored, previous)) return previous;
    this.#number += 1;
    stored.metadata.resourceVersion = String(this.#number);
    table.objects.set(keyOf(namespace, name), stored);
    table.record({ type: 'MODIFIED', number: this.#number, object: stored, previous });
    return stored;
  }

  remove(resource: ResourceType, namespace: string, name: string): KubeObject {
    const table = this.#table(resource);
    const previous = table.objects.get(keyOf(namespace, name));
    if (previous === undefined) throw notFound({ ...resource, name });
    this.#number += 1;
    table.objects.delete(keyOf(namespace, name));
    // A DELETED event carries the number of the deletion, so that a watch can go on from it.
    const object = structuredClone(previous);
    object.metadata.resourceVersion = String(this.#number);
    table.record({ type: 'DELETED', number: this.#number, object, previous });
    return object;
  }

  subscribe(resource: ResourceType, since: number, listener: (change: Change) => void): () => void {
    const table = this.#table(resource);
    if (since < table.forgotten) throw expired(since, table.forgotten);
    for (const change of table.history) if (change.number > since) listener(change);
    table.listeners.add(listener);
    return () => {
      table.listeners.delete(listener);
    };
  }
}

export const createStorage = (now: () => Date): Storage => new MemoryStorage(now);
