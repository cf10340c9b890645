/**
 * Parses query parameters as Go's `url.ParseQuery` does, because the API server uses it: the proxy must not see
 * another `watch`. A pair with a `;` or a broken escape is dropped there, so it is dropped here.
 */
export type Query = ReadonlyMap<string, readonly string[]>;

/** @param query without the question mark, as received */
export function parseQuery(query: string): Query {
  const parameters = new Map<string, string[]>();
  for (const pair of query.split('&')) {
    if (pair === '' || pair.includes(';')) continue;
    const equals = pair.indexOf('=');
    const name = unescapeQuery(equals === -1 ? pair : pair.slice(0, equals));
    const value = unescapeQuery(equals === -1 ? '' : pair.slice(equals + 1));
    if (name === undefined || value === undefined) continue;
    const values = parameters.get(name);
    if (values === undefined) parameters.set(name, [value]);
    else values.push(value);
  }
  return parameters;
}

/** Returns the first value, as Kubernetes' own conversions do. */
export const first = (query: Query, name: string): string | undefined => query.get(name)?.[0];

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
 * `decodeURIComponent` throws, which costs ten microseconds: an attacker without a credential sends thousands of names
 * that are not UTF-8 in one query, and forty such requests hold a replica up for as long as its lease.
 */
export const percentDecoded = (text: string): string =>
  text.includes('%')
    ? text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : text;
