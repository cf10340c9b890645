/**
 * Where the browser behind a request is. Behind an ingress every connection comes from the ingress, and who is behind it stands in
 * `X-Forwarded-For`.
 *
 * Threat: anybody can write that header, and chooses by it under which address the record and every limit know them. So it is read only on a
 * connection from one of `listen.trustedProxies` that came without TLS, since what passes TLS on has written no header; and from its end,
 * where each proxy adds whom it saw, up to the first address that is no proxy's. What stands before that came with the request.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { plainAddress } from '../core/http/address.ts';

export interface ClientAddress {
  readonly address: string;
  /** It is that of what stands in front of us: everybody has it, so nothing may be held against it. */
  readonly shared?: true;
}

export type ClientAddressOf = (req: IncomingMessage) => ClientAddress;

export interface InFront {
  readonly publicUrl: string;
  /** Absent: nobody is believed. */
  readonly isTrustedProxy?: (address: string) => boolean;
}

const peerOf = ({ socket }: IncomingMessage): string => plainAddress(socket.remoteAddress ?? '');

/** The peer of the socket, whatever is said. */
export const socketAddress: ClientAddressOf = (req) => ({ address: peerOf(req) });

export function clientAddresses({ publicUrl, isTrustedProxy = () => false }: InFront): ClientAddressOf {
  const isPlainSite = new URL(publicUrl).protocol === 'http:';
  return (req) => {
    const peer = peerOf(req);
    const isTls = 'encrypted' in req.socket;
    if (!isTrustedProxy(peer)) return isTls || isPlainSite ? { address: peer } : { address: peer, shared: true };
    const address = isTls ? undefined : forwardedFor(req, isTrustedProxy);
    return address === undefined ? { address: peer, shared: true } : { address };
  };
}

/** The nearest address that is no proxy's; undefined where there is none, or what stands there is no address. */
function forwardedFor(req: IncomingMessage, isProxy: (address: string) => boolean): string | undefined {
  const hops = (req.headersDistinct['x-forwarded-for'] ?? []).flatMap((line) => line.split(','));
  const nearest = hops
    .map((hop) => plainAddress(hop.trim()))
    .findLast((address) => isIP(address) === 0 || !isProxy(address));
  return nearest === undefined || isIP(nearest) === 0 ? undefined : nearest;
}
