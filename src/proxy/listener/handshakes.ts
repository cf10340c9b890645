/**
 * TLS handshakes of a server, shared out over turns of the event loop.
 *
 * An attacker opens thousands of connections and then sends a ClientHello on each in one instant; any bytes of one
 * will do, again and again. Handling all in one turn takes longer than a lease, and the fence that follows cuts the
 * streams of every user. So only a few handshakes start in a turn, and then timers and the other sockets have
 * theirs.
 *
 * OpenSSL takes a ClientHello of 131 kB and holds 190 kB for it, and each connection that waits for its turn would be
 * read 64 kB ahead: 9,000 of them took 1.7 GB within two seconds. So one that is longer than any user's is not begun.
 */
import type { Server, Socket } from 'node:net';
import { createTurns, timeLimit } from '../../timing/timing.ts';
import { readerOf } from './shared-reading.ts';

const HANDSHAKES_PER_TURN = 16;
/** All that a client sends before it has a response. A browser's has 2 kB, with keys that withstand quantum computers. */
const MOST_FIRST_FLIGHT_BYTES = 16_384;

/**
 * @param startTls Node's own listener for new connections of a TLS server
 * @param firstByteMs how long a client may be silent; after that the server's own limit applies
 * @param onDropped called with a connection before it is closed
 * @returns a function for a connection that nothing has read from yet; the handshake starts in a turn after its
 *   first byte
 */
export function handshakesInTurns(
  startTls: (socket: Socket) => void,
  firstByteMs: number,
  onDropped: (reason: 'connection_silent' | 'handshake_too_large', socket: Socket) => void = () => undefined,
): (socket: Socket) => void {
  const turns = createTurns(HANDSHAKES_PER_TURN);
  const begin = (socket: Socket): void => {
    const reader = readerOf(socket);
    reader.stopReading();
    if (socket.readableLength > MOST_FIRST_FLIGHT_BYTES) {
      onDropped('handshake_too_large', socket);
      return void socket.destroy();
    }
    turns.do(() => {
      if (socket.destroyed) return;
      reader.goOnReading();
      startTls(socket);
    });
  };
  return (socket) => {
    // Until there is TLS over it nothing else listens, and an RST would end the process.
    socket.on('error', () => undefined);
    if (socket.readableLength > 0) return begin(socket);
    // In the kernel's queue it would take a turn all the same, and a silent connection could not be told from one
    // whose turn it is.
    const stop = timeLimit(firstByteMs, () => {
      onDropped('connection_silent', socket);
      socket.destroy();
    });
    socket.once('close', stop);
    socket.once('readable', () => {
      stop();
      socket.off('close', stop);
      // An end without a byte.
      if (socket.readableLength === 0) socket.destroy();
      else begin(socket);
    });
  };
}

/** Shares out the handshakes of a TLS server that has no other listener for its connections than Node's own. */
export function shareHandshakes(server: Server, firstByteMs: number): void {
  server.on('connection', handshakesInTurns(takeOver(server, 'connection'), firstByteMs));
}

/** Removes and returns the one listener that Node itself has added. */
export function takeOver(server: Server, event: 'connection' | 'secureConnection'): (socket: Socket) => void {
  const [listener, ...more] = server.listeners(event);
  if (listener === undefined || more.length > 0) throw new Error(`Node's server has no single listener for ${event}`);
  server.removeAllListeners(event);
  return (socket) => void listener.call(server, socket);
}
