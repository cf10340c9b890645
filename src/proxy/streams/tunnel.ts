/**
 * Two sockets joined byte by byte after a 101: back pressure both ways, a check before every piece, and half-closes
 * passed on.
 */
import type { Duplex } from 'node:stream';

/** How long a peer that does not close after the other side has is waited for. */
const CLOSE_GRACE_MS = 30_000;

export interface TunnelOptions {
  readonly client: Duplex;
  readonly upstream: Duplex;
  /** Bytes that came after the heads. */
  readonly clientHead: Buffer;
  readonly upstreamHead: Buffer;
  /** Called in the tick that writes a piece to a socket. False: it was cut, and the piece is dropped. */
  readonly mayPass: () => boolean;
  readonly fromClient: (chunk: Buffer) => void;
  readonly fromUpstream: (chunk: Buffer) => void;
  /** RST, if the other side broke off: half a stream must not look like a whole one. */
  readonly resetClient: () => void;
  readonly resetUpstream: () => void;
}

interface Direction {
  readonly from: Duplex;
  readonly to: Duplex;
  /** Takes note of a piece. False: it may not pass. */
  readonly take: (chunk: Buffer) => boolean;
  readonly resetTo: () => void;
}

/** Joins the two sockets. Their `error` listeners and everything else at their `close` are the caller's. */
export function joinSockets(options: TunnelOptions): void {
  const { client, upstream, mayPass } = options;
  const toUpstream = carry({
    from: client,
    to: upstream,
    take: (chunk) => mayPass() && (options.fromClient(chunk), true),
    resetTo: options.resetUpstream,
  });
  const toClient = carry({
    from: upstream,
    to: client,
    take: (chunk) => mayPass() && (options.fromUpstream(chunk), true),
    resetTo: options.resetClient,
  });
  if (options.upstreamHead.length > 0) toClient(options.upstreamHead);
  if (options.clientHead.length > 0) toUpstream(options.clientHead);
  client.on('data', toUpstream);
  upstream.on('data', toClient);
}

/** @returns a function that passes one piece from `from` to `to` */
function carry({ from, to, take, resetTo }: Direction): (chunk: Buffer) => void {
  from.on('end', () => to.end());
  from.on('close', () => {
    if (!from.readableEnded) {
      resetTo();
      return;
    }
    // The side that closes last has nothing to wait for: its own timer would hold both sockets and their buffers.
    if (to.destroyed) return;
    // It may wait for buffer space that will not come. Whatever it still sends is dropped, so that its end is seen.
    to.resume();
    const timer = setTimeout(() => to.destroy(), CLOSE_GRACE_MS);
    timer.unref();
    to.once('close', () => clearTimeout(timer));
  });
  to.on('drain', () => from.resume());
  return (chunk) => {
    if (to.writableEnded || to.destroyed || !take(chunk)) return;
    if (!to.write(chunk)) from.pause();
  };
}
