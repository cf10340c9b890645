/**
 * The location of a device, as far as its address proves it, for a user who is about to allow it.
 *
 * An attacker talks a user into allowing the attacker's device, and the page says that it is near. So the page
 * states nothing that an address does not prove: a private one may be that of a load balancer, behind which is the
 * whole internet.
 */
import { BlockList, isIP } from 'node:net';
import { bucketOf } from '../../core/http/address.ts';

function networks(...cidrs: readonly (readonly [string, number, 'ipv4' | 'ipv6'])[]): BlockList {
  const list = new BlockList();
  for (const [net, prefix, type] of cidrs) list.addSubnet(net, prefix, type);
  return list;
}

const LOOPBACK = networks(['127.0.0.0', 8, 'ipv4'], ['::1', 128, 'ipv6']);

/** RFC 1918, RFC 6598 (shared by the customers of one provider), RFC 3927, RFC 4193, RFC 4291 §2.5.6. */
const PRIVATE = networks(
  ['10.0.0.0', 8, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['fc00::', 7, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
);

/**
 * Addresses that no host has: "this network", multicast and reserved (RFC 6890). Of IPv6, all but global unicast
 * (RFC 4291 §2.4).
 */
const UNASSIGNED = networks(['0.0.0.0', 8, 'ipv4'], ['224.0.0.0', 3, 'ipv4']);
const GLOBAL_IPV6 = networks(['2000::', 3, 'ipv6']);

interface Addresses {
  /** Address of the device, as our listener saw it. */
  readonly device: string;
  /** Address of this browser; undefined where only a proxy's address is seen. */
  readonly browser: string | undefined;
  /** Portcullis has a loopback URL, so the user of this page is at the same computer. */
  readonly local: boolean;
}

/** @returns a text that follows the address; undefined where nothing is known */
export function describeLocation({ device, browser, local }: Addresses): string | undefined {
  const [address = ''] = device.split('%');
  const family = isIP(address);
  if (family === 0) return undefined;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const isIn = (list: BlockList): boolean => list.check(address, type);
  if (isIn(LOOPBACK)) return local ? 'this computer' : undefined;
  if (isIn(PRIVATE)) return 'a private network, or a load balancer in front of Portcullis';
  if (isIn(UNASSIGNED) || (family === 6 && !isIn(GLOBAL_IPV6))) return undefined;
  if (browser === address) return 'the internet, from the same address as this browser';
  const near = family === 6 && browser !== undefined && bucketOf(browser) === bucketOf(address);
  return near ? 'the internet, from the same network as this browser' : 'the internet';
}

/**
 * Whether two addresses belong to one network, for `sessions.deviceCode: sameNetwork`. A network is what one site
 * usually has: an IPv4 /24, an IPv6 /56 (RFC 6177 §2). Something that is not an IP address is in no network.
 */
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
