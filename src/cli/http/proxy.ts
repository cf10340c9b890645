/** The proxy through which an address is reached, if any: by the rules of Go, so that kubectl takes the same route. */
import { parseProxyUrl } from '../../core/http/proxy-url.ts';
import { isProxied } from '../../egress/no-proxy.ts';
import type { NetworkEnvironment } from '../environment.ts';
import { cliError } from '../errors.ts';

type ProxyEnvironment = Pick<NetworkEnvironment, 'httpsProxy' | 'noProxy'>;

/**
 * @param target https, or http on loopback
 * @returns undefined for a direct connection
 * @throws AppError `bad_request` for a proxy that cannot be used; a direct connection could be forbidden there
 */
export function proxyFor(target: URL, { httpsProxy, noProxy }: ProxyEnvironment): URL | undefined {
  if (httpsProxy === undefined || !isProxied(target, noProxy)) return undefined;
  const proxy = parseProxyUrl(httpsProxy);
  if (proxy.ok) return proxy.value;
  // The value is not repeated: it may hold a password.
  throw cliError(
    'bad_request',
    `HTTPS_PROXY ${proxy.reason}.`,
    'set it to http://HOST:PORT, or add the server to NO_PROXY',
    { reason: 'proxy_unusable' },
  );
}
