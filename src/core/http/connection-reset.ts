/**
 * The one way to end a connection by an RST (RFC 9293 §3.5.3), so that nothing that is queued goes out; and whether
 * anything is.
 */

/** The parts of a socket of Node that are used here: of a TLS socket, or of a TCP socket. */
interface ConnectionSocket {
  readonly connecting: boolean;
  readonly writableEnded: boolean;
  readonly writableLength: number;
  readonly writableFinished: boolean;
  destroy(): unknown;
}
/** The parts of its handles; none of it is public. */
interface TcpHandle {
  close(done: () => void): void;
  reset?(done: () => void): void;
  readStop?(): void;
  readonly bytesWritten?: number;
  /** Bytes. */
  readonly writeQueueSize?: number;
}
interface SocketWithHandle {
  readonly _handle?: (TcpHandle & { readonly _parent?: TcpHandle }) | null;
}

/**
 * True from `end()` until the system has taken the last bytes. libuv refuses a reset then (EINVAL); Node takes the
 * socket for closed all the same, and it stays open permanently, with its memory. What its client sends next is read
 * into a TLS session that is freed already, which crashes the process (measured on Node 24.21). An attacker keeps a
 * connection in that state by reading nothing. So it is closed instead: its end had been sent, and only what the
 * system took before can still be read.
 */
const isShuttingDown = ({ writableEnded, writableLength, writableFinished }: ConnectionSocket): boolean =>
  writableEnded && writableLength === 0 && !writableFinished;

/**
 * True until the TCP connection is there, and nothing has been sent on it. Libuv refuses a reset while the name of the
 * server is looked up (EBADF), and Node takes the socket for closed, with the same end: users who leave the page of a
 * console in that moment leave a socket behind each, and the process does not exit. So it is closed.
 */
const isConnecting = ({ connecting }: ConnectionSocket): boolean => connecting;

/**
 * TLS passes on at least ten buffers of 16 kB of what it has encrypted at once, and counts them until the next turn of
 * the event loop. So if it has no more than this, all of it has been given to TCP.
 */
const TLS_AT_ONCE = 65_536;

/**
 * True if the system has not taken all that was written to a connection: the rest lies in this process. By the handles,
 * because HTTP/2 writes past the socket. On a Node that does not tell, it is never so, and the tests of the wire fail
 * (test/integration/http2-cut.test.ts).
 * @param socket what the connection is written to: the TLS socket, or the TCP socket where there is no TLS
 */
export function holdsBytes(socket: object): boolean {
  const { _handle: handle } = socket as SocketWithHandle;
  const tcp = handle?._parent;
  if (tcp === undefined) return (handle?.writeQueueSize ?? 0) > 0;
  return (tcp.writeQueueSize ?? 0) > 0 || (handle?.writeQueueSize ?? 0) > TLS_AT_ONCE;
}

/** @returns bytes that were ever given to TCP, and how many of these the system has not taken yet */
export function handedToTcp(socket: object): { readonly handed: number; readonly queued: number } {
  const { _handle: handle } = socket as SocketWithHandle;
  const { bytesWritten: handed = 0, writeQueueSize: queued = 0 } = handle?._parent ?? handle ?? {};
  return { handed, queued };
}

/**
 * Resets a connection. Synchronous: nothing is read from it, or written to it, after this. Without effect on one that
 * is closed; a socket that has no RST, as a Unix socket, is closed.
 *
 * Node's own `resetAndDestroy()` throws on a TLS socket. On the TCP socket beneath, it frees the TLS session while that
 * may be reading: within `secureConnection` that crashes the process too. So the handle at the bottom is made to close
 * by an RST. On a Node that has no such handle the connection ends by a FIN, and the tests of the wire fail
 * (test/integration/proxy.test.ts).
 * @param socket what the connection is written to: the TLS socket, or the TCP socket where there is no TLS
 */
export function resetConnection(socket: ConnectionSocket): void {
  const { _handle: handle } = socket as SocketWithHandle;
  const tcp = handle?._parent ?? handle;
  const isRefused = isConnecting(socket) || isShuttingDown(socket);
  if (typeof tcp?.reset === 'function' && !isRefused) tcp.close = (done) => tcp.reset?.(done);
  socket.destroy();
}

/** How a connection can be closed, once Node closes its socket. One of the two is to be called, once. */
export interface Closing {
  /** The system sends what it has, and keeps it until the other side has taken it. */
  readonly close: () => void;
  /**
   * RST: the system drops it. Where the socket has ended, not to be called while bytes are queued, nor in the same turn:
   * libuv refuses it (`isShuttingDown`).
   */
  readonly reset: () => void;
  /** Bytes that were ever written. */
  readonly written: number;
  /** Bytes of these that lie in this process, and will never be sent. */
  readonly queued: number;
}

/**
 * Sets how a connection closes once Node closes its socket, in place of at once: nothing is read from it then, and
 * `close` of the socket comes after it. A reset (`resetConnection`) is at once all the same. Without effect on a Node
 * that has no such handle, and the tests of the wire fail (test/security/connection-limit.test.ts).
 * @param socket the TCP socket
 */
export function closesBy(socket: ConnectionSocket, closing: (closing: Closing) => void): void {
  const { _handle: handle } = socket as SocketWithHandle;
  if (typeof handle?.reset !== 'function' || typeof handle.readStop !== 'function') return;
  const close = handle.close.bind(handle);
  const reset = handle.reset.bind(handle);
  handle.close = (done) => {
    handle.readStop?.();
    const { bytesWritten: written = 0, writeQueueSize: queued = 0 } = handle;
    closing({ close: () => close(done), reset: () => reset(done), written, queued });
  };
}
