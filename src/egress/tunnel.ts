/**
 * A tunnel through a proxy (RFC 9110 §9.3.6). TLS runs end to end inside it: a client certificate reaches the
 * destination, and the proxy sees only a host name.
 */
import type { ClientRequest } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { ProxyError } from '../core/http/proxy-error.ts';

// As the command line has it (cli/http/node-http.ts): imported as an ES module it would load undici.
const { request: requestHttp } = process.getBuiltinModule('node:http');

export interface TunnelOptions {
  readonly proxy: URL;
  /** `NAME:PASSWORD`. */
  readonly credentials: string | undefined;
  /** The CAs for a proxy that is reached by https, PEM; called only then. Undefined: the system's. */
  readonly ca: () => string | string[] | undefined;
  /** The setting or variable that names the proxy, for messages. */
  readonly setting: string;
  readonly userAgent: string;
  readonly signal: AbortSignal;
}

/** @throws ProxyError when the proxy does not open one; the signal's error when that is aborted */
export async function openTunnel(target: URL, options: TunnelOptions): Promise<Socket> {
  const hostAndPort = `${target.hostname}:${target.port || '443'}`;
  const request = connect(hostAndPort, options);
  const opened = new Promise<{ status: number; socket: Socket; early: boolean }>((resolve, reject) => {
    request.on('error', reject).on('close', () => reject(new Error('closed without a response')));
    request.on('connect', ({ statusCode: status = 0 }, socket, head) => {
      socket.on('error', reject); // Until TLS has taken it over, nothing else listens.
      resolve({ status, socket, early: head.length > 0 });
    });
  });
  request.end();
  const facts = { proxy: options.proxy.host, target: hostAndPort, setting: options.setting };
  const { status, socket, early } = await opened.catch((cause: unknown) => {
    if (options.signal.aborted) throw cause;
    throw new ProxyError({ ...facts, code: 'PROXY_UNREACHABLE', detail: codeOf(cause) }, cause);
  });
  const accepted = status >= 200 && status < 300;
  if (accepted && !early) return socket;
  socket.destroy();
  // A TLS server never speaks first: data behind the 200 is the proxy's own.
  const detail = accepted ? 'an unexpected response' : String(status);
  throw new ProxyError({
    ...facts,
    code: status === 407 ? 'PROXY_AUTHENTICATION_REQUIRED' : 'PROXY_REFUSED',
    detail,
  });
}

function connect(hostAndPort: string, { proxy, credentials, ca, userAgent, signal }: TunnelOptions): ClientRequest {
  const options = {
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    method: 'CONNECT',
    path: hostAndPort,
    agent: false,
    signal,
    headers: {
      host: hostAndPort,
      'user-agent': userAgent,
      ...(credentials === undefined ? {} : { 'proxy-authorization': basic(credentials) }),
    },
  } as const;
  // Without it, Node would check the proxy's certificate against the destination's name. An address is no server name
  // (RFC 6066 §3).
  const servername = isIP(options.host) === 0 ? options.host : '';
  return proxy.protocol === 'https:'
    ? requestHttps({ ...options, port: proxy.port || 443, ca: ca(), servername, rejectUnauthorized: true })
    : requestHttp({ ...options, port: proxy.port || 80 });
}

/** RFC 7617. */
const basic = (credentials: string): string => `Basic ${Buffer.from(credentials).toString('base64')}`;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'connection failed';
