/**
 * Parses query parameters as Go's `url.ParseQuery` does, because the API server uses it: the proxy must not see
 * another `watch`. A pair with a `;` or a broken escape is dropped there, so it is dropped here.
 */
export type Query = ReadonlyMap<string, string>;

/** Characters of a name that is asked for, all of them percent-encoded. */
const LONGEST_NAME = 3 * 'timeoutSeconds'.length;
/** What is shorter is none that is asked for: an attacker sends thousands of empty ones. */
const SHORTEST_NAME = 'watch'.length;

/**
 * Reads only the parameters that are asked for. An attacker without a credential sends hundreds of others in one query,
 * with names that cost more than any request: 2 ms for the 13 bytes that repeat it over HTTP/2.
 * @param query without the question mark, as received
 * @param names of ASCII, no shorter than `watch` and no longer than `timeoutSeconds`
 * @returns of each its first value, which is the one that Kubernetes' own conversions take
 */
export function parseQuery(query: string, names: ReadonlySet<string>): Query {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&')) {
    if (pair.length < SHORTEST_NAME) continue;
    const equals = pair.indexOf('=');
    const encoded = equals === -1 ? pair : pair.slice(0, equals);
    if (encoded.length > LONGEST_NAME) continue;
    // None of the names has a space, a broken escape, or what is not ASCII.
    const name = percentDecoded(encoded);
    if (!names.has(name) || parameters.has(name) || pair.includes(';')) continue;
    const value = unescapeQuery(equals === -1 ? '' : pair.slice(equals + 1));
    if (value !== undefined) parameters.set(name, value);
  }
  return parameters;
}

export const first = (query: Query, name: string): string | undefined => query.get(name);

/**
 * Returns a boolean option as Kubernetes converts it: absent, `0` and `false` in any case are false; everything
 * else, including the empty value, is true.
 */
export function flag(query: Query, name: string): boolean {
  const value = first(query, name);
  return value !== undefined && value !== '0' && value.toLowerCase() !== 'false';
}

function unescapeQuery(text: string): string | undefined {
  if (!/[%+]/.test(text)) return text;
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  const decoded = percentDecoded(text.replaceAll('+', ' '));
  // ASCII is the same in both.
  if (!/[^\0-\x7f]/.test(decoded)) return decoded;
  const characters = Buffer.from(decoded, 'latin1').toString();
  // Bytes that are not UTF-8: Go keeps them. One character per byte is enough for comparison.
  return characters.includes('\uFFFD') ? decoded : characters;
}

/**
 * Decodes percent-encoding to one character per byte, and leaves broken escapes.
 *
 * `decodeURIComponent` throws, which costs ten microseconds, and a call for each escape costs more than the rest: an
 * attacker without a credential sends thousands of names that are not UTF-8 in one query, and forty such requests hold a
 * replica up for as long as its lease.
 */
export function percentDecoded(text: string): string {
  let decoded = '';
  let from = 0;
  for (let at = text.indexOf('%'); at !== -1; at = text.indexOf('%', at + 1)) {
    const high = hexDigit(text.charCodeAt(at + 1));
    const low = hexDigit(text.charCodeAt(at + 2));
    if (high === -1 || low === -1) continue;
    decoded += text.slice(from, at) + String.fromCharCode(16 * high + low);
    from = at + 3;
    at += 2;
  }
  return from === 0 ? text : decoded + text.slice(from);
}

/** @returns -1 for what is none, the end of the text among it */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
