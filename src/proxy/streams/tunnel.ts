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
  /** RST, where the other side broke off: half a stream must not look like a whole one. */
  readonly resetClient: () => void;
  readonly resetUpstream: () => void;
}

interface Way {
  readonly from: Duplex;
  readonly to: Duplex;
  /** Takes note of a piece. False: it may not pass. */
  readonly take: (chunk: Buffer) => boolean;
  readonly resetTo: () => void;
}

/** Joins the two. Their `error` listeners and what else happens at their `close` are the caller's. */
export function joinSockets(options: TunnelOptions): void {
  const { client, upstream, mayPass } = options;
  const toUpstream = carrier({
    from: client,
    to: upstream,
    take: (chunk) => mayPass() && (options.fromClient(chunk), true),
    resetTo: options.resetUpstream,
  });
  const toClient = carrier({
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

/** @returns takes one piece from `from` to `to` */
function carrier({ from, to, take, resetTo }: Way): (chunk: Buffer) => void {
  from.on('end', () => to.end());
  from.on('close', () => {
    if (!from.readableEnded) {
      resetTo();
      return;
    }
    // Whichever closes last waits for nobody: a timer of its own would hold both sockets and what they have buffered.
    if (to.destroyed) return;
    // It may wait for room that will not come. What it still sends is dropped, so that its own end is seen.
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
