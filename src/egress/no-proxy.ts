/**
 * Which destinations are reached through a proxy. The rules are those of Go's net/http, so that kubectl, the command
 * line and the server take the same route. Node's own rules know no CIDR, and treat subdomains differently.
 * @see https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
 */
import { BlockList, isIP } from 'node:net';
import { isLoopback } from '../core/http/address.ts';

/**
 * @param target https, or http on loopback
 * @param noProxy `NO_PROXY` as it is written
 */
export function isProxied(target: URL, noProxy: string): boolean {
  if (isLoopback(target.hostname)) return false;
  const host = target.hostname.replace(/^\[|\]$/g, '');
  const port = target.port || '443';
  return !noProxy
    .split(',')
    .map((item) => item.trim().toLowerCase())
    .some((item) => matches(item, host, port));
}

/**
 * Matches one item of `NO_PROXY`: `*`, a CIDR, an address or a name, the last two with an optional port. A name
 * covers its subdomains, and one with a leading dot covers only those.
 */
function matches(item: string, host: string, port: string): boolean {
  if (item === '*') return true;
  const [, network = '', bits] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(item) ?? [];
  if (bits !== undefined) return isWithin(host, network, Number(bits));
  const { name, port: only } = splitPort(item);
  if (name === '' || (only !== '' && only !== port)) return false;
  if (isIP(name) !== 0) return isWithin(host, name, isIP(name) === 4 ? 32 : 128);
  const suffix = name.startsWith('*.') ? name.slice(1) : name;
  return suffix.startsWith('.') ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}

function splitPort(item: string): { readonly name: string; readonly port: string } {
  if (isIP(item) !== 0) return { name: item, port: '' };
  const bracketed = /^\[([^\]]*)\](?::(\d*))?$/.exec(item);
  const [, name = '', port = ''] = bracketed ?? /^([^:]*)(?::(\d*))?$/.exec(item) ?? [];
  return { name, port };
}

function isWithin(host: string, network: string, bits: number): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || bits > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, bits, type);
  return list.check(host, type);
}
