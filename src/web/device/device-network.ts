/** Whether two addresses belong to one network, for `sessions.deviceCode: sameNetwork`. */
import { BlockList, isIP } from 'node:net';

/** What one site usually has: an IPv4 /24, an IPv6 /56 (RFC 6177 §2). An address that is none is in no network. */
export function sameNetwork(left: string, right: string): boolean {
  const [one = ''] = left.split('%');
  const [other = ''] = right.split('%');
  const family = isIP(one);
  if (family === 0 || family !== isIP(other)) return false;
  const [prefix, type] = family === 4 ? ([24, 'ipv4'] as const) : ([56, 'ipv6'] as const);
  const network = new BlockList();
  network.addSubnet(one, prefix, type);
  return network.check(other, type);
}
