/**
 * The headers of the console's response as the browser receives them.
 *
 * A malicious or compromised console chooses the content of a host name of ours. So its response may not state
 * anything for other hosts, widen cookies, open itself to other sites, clear data that it does not own, or
 * redirect the browser to another host.
 */
import { canonicalName, headerFilter, isFieldValue, pairs, type RawHeaders } from '../../core/http/header-names.ts';
import { no, ok, type Result } from '../../core/result.ts';
import { cookieFromConsole } from './cookie-jar.ts';

/** Seconds. */
const YEAR_SECONDS = 31_536_000;

/**
 * Never taken from the console; several are set below. `clear-site-data` would affect the cookies of every sibling
 * host.
 */
const DENIED: ReadonlySet<string> = new Set([
  'alt-svc',
  'clear-site-data',
  'cross-origin-opener-policy',
  'cross-origin-resource-policy',
  'location',
  // The next ones report requests that are not the console's, among them the one with the one-time code.
  'nel',
  'public-key-pins',
  'refresh',
  'report-to',
  'reporting-endpoints',
  'set-cookie',
  'set-cookie2',
  'strict-transport-security',
  'www-authenticate',
  'x-content-type-options',
  'x-frame-options',
]);

const DENIED_PREFIXES = ['access-control-', 'x-forwarded-'];

export interface ConsoleResponse {
  readonly status: number;
  readonly raw: RawHeaders;
  /** `http(s)://host[:port]` at which the proxy reaches the console. */
  readonly server: string;
  /** The console's origin for browsers. */
  readonly origin: string;
}

/**
 * @returns a flat list of names and values, or `foreign_redirect` where the console redirects the browser to
 *   another host
 */
export function headersFromConsole(response: ConsoleResponse): Result<string[], 'foreign_redirect'> {
  const { status, raw, origin } = response;
  const headers: string[] = [];
  const passes = headerFilter(raw, { names: DENIED, prefixes: DENIED_PREFIXES });
  let cacheable = false;
  for (const [name, value] of pairs(raw)) {
    const canonical = canonicalName(name);
    if (!isFieldValue(value)) continue;
    if (canonical === 'location' && (status === 201 || (status >= 300 && status < 400))) {
      const location = locationForBrowser(value, response);
      if (location === undefined) return no('foreign_redirect');
      headers.push('Location', location);
    }
    if (canonical === 'set-cookie') {
      const cookie = cookieFromConsole(value);
      if (cookie !== undefined) headers.push('Set-Cookie', cookie);
    }
    if (!passes(name, value)) continue;
    cacheable ||= canonical === 'cache-control';
    headers.push(name, value);
  }
  if (!cacheable) headers.push('Cache-Control', 'no-store');
  return ok([...headers, ...addedHeaders(origin)]);
}

/** A second `Content-Security-Policy` can only narrow the console's own (CSP Level 3 §8.1). */
function addedHeaders(origin: string): string[] {
  const headers = [
    'Content-Security-Policy',
    "frame-ancestors 'self'",
    'X-Frame-Options',
    'SAMEORIGIN',
    'X-Content-Type-Options',
    'nosniff',
    'Cross-Origin-Opener-Policy',
    'same-origin',
    'Cross-Origin-Resource-Policy',
    'same-origin',
  ];
  if (origin.startsWith('https:')) headers.push('Strict-Transport-Security', `max-age=${YEAR_SECONDS}`);
  return headers;
}

/** Returns the target on the console's own host; undefined where it is on any other host. */
function locationForBrowser(location: string, { server, origin }: ConsoleResponse): string | undefined {
  // Parsed as in browsers, which resolve a relative one against a page on this host.
  if (!URL.canParse(location, origin)) return undefined;
  const url = new URL(location, origin);
  const own = url.origin === origin || url.origin === new URL(server).origin;
  if (!own || url.username !== '' || url.password !== '') return undefined;
  const relative = !URL.canParse(location) && !/^[/\\]{2}/.test(location);
  // Absolute, because a path may begin with two slashes, and would name another host by itself.
  return relative ? location : `${origin}${url.pathname}${url.search}${url.hash}`;
}

const UPGRADE_HEADERS: ReadonlySet<string> = new Set([
  'sec-websocket-accept',
  'sec-websocket-extensions',
  'sec-websocket-protocol',
]);

/**
 * Keeps of a 101 only what the handshake needs (RFC 6455 §4.2.2), because a browser accepts cookies from it as
 * from any response.
 */
export function upgradeHeadersFromConsole(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const kept: Record<string, string> = { connection: 'Upgrade', upgrade: 'websocket' };
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && UPGRADE_HEADERS.has(name.toLowerCase()) && isFieldValue(value)) kept[name] = value;
  }
  return kept;
}
