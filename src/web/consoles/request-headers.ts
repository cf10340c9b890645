/**
 * Headers that the console receives. Built anew and put in place of the browser's before http-proxy-middleware sees the request: it copies
 * what it finds there. Nothing rests on its header hook, which does not run for `Expect: 100-continue` (decision 0001).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { withoutBearerProtocol } from '../../core/credential/bearer-token.ts';
import {
  asBytes,
  canonicalName,
  connectionNominated,
  isFieldValue,
  isHopByHop,
  isToken,
  pairs,
  type RawHeaders,
} from '../../core/http/header-names.ts';
import { cookiesForConsole } from './cookie-jar.ts';

/** What says who somebody is or where they come from is ours to say; what is about this hop ends here. Canonical names. */
const DENIED: ReadonlySet<string> = new Set([
  'authorization',
  'audit-id',
  'content-length',
  'cookie',
  'cookie2',
  'expect',
  'forwarded',
  'host',
  'proxy-authorization',
  'sec-websocket-protocol',
  'true-client-ip',
  'via',
  'x-client-ip',
  'x-real-ip',
]);
const DENIED_PREFIXES = ['impersonate-', 'x-auth-request-', 'x-forwarded-', 'x-original-', 'x-remote-'];

const isDenied = (canonical: string): boolean =>
  DENIED.has(canonical) || DENIED_PREFIXES.some((prefix) => canonical.startsWith(prefix));

export interface ConsoleRequest {
  readonly raw: RawHeaders;
  readonly headers: IncomingHttpHeaders;
  /** The console's own, as browsers see it. */
  readonly origin: string;
  readonly token: string;
  readonly username: string;
  /** IP address of the peer. */
  readonly address: string;
  readonly upgrade: boolean;
}

/** Names in lower case. Framing is passed on as Node's parser has found it; it has refused what is ambiguous. */
export function headersForConsole(request: ConsoleRequest): IncomingHttpHeaders {
  const { raw, origin, token, username, address, upgrade } = request;
  const { host, protocol } = new URL(origin);
  return {
    ...passedOn(raw),
    ...(upgrade ? websocket(request.headers) : framing(request.headers)),
    ...optional('cookie', cookiesForConsole(request.headers.cookie)),
    host,
    authorization: `Bearer ${token}`,
    'x-forwarded-for': address,
    'x-forwarded-host': host,
    'x-forwarded-proto': protocol.slice(0, -1),
    // Where Headlamp looks by default once it is told `-proxy-auth`: its WebSocket multiplexer takes the token from there alone.
    'x-forwarded-user': asBytes(username),
    'x-forwarded-id-token': token,
  };
}

function passedOn(raw: RawHeaders): IncomingHttpHeaders {
  const nominated = connectionNominated(raw);
  const passed = new Map<string, string>();
  for (const [name, value] of pairs(raw)) {
    const canonical = canonicalName(name);
    if (!isToken(name) || !isFieldValue(value)) continue;
    if (isDenied(canonical) || isHopByHop(canonical) || nominated.has(canonical)) continue;
    const lower = name.toLowerCase();
    const before = passed.get(lower);
    passed.set(lower, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(passed);
}

function framing(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  if (headers['transfer-encoding'] !== undefined) return { 'transfer-encoding': 'chunked' };
  return optional('content-length', headers['content-length']);
}

/** Without a subprotocol that carries a token: the console gets exactly one, ours. */
function websocket(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const protocols = withoutBearerProtocol(headers['sec-websocket-protocol'] ?? '');
  return {
    connection: 'Upgrade',
    upgrade: 'websocket',
    ...optional('sec-websocket-protocol', protocols === '' ? undefined : protocols),
  };
}

const optional = (name: string, value: string | undefined): IncomingHttpHeaders =>
  value === undefined ? {} : { [name]: value };
