/** Readers for an object of a cluster, whose shape is not trusted. */

export type JsonRecord = Readonly<Record<string, unknown>>;

const NOTHING: JsonRecord = {};

const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns the object under `key`, or an empty one. */
export function recordAt(record: JsonRecord, key: string): JsonRecord {
  const value = ownAt(record, key);
  return isRecord(value) ? value : NOTHING;
}

/** Returns the objects in the list under `key`; anything else in it is left out. */
export function recordsAt(record: JsonRecord, key: string): readonly JsonRecord[] {
  const value = ownAt(record, key);
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function stringAt(record: JsonRecord, key: string): string {
  const value = ownAt(record, key);
  return typeof value === 'string' ? value : '';
}

export function stringsAt(record: JsonRecord, key: string): readonly string[] {
  const value = ownAt(record, key);
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** Returns the entries under `key` whose values are text. */
export const textsAt = (record: JsonRecord, key: string): readonly (readonly [string, string])[] =>
  Object.entries(recordAt(record, key)).filter((entry): entry is [string, string] => typeof entry[1] === 'string');

/** Keys are untrusted: `constructor` must not find what every object inherits. */
const ownAt = (record: JsonRecord, key: string): unknown => (Object.hasOwn(record, key) ? record[key] : undefined);

export interface Meta {
  readonly name: string;
  /** Empty for an object without one. */
  readonly namespace: string;
  readonly labels: JsonRecord;
  readonly annotations: JsonRecord;
}

export function metaOf(object: JsonRecord): Meta {
  const metadata = recordAt(object, 'metadata');
  return {
    name: stringAt(metadata, 'name'),
    namespace: stringAt(metadata, 'namespace'),
    labels: recordAt(metadata, 'labels'),
    annotations: recordAt(metadata, 'annotations'),
  };
}

/** Returns at most `most` names, and how many more there are. */
export function someOf(names: readonly string[], most: number): string {
  const more = names.length - most;
  return more > 0 ? `${names.slice(0, most).join(', ')} and ${more} more` : names.join(', ');
}
