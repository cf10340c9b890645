/**
 * Returns an IP address as users and rules write it: an IPv4 peer of a dual-stack listener without its IPv6 prefix
 * (RFC 4291 §2.5.5.2), so that the audit log, rate limits and rejections see one address for one peer.
 */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

/** Returns true for `localhost` and the loopback addresses, as a URL's `hostname` has them. */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);

/**
 * Returns the network that limits count as one address: one household or host usually has a whole IPv6 /64 (RFC
 * 6177 §2).
 * @param address as sockets report it
 */
export const bucketOf = (address: string): string => prefixOf(address, 64);

/**
 * Returns the network of a whole site: an IPv6 /48, the largest that anyone is given on request (RFC 6177 §2); an
 * IPv4 address by itself.
 * @param address as sockets report it
 */
export const siteOf = (address: string): string => prefixOf(address, 48);

function prefixOf(address: string, bits: 48 | 64): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    while (groups.length + rest.length < 8) groups.push('0');
    groups.push(...rest);
  }
  return `${groups
    .slice(0, bits / 16)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/${bits}`;
}
