/** JSON as it comes off the wire, and the few questions that are asked of it. */

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object under `key`, or an empty one. */
export function objectAt(value: JsonObject | undefined, key: string): JsonObject {
  const found = value?.[key];
  return isJsonObject(found) ? found : {};
}

/** The objects in the list under `key`; whatever else stands there is left out. */
export function objectsAt(value: JsonObject | undefined, key: string): JsonObject[] {
  const found = value?.[key];
  return Array.isArray(found) ? found.filter(isJsonObject) : [];
}

export function stringAt(value: JsonObject | undefined, key: string): string {
  const found = value?.[key];
  return typeof found === 'string' ? found : '';
}

export function stringsAt(value: JsonObject | undefined, key: string): string[] {
  const found = value?.[key];
  return Array.isArray(found) ? found.filter((item) => typeof item === 'string') : [];
}

/**
 * Parses JSON without the key `__proto__`: merged into another object, it would change that object's prototype.
 * @throws SyntaxError
 */
export function parseJson(text: string): JsonValue {
  return JSON.parse(text, (key, value: JsonValue) => (key === '__proto__' ? undefined : value)) as JsonValue;
}
