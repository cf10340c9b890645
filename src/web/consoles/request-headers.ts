/**
 * The headers that the console receives. They are built from the start and replace the browser's before
 * http-proxy-middleware sees the request, because it copies them. Nothing depends on its header hook, which does
 * not run for `Expect: 100-continue` (decision 0001).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { withoutBearerProtocol } from '../../core/credential/bearer-token.ts';
import { asBytes, headerFilter, pairs, type RawHeaders } from '../../core/http/header-names.ts';
import { cookiesForConsole } from './cookie-jar.ts';
import { defined } from '../../core/defined.ts';

/**
 * An attacker could claim another identity or address with these headers, so only we set them; others concern this
 * hop only. Canonical names.
 */
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

export interface ConsoleRequest {
  readonly raw: RawHeaders;
  readonly headers: IncomingHttpHeaders;
  /** The console's origin, as browsers see it. */
  readonly origin: string;
  readonly token: string;
  readonly username: string;
  /** IP address of the peer. */
  readonly address: string;
  readonly upgrade: boolean;
}

/**
 * Returns the headers with names in lower case. Framing is forwarded as Node's parser found it; the parser has
 * rejected what is ambiguous.
 */
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
    // The default header of Headlamp with `-proxy-auth`: its WebSocket multiplexer reads the token from there
    // only.
    'x-forwarded-user': asBytes(username),
    'x-forwarded-id-token': token,
  };
}

function passedOn(raw: RawHeaders): IncomingHttpHeaders {
  const passes = headerFilter(raw, { names: DENIED, prefixes: DENIED_PREFIXES });
  const passed = new Map<string, string>();
  for (const [name, value] of pairs(raw)) {
    if (!passes(name, value)) continue;
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

/** Without a subprotocol that contains a token: the console gets exactly one token, ours. */
function websocket(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const protocols = withoutBearerProtocol(headers['sec-websocket-protocol'] ?? '');
  return {
    connection: 'Upgrade',
    upgrade: 'websocket',
    ...optional('sec-websocket-protocol', protocols === '' ? undefined : protocols),
  };
}

const optional = (name: string, value: string | undefined): IncomingHttpHeaders => defined({ [name]: value });
