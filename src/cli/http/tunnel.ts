/**
 * A tunnel through a proxy (RFC 9110 §9.3.6). TLS runs end to end inside it: the session's certificate reaches the
 * server, and the proxy sees only a host name.
 */
import type { ClientRequest } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { AppError } from '../../core/errors.ts';
import { cliError } from '../errors.ts';
import { request as requestHttp } from './node-http.ts';
import { codeOf } from '../session/private-files.ts';
import { USER_AGENT } from './version.ts';

interface TunnelOptions {
  readonly signal: AbortSignal;
  /** The CAs for a proxy that is reached by https, PEM; called only then, because reading them takes long. */
  readonly trustedCas: () => string[];
}

/**
 * @throws AppError `upstream_unavailable` when the proxy does not open one; the message holds none of its
 *   credentials
 */
export async function openTunnel(proxy: URL, target: URL, options: TunnelOptions): Promise<Duplex> {
  const request = connect(proxy, `${target.hostname}:${target.port || '443'}`, options);
  const opened = new Promise<{ status: number; socket: Duplex; early: boolean }>((resolve, reject) => {
    request.on('error', reject).on('close', () => reject(new Error('closed without a response')));
    request.on('connect', ({ statusCode: status = 0 }, socket, head) => {
      socket.on('error', reject); // Until TLS has taken it over, nothing else listens.
      resolve({ status, socket, early: head.length > 0 });
    });
  });
  request.end();
  try {
    const { status, socket, early } = await opened;
    const accepted = status >= 200 && status < 300;
    if (accepted && !early) return socket;
    socket.destroy();
    // A TLS server never speaks first: data behind the 200 is the proxy's own.
    throw proxyRejection(proxy, target, accepted ? 'an unexpected response' : String(status));
  } catch (cause) {
    if (cause instanceof AppError || options.signal.aborted) throw cause;
    throw cliError(
      'upstream_unavailable',
      `The proxy ${proxy.host} of HTTPS_PROXY cannot be reached (${codeOf(cause) ?? 'connection failed'}).`,
      `correct HTTPS_PROXY, or add ${target.hostname} to NO_PROXY if it is reached without a proxy`,
      { reason: 'proxy_unreachable', cause },
    );
  }
}

/** Opens TLS with the server itself, through the proxy's tunnel. */
export function insideTunnel(socket: Duplex, url: URL, tls: ConnectionOptions): TLSSocket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // An address is no server name (RFC 6066 §3); the certificate is checked against `host` then.
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ ...tls, socket, host, ...servername, ALPNProtocols: ['http/1.1'] });
}

function connect(proxy: URL, hostAndPort: string, { signal, trustedCas }: TunnelOptions): ClientRequest {
  const credentials = proxy.username === '' && proxy.password === '' ? undefined : basic(proxy);
  const options = {
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    method: 'CONNECT',
    path: hostAndPort,
    agent: false,
    signal,
    headers: {
      host: hostAndPort,
      'user-agent': USER_AGENT,
      ...(credentials === undefined ? {} : { 'proxy-authorization': credentials }),
    },
  } as const;
  // Without it, Node would check the proxy's certificate against the server's name. An address is no server name
  // (RFC 6066 §3).
  const servername = isIP(options.host) === 0 ? options.host : '';
  return proxy.protocol === 'https:'
    ? requestHttps({ ...options, port: proxy.port || 443, ca: trustedCas(), servername, rejectUnauthorized: true })
    : requestHttp({ ...options, port: proxy.port || 80 });
}

/** RFC 7617. */
const basic = ({ username, password }: URL): string =>
  `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}`;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // An unescaped %.
  }
}

function proxyRejection(proxy: URL, target: URL, response: string): AppError {
  const next =
    response === '407'
      ? 'put its name and password into HTTPS_PROXY: http://NAME:PASSWORD@HOST:PORT'
      : `ask the proxy’s operator to let ${target.host} through, or add ${target.hostname} to NO_PROXY`;
  return cliError(
    'upstream_unavailable',
    `The proxy ${proxy.host} does not connect to ${target.host} (${response}).`,
    next,
    {
      reason: response === '407' ? 'proxy_authentication_required' : 'proxy_refused',
    },
  );
}
