/** JSON merge patch (RFC 7396). */
import type { JsonObject, JsonValue } from '../objects/json.ts';
import { isJsonObject } from '../objects/json.ts';

/** A new value; neither argument is changed. */
export function mergePatch(target: JsonValue | undefined, patch: JsonValue): JsonValue {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || value === undefined) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}
