/** A tunnel through the proxy of the environment, and TLS with the server inside it. */
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { AppError } from '../../core/errors.ts';
import { ProxyError } from '../../core/http/proxy-error.ts';
import { proxyCredentials } from '../../core/http/proxy-url.ts';
import { openTunnel as openProxyTunnel } from '../../egress/tunnel.ts';
import { cliError } from '../errors.ts';
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
export async function openTunnel(proxy: URL, target: URL, { signal, trustedCas }: TunnelOptions): Promise<Duplex> {
  const credentials = proxyCredentials(proxy);
  const how = { proxy, credentials, ca: trustedCas, setting: 'HTTPS_PROXY', userAgent: USER_AGENT, signal };
  return openProxyTunnel(target, how).catch((error: unknown) => {
    throw error instanceof ProxyError ? rejection(proxy, target, error) : error;
  });
}

/** Opens TLS with the server itself, through the proxy's tunnel. */
export function insideTunnel(socket: Duplex, url: URL, tls: ConnectionOptions): TLSSocket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // An address is no server name (RFC 6066 §3); the certificate is checked against `host` then.
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ ...tls, socket, host, ...servername, ALPNProtocols: ['http/1.1'] });
}

function rejection(proxy: URL, target: URL, { code, detail, cause }: ProxyError): AppError {
  if (code === 'PROXY_UNREACHABLE') {
    return cliError(
      'upstream_unavailable',
      `The proxy ${proxy.host} of HTTPS_PROXY cannot be reached (${detail}).`,
      `correct HTTPS_PROXY, or add ${target.hostname} to NO_PROXY if it is reached without a proxy`,
      { reason: 'proxy_unreachable', cause },
    );
  }
  const needsPassword = code === 'PROXY_AUTHENTICATION_REQUIRED';
  return cliError(
    'upstream_unavailable',
    `The proxy ${proxy.host} does not connect to ${target.host} (${detail}).`,
    needsPassword
      ? 'put its name and password into HTTPS_PROXY: http://NAME:PASSWORD@HOST:PORT'
      : `ask the proxy’s operator to let ${target.host} through, or add ${target.hostname} to NO_PROXY`,
    { reason: needsPassword ? 'proxy_authentication_required' : 'proxy_refused' },
  );
}
