/**
 * An IP address as people and rules write it: an IPv4 peer of a dual-stack listener without its IPv6 dress (RFC 4291 §2.5.5.2), so that
 * the record, rate limits and refusals see one address for one peer.
 */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');
