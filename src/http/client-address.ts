/**
 * The client's address. Behind an ingress every connection comes from the ingress, and `X-Forwarded-For` has the
 * address of the client.
 *
 * An attacker writes that header and so chooses the address that the audit log shows and that every limit
 * counts. So we read it only on a connection from one of `listen.trustedProxies` that came without TLS, because a
 * proxy that passes TLS on writes no header. And we read it from its end, where each proxy adds the address that it
 * saw, up to the first address that is not a proxy's. The addresses before that one came with the request and prove
 * nothing.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { plainAddress } from '../core/http/address.ts';

export interface ClientAddress {
  readonly address: string;
  /** True for the address of a proxy in front of us: all clients share it, so no limit may count by it. */
  readonly shared?: true;
}

export type ClientAddressOf = (req: IncomingMessage) => ClientAddress;

export interface ClientAddressOptions {
  readonly publicUrl: string;
  /** Absent: no proxy is trusted. */
  readonly isTrustedProxy?: (address: string) => boolean;
}

const peerOf = ({ socket }: IncomingMessage): string => plainAddress(socket.remoteAddress ?? '');

/** The address of the socket's peer, whatever the headers say. */
export const socketAddress: ClientAddressOf = (req) => ({ address: peerOf(req) });

/** Returns the function that finds the client's address of each request. */
export function clientAddresses({ publicUrl, isTrustedProxy = () => false }: ClientAddressOptions): ClientAddressOf {
  const isPlainSite = new URL(publicUrl).protocol === 'http:';
  return (req) => {
    const peer = peerOf(req);
    const isTls = 'encrypted' in req.socket;
    if (!isTrustedProxy(peer)) return isTls || isPlainSite ? { address: peer } : { address: peer, shared: true };
    const address = isTls ? undefined : forwardedFor(req, isTrustedProxy);
    return address === undefined ? { address: peer, shared: true } : { address };
  };
}

/**
 * Returns the nearest address that is not a proxy's; undefined where there is none, or where the text is not an
 * address.
 */
function forwardedFor(req: IncomingMessage, isProxy: (address: string) => boolean): string | undefined {
  const hops = (req.headersDistinct['x-forwarded-for'] ?? []).flatMap((line) => line.split(','));
  const nearest = hops
    .map((hop) => plainAddress(hop.trim()))
    .findLast((address) => isIP(address) === 0 || !isProxy(address));
  return nearest === undefined || isIP(nearest) === 0 ? undefined : nearest;
}
