/**
 * Readers of untrusted JSON. They are hand-written, because a schema library costs kubectl more time than
 * everything else on the path of a cached credential.
 */

export type JsonRecord = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns undefined where `text` is no JSON object. */
export function parseRecord(text: string): JsonRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function recordAt(record: JsonRecord, key: string): JsonRecord | undefined {
  const value = record[key];
  return isRecord(value) ? value : undefined;
}

export function stringAt(record: JsonRecord, key: string): string | undefined {
  const value = record[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function numberAt(record: JsonRecord, key: string): number | undefined {
  const value = record[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export function arrayAt(record: JsonRecord, key: string): readonly unknown[] {
  const value: unknown = record[key];
  return Array.isArray(value) ? value : [];
}

export function stringsAt(record: JsonRecord, key: string): readonly string[] {
  return arrayAt(record, key).filter((item) => typeof item === 'string');
}
