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

/** Those that are stopped. */
const held = new Set<Socket>();
let isHolding = false;

/** Runs whenever something has been read or written; while all is quiet the event loop waits as if there were nothing. */
function hold(): void {
  if (isHolding || held.size === 0) return;
  isHolding = true;
  setImmediate(() => {
    isHolding = false;
    for (const socket of held) {
      const handle = handleOf(socket);
      if (handle === null) held.delete(socket);
      else handle.readStop();
    }
    hold();
  }).unref();
}

/** Of each connection whose reads are handed over by someone, who keeps what was read already. */
const relays = new WeakMap<Socket, Reader>();

/** @returns what stops the connection, until it is told to go on, by whichever of its readers */
export function readerOf(socket: Socket): ClientReader {
  return {
    get bytesRead() {
      return socket.bytesRead;
    },
    stopReading: () => (relays.get(socket) ?? socketReader(socket)).stopReading(),
    goOnReading: () => (relays.get(socket) ?? socketReader(socket)).goOnReading(),
  };
}

/**
 * Has the readers of a connection stop and go on with who hands its reads over.
 * @returns what stops the connection itself
 */
export function relayedBy(socket: Socket, relay: Reader): Reader & { readonly wasStopped: boolean } {
  relays.set(socket, relay);
  return { ...socketReader(socket), wasStopped: held.has(socket) };
}

function socketReader(socket: Socket): Reader {
  return {
    stopReading: () => {
      handleOf(socket)?.readStop();
      held.add(socket);
      hold();
    },
    goOnReading: () => {
      held.delete(socket);
      const handle = handleOf(socket);
      if (handle?.reading === true) handle.readStart();
    },
  };
}

/**
 * Calls `note` for each read of a connection that Node serves over HTTP/1.1. Behind a record of TLS of
 * one byte is a call of Node's parser and of its server: a client without a credential sends line breaks before a request
 * on five hundred connections, 80 MB, and the turn that reads them takes two seconds. Node has no public way to see it; it
 * refreshes the connection's idle time at each, and at each write, which costs no share: thousands of watches have an event.
 */
export function noteEachRead(socket: Socket, note: (bytes: number) => void): void {
  const owner = socket as unknown as { _unrefTimer: () => void };
  const refresh = owner._unrefTimer.bind(socket);
  let { bytesRead } = socket;
  owner._unrefTimer = () => {
    refresh();
    if (socket.bytesRead === bytesRead) return;
    const bytes = socket.bytesRead - bytesRead;
    ({ bytesRead } = socket);
    note(bytes);
  };
}
