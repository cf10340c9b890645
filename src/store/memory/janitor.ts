/**
 * Returns a function that removes expired entries from a map a few at a time. Each call examines `step` entries
 * and continues where the last one stopped, so that a write never pays for the whole map and no expired entry
 * stays forever.
 */
export function createJanitor<K, V>(
  map: ReadonlyMap<K, V>,
  expired: (value: V, key: K) => boolean,
  remove: (key: K) => void,
  step = 16,
): () => void {
  let cursor = map.entries();
  return () => {
    for (let looked = 0; looked < step; looked += 1) {
      const next = cursor.next();
      if (next.done === true) {
        cursor = map.entries();
        return;
      }
      const [key, value] = next.value;
      if (expired(value, key)) remove(key);
    }
  };
}
