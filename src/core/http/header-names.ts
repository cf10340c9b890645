/**
 * Classes of header names (docs/architecture.md#invariant-4), and what a header may hold.
 *
 * `raw` is everywhere a flat list name, value, name, value, … as Node gives and takes it, one character a byte.
 */
export type RawHeaders = readonly string[];

/**
 * A name as a careless reader downstream may take it: case folded, and `_` for `-` as CGI and several proxies have it.
 * Threat: `Impersonate_User` passes a filter that knows `Impersonate-User` only, and is joined with it later.
 */
export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  // Hardly any name has one, and looking is cheaper than replacing.
  return lower.includes('_') ? lower.replaceAll('_', '-') : lower;
}

/** RFC 9110 §7.6.1 and the obsolete ones that some still honour. `upgrade` is put back where an upgrade is made. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

export const isHopByHop = (canonical: string): boolean => HOP_BY_HOP.has(canonical);

/** Names that `Connection` lists, canonical: they were meant for the last hop only (RFC 9110 §7.6.1). */
export function connectionNominated(raw: RawHeaders): ReadonlySet<string> {
  const lists = valuesOf(raw, 'connection');
  if (lists.length === 0) return NONE;
  return new Set(lists.flatMap((list) => list.split(',')).map((token) => canonicalName(token.trim())));
}

const NONE: ReadonlySet<string> = new Set();

/** A list and no generator: this is walked several times for every request. */
export function pairs(raw: RawHeaders): readonly (readonly [name: string, value: string])[] {
  const list: (readonly [string, string])[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index];
    const value = raw[index + 1];
    if (name !== undefined && value !== undefined) list.push([name, value]);
  }
  return list;
}

/** Every value of a header, in order. @param lower name in lower case */
export function valuesOf(raw: RawHeaders, lower: string): readonly string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index];
    const value = raw[index + 1];
    // Most names are of another length, and need no folding to be told apart.
    if (name?.length === lower.length && value !== undefined && name.toLowerCase() === lower) values.push(value);
  }
  return values;
}

/** RFC 9110 §5.1 token. */
export const isToken = (name: string): boolean => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/i.test(name);

/** RFC 9110 §5.5: visible characters, space, tab and the upper half. No CR, LF or NUL: those would end the header. */
export const isFieldValue = (value: string): boolean => /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value);

/** A string as UTF-8 bytes, one character a byte: what Node's http writes unchanged. */
export const asBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
