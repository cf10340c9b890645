/**
 * The address of a request's client: as the listener that accepted it reports, else the peer of its socket.
 * Forwarded headers are not read here.
 */
import type { IncomingMessage } from 'node:http';
import { plainAddress } from '../core/http/address.ts';

const addresses = new WeakMap<IncomingMessage, string>();

export function keepAddress(req: IncomingMessage, address: string): void {
  addresses.set(req, address);
}

export const clientAddress = (req: IncomingMessage): string =>
  addresses.get(req) ?? plainAddress(req.socket.remoteAddress ?? '');
