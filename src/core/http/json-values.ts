/** How much a body of JSON makes of itself, before it is parsed. */

const [OBJECT = 0, ARRAY = 0, NEXT = 0] = Buffer.from('{[,');

const [QUOTE = 0, DOT = 0] = Buffer.from('".');
/** In base64url. Shorter parts have too few values, all together, for what an honest answer may have. */
const LONG_PART_BYTES = 8_192;

/**
 * An attacker answers in the place of an API server or a provider with a megabyte of `{}`: a parser takes 0.1 s for it and
 * makes 40 MB of objects, and dozens of such answers end in one turn. What honest servers send has few values for its length.
 * Commas and brackets within texts count too.
 *
 * @returns whether it may have more values than `most`
 */
export const hasMoreValues = (json: Uint8Array, most: number): boolean => countValues(json, most) > most;

/**
 * The same for the tokens in a body: an attacker's provider puts its objects into an ID token, whose base64url shows neither
 * commas nor brackets, and they are parsed when the token is read.
 *
 * @param body of JSON with JWTs as texts, or one JWT
 * @returns whether the long parts of its texts, decoded, may have more values than `most` in all
 */
export function hasTokensOfMoreValues(body: Uint8Array, most: number): boolean {
  let [count, start] = [0, 0];
  for (let end = 0; end <= body.length; end += 1) {
    const byte = body[end];
    if (byte !== undefined && byte !== QUOTE && byte !== DOT) continue;
    if (end - start >= LONG_PART_BYTES) {
      const text = Buffer.from(body.buffer, body.byteOffset + start, end - start).toString('latin1');
      count += countValues(Buffer.from(text, 'base64url'), most);
      if (count > most) return true;
    }
    start = end + 1;
  }
  return false;
}

/** Stops above `most`. */
function countValues(json: Uint8Array, most: number): number {
  let count = 0;
  for (const byte of json) {
    if (byte === NEXT || byte === OBJECT || byte === ARRAY) count += 1;
    if (count > most) break;
  }
  return count;
}
