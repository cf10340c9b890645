/**
 * Classes of header names (docs/architecture.md#invariant-4), and valid header values.
 *
 * `raw` is always a flat list name, value, name, value, … as Node uses it, one character per byte.
 */
export type RawHeaders = readonly string[];

/**
 * Returns a name as a careless reader downstream may read it: case folded, and `_` as `-`, as CGI and several
 * proxies do. An attacker sends `Impersonate_User`, which passes a filter that knows only `Impersonate-User` and
 * is merged with it later, so names are compared in this form.
 */
export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  // Hardly any name contains one, and searching is cheaper than replacing.
  return lower.includes('_') ? lower.replaceAll('_', '-') : lower;
}

/** RFC 9110 §7.6.1 and obsolete ones that some still honour. `upgrade` is added again for an upgrade. */
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

const isHopByHop = (canonical: string): boolean => HOP_BY_HOP.has(canonical);

/** Returns the canonical names that `Connection` lists: they were meant for the last hop only (RFC 9110 §7.6.1). */
export function connectionNominated(raw: RawHeaders): ReadonlySet<string> {
  const lists = valuesOf(raw, 'connection');
  if (lists.length === 0) return NONE;
  return new Set(lists.flatMap((list) => list.split(',')).map((token) => canonicalName(token.trim())));
}

const NONE: ReadonlySet<string> = new Set();

/** Canonical names that a hop does not pass on. */
export interface DeniedHeaders {
  readonly names: ReadonlySet<string>;
  readonly prefixes?: readonly string[];
}

/**
 * Returns the filter of one message's headers, the same for every hop and direction. It drops malformed lines,
 * hop-by-hop headers, names that `Connection` lists, and denied names. An allow-list is up to the caller.
 *
 * @param raw all headers of the message
 */
export function headerFilter(
  raw: RawHeaders,
  { names, prefixes = [] }: DeniedHeaders,
): (name: string, value: string) => boolean {
  const nominated = connectionNominated(raw);
  return (name, value) => {
    const canonical = canonicalToken(name);
    if (canonical === undefined || !isFieldValue(value)) return false;
    if (isHopByHop(canonical) || nominated.has(canonical) || names.has(canonical)) return false;
    return prefixes.length === 0 || !prefixes.some((prefix) => canonical.startsWith(prefix));
  };
}

/** The names of nearly all messages are the same few. */
const canonicalTokens = new Map<string, string>();
/** An attacker chooses names of all kinds, so they are few and short; further ones take the place of all. */
const MOST_TOKENS = 500;
const LONGEST_TOKEN = 64;

/** Returns the canonical form of a name; undefined if it is none. */
function canonicalToken(name: string): string | undefined {
  const known = canonicalTokens.get(name);
  if (known !== undefined) return known;
  if (!isToken(name)) return undefined;
  const canonical = canonicalName(name);
  if (name.length > LONGEST_TOKEN) return canonical;
  if (canonicalTokens.size >= MOST_TOKENS) canonicalTokens.clear();
  canonicalTokens.set(name, canonical);
  return canonical;
}

/** Returns a list and not a generator, because it is iterated several times for every request. */
export function pairs(raw: RawHeaders): readonly (readonly [name: string, value: string])[] {
  const list: (readonly [string, string])[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index];
    const value = raw[index + 1];
    if (name !== undefined && value !== undefined) list.push([name, value]);
  }
  return list;
}

/**
 * Returns every value of a header, in order.
 * @param lower name in lower case
 */
export function valuesOf(raw: RawHeaders, lower: string): readonly string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index];
    const value = raw[index + 1];
    // Most names have another length, so no case folding is needed.
    if (name?.length === lower.length && value !== undefined && name.toLowerCase() === lower) values.push(value);
  }
  return values;
}

/** RFC 9110 §5.1 token. */
export const isToken = (name: string): boolean => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/i.test(name);

/** RFC 9110 §5.5: visible characters, space, tab and the upper half. No CR, LF or NUL: those would end the header. */
export const isFieldValue = (value: string): boolean => /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value);

/** Returns a string as UTF-8 bytes, one character per byte, which Node's http writes unchanged. */
export const asBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

/**
 * Returns the names of the client's own `Impersonate-*` headers, as it wrote them; any case, `_` for `-`. None of
 * them is ever forwarded.
 */
export function findImpersonation(raw: RawHeaders): string[] {
  return raw.filter((name, index) => index % 2 === 0 && canonicalName(name).startsWith('impersonate'));
}
