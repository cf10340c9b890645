/**
 * Stops reading a connection, so that what a client sends stays in the kernel, which takes no more than a window of it.
 *
 * Node has no public way to do so over HTTP/2, and goes on by itself once it has written something: an attacker whose
 * connection waits has 240 requests answered, and the next thirty thousand pieces of a body came in one turn. A write ends
 * before the immediates of its turn and after what the turn reads, so in each turn what is stopped is stopped once more.
 */
import type { Socket } from 'node:net';

/** A connection whose reading can be stopped. */
export interface Reader {
  stopReading(): void;
  goOnReading(): void;
}

/** One of a client. */
export interface ClientReader extends Reader {
  /** So far. */
  readonly bytesRead: number;
}

/** Node's own part of a socket, which its servers for both versions of HTTP read from without the stream over it. */
interface Handle {
  /** What Node wants; it stops by itself while a client does not read its responses. */
  readonly reading: boolean;
  readStop(): void;
  readStart(): void;
}

/** Null once the socket is destroyed. */
const handleOf = (socket: Socket): Handle | null => (socket as unknown as { readonly _handle: Handle | null })._handle;

const stopped = new Set<Socket>();
let isHolding = false;

/** Runs whenever something has been read or written; while all is quiet the event loop waits as if there were nothing. */
function hold(): void {
  if (isHolding || stopped.size === 0) return;
  isHolding = true;
  setImmediate(() => {
    isHolding = false;
    for (const socket of stopped) {
      const handle = handleOf(socket);
      if (handle === null) stopped.delete(socket);
      else handle.readStop();
    }
    hold();
  }).unref();
}

/** @returns what stops the connection, until it is told to go on, by whichever of its readers */
export function readerOf(socket: Socket): ClientReader {
  return {
    get bytesRead() {
      return socket.bytesRead;
    },
    stopReading: () => {
      handleOf(socket)?.readStop();
      stopped.add(socket);
      hold();
    },
    goOnReading: () => {
      stopped.delete(socket);
      const handle = handleOf(socket);
      if (handle?.reading === true) handle.readStart();
    },
  };
}
