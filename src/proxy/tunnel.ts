/**
 * Two sockets joined byte by byte after a 101: back pressure both ways, a check before every piece, and half-closes passed on.
 */
import type { Duplex } from 'node:stream';

/** A peer that does not close after the other side has is not waited for longer than this. */
const CLOSE_GRACE_MS = 30_000;

export interface TunnelOptions {
  readonly client: Duplex;
  readonly upstream: Duplex;
  /** Bytes that came behind the heads. */
  readonly clientHead: Buffer;
  readonly upstreamHead: Buffer;
  /** Asked in the tick that hands a piece to a socket. False: it was cut, and the piece is dropped. */
  readonly mayPass: () => boolean;
  readonly fromClient: (chunk: Buffer) => void;
  readonly fromUpstream: (chunk: Buffer) => void;
}

/** Joins the two. Their `error` listeners and what happens at their `close` are the caller's. */
export function joinSockets(options: TunnelOptions): void {
  const { client, upstream, mayPass } = options;
  const toUpstream = carrier(client, upstream, (chunk) => mayPass() && (options.fromClient(chunk), true));
  const toClient = carrier(upstream, client, (chunk) => mayPass() && (options.fromUpstream(chunk), true));
  if (options.upstreamHead.length > 0) toClient(options.upstreamHead);
  if (options.clientHead.length > 0) toUpstream(options.clientHead);
  client.on('data', toUpstream);
  upstream.on('data', toClient);
}

/** @returns takes one piece from `from` to `to` */
function carrier(from: Duplex, to: Duplex, take: (chunk: Buffer) => boolean): (chunk: Buffer) => void {
  from.on('end', () => to.end());
  from.on('close', () => {
    if (!from.readableEnded) {
      to.destroy();
      return;
    }
    const timer = setTimeout(() => to.destroy(), CLOSE_GRACE_MS);
    timer.unref();
    to.once('close', () => clearTimeout(timer));
  });
  to.on('drain', () => from.resume());
  return (chunk) => {
    if (!take(chunk) || to.writableEnded || to.destroyed) return;
    if (!to.write(chunk)) from.pause();
  };
}
