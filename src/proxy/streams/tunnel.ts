/**
 * A client and an API server joined byte by byte after a 101: back pressure both ways, a check before every piece, and
 * half-closes passed on.
 */
import type { Duplex } from 'node:stream';
import { ifWritten } from '../listener/client.ts';
import type { Slab } from '../upstream/slab.ts';

/** How long a peer that does not close after the other side has is waited for. */
const CLOSE_GRACE_MS = 30_000;

/** Asks a side to send no more for now, and to go on. */
interface Flow {
  pause(): void;
  resume(): void;
}

export interface TunnelOptions {
  readonly client: Duplex;
  /** Takes what the client sends. What the API server sends comes by the function that is returned. */
  readonly upstream: Duplex;
  readonly upstreamFlow: Flow;
  /** Bytes that came after the client's head. */
  readonly clientHead: Buffer;
  /** Called in the tick that writes a piece to a socket. False: it was cut, and the piece is dropped. */
  readonly mayPass: () => boolean;
  readonly fromClient: (chunk: Buffer) => void;
  readonly fromUpstream: (chunk: Buffer) => void;
  /** RST, if the other side broke off: half a stream must not look like a whole one. */
  readonly resetClient: () => void;
  readonly resetUpstream: () => void;
  /** Called when the client has left what the API server has not taken. Returns what is to be called once that is over. */
  readonly clientLeft: () => () => void;
}

/** @param slab the memory of the piece, which is used again once it is written; undefined: it is the tunnel's own */
type Pass = (piece: Buffer, slab?: Slab) => void;

interface Side {
  readonly socket: Duplex;
  readonly flow: Flow;
  readonly reset: () => void;
  /** Called when it is left alone. Returns what is to be called once it has closed. */
  readonly left?: () => () => void;
  /** Ends it where it has not taken what was left for it. */
  readonly giveUp: () => void;
}

/**
 * Joins the two. Their `error` listeners and everything else at their `close` are the caller's.
 * @returns a function that passes a piece of the API server's to the client
 */
export function joinSockets(options: TunnelOptions): Pass {
  const { clientHead, mayPass, fromClient, fromUpstream } = options;
  const { resetClient: reset, resetUpstream } = options;
  // What a slow client has not read yet, the system sends without us.
  const client = { socket: options.client, flow: options.client, reset, giveUp: () => void options.client.destroy() };
  // An attacker sends 4 MB to a pod that does not read, and leaves: the system would keep them for minutes, of a socket
  // that is no one's any more.
  const upstream = {
    socket: options.upstream,
    flow: options.upstreamFlow,
    reset: resetUpstream,
    left: options.clientLeft,
    giveUp: resetUpstream,
  };
  const toUpstream = carry(client, upstream, (piece) => mayPass() && (fromClient(piece), true));
  const toClient = carry(upstream, client, (piece) => mayPass() && (fromUpstream(piece), true));
  if (clientHead.length > 0) toUpstream(clientHead);
  options.client.on('data', (piece: Buffer) => toUpstream(piece));
  return toClient;
}

/**
 * @param take takes note of a piece. False: it may not pass
 * @returns a function that passes one piece from `from` to `to`
 */
function carry(from: Side, to: Side, take: (piece: Buffer) => boolean): Pass {
  from.socket.on('end', () => to.socket.end());
  from.socket.on('close', () => {
    if (!from.socket.readableEnded) {
      to.reset();
      return;
    }
    // The side that closes last has nothing to wait for: its own timer would hold both sockets and their buffers.
    if (to.socket.destroyed) return;
    // It may wait for buffer space that will not come. Whatever it still sends is dropped, so that its end is seen.
    to.flow.resume();
    const timer = setTimeout(() => to.giveUp(), CLOSE_GRACE_MS);
    timer.unref();
    const closed = to.left?.();
    to.socket.once('close', () => {
      clearTimeout(timer);
      closed?.();
    });
  });
  to.socket.on('drain', () => from.flow.resume());
  return (piece, slab) => {
    if (to.socket.writableEnded || to.socket.destroyed || !take(piece)) return;
    if (!to.socket.write(piece, ifWritten(to.socket, slab?.hold()))) from.flow.pause();
  };
}
