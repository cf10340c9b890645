/** How much a body of JSON makes of itself, before it is parsed. */

const [OBJECT = 0, ARRAY = 0, NEXT = 0] = Buffer.from('{[,');

/**
 * An attacker answers in the place of an API server or a provider with a megabyte of `{}`: a parser takes 0.1 s for it and
 * makes 40 MB of objects, and dozens of such answers end in one turn. What honest servers send has few values for its length.
 * Commas and brackets within texts count too.
 *
 * @returns whether it may have more values than `most`
 */
export function hasMoreValues(json: Uint8Array, most: number): boolean {
  let count = 0;
  for (const byte of json) {
    if (byte === NEXT || byte === OBJECT || byte === ARRAY) count += 1;
    if (count > most) return true;
  }
  return false;
}
