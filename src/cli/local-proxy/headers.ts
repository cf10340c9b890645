/** Headers in both directions: flat lists, one character a byte, each line unchanged and in its order. */
import { headerFilter, pairs, valuesOf, type RawHeaders } from '../../core/http/header-names.ts';

/** Replaced, already checked here (`origin`), or another system's credential. */
const NOT_SENT_ON: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'cookie2',
  'host',
  'origin',
  'expect',
  'content-length',
]);

/** Methods for which Node announces no body by itself. */
const WITHOUT_BODY: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);

/** The length of the request's body. */
export type Body = { readonly length: string } | 'chunked' | 'none';

/** Returns the length of the body (RFC 9112 §6.3); Node's parser rejects a request with both headers. */
export function bodyOf(headers: RawHeaders): Body {
  if (valuesOf(headers, 'transfer-encoding').length > 0) return 'chunked';
  const [length] = valuesOf(headers, 'content-length');
  return length === undefined || /^0+$/.test(length) ? 'none' : { length };
}

/**
 * Returns the headers for the server. `Impersonate-*` is passed on as from kubectl: the server checks it. Nothing
 * reveals where the request came from.
 * @param route the host for `Host`, the user's token, and `Upgrade` where the request is one
 */
export function towardsServer(
  headers: RawHeaders,
  route: {
    readonly method: string;
    readonly host: string;
    readonly token: string;
    readonly body: Body;
    readonly upgrade?: string;
  },
): string[] {
  const sent = ['Host', route.host, ...endToEnd(headers, NOT_SENT_ON), 'Authorization', `Bearer ${route.token}`];
  if (route.body === 'chunked') sent.push('Transfer-Encoding', 'chunked');
  else if (route.body !== 'none') sent.push('Content-Length', route.body.length);
  // Node would announce a chunked body, whose end would be the first bytes of an upgraded connection.
  else if (!WITHOUT_BODY.has(route.method)) sent.push('Content-Length', '0');
  if (route.upgrade !== undefined) sent.push('Connection', 'Upgrade', 'Upgrade', route.upgrade);
  return sent;
}

/** Returns the headers for the client. */
export const towardsClient = (headers: RawHeaders): string[] => endToEnd(headers, new Set());

/** Drops the hop-by-hop headers (RFC 9110 §7.6.1) and the given names. */
function endToEnd(headers: RawHeaders, names: ReadonlySet<string>): string[] {
  const passes = headerFilter(headers, { names });
  return pairs(headers)
    .filter(([name, value]) => passes(name, value))
    .flat();
}

/** Returns a response head as bytes, for a connection that no longer belongs to Node's HTTP server. */
export function rawHead(code: number, reason: string, headers: readonly string[]): Buffer {
  const lines = pairs(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`HTTP/1.1 ${code} ${reason}\r\n${lines.join('')}\r\n`, 'latin1');
}
