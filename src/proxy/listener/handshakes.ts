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
 *
 * Nor is one before its ClientHello is whole (`client-hello.ts`). 15 bytes that begin one cost an attacker nothing, and
 * had their turn here, 70 kB, and a place among those whose second flight is awaited: a thousand in a second, and new
 * users waited three seconds or were reset.
 */
import type { Server, Socket } from 'node:net';
import { plainAddress, siteOf } from '../../core/http/address.ts';
import { createTurns, timeLimit } from '../../timing/timing.ts';
import { judgeClientHello } from './client-hello.ts';
import { readerOf } from '../../timing/reader.ts';

const HANDSHAKES_PER_TURN = 16;
/** A client writes its ClientHello at once, in segments of 500 bytes at least. Each piece costs a call of ours. */
const MOST_PIECES = 32;

type HandshakeDrop = 'connection_silent' | 'handshake_late' | 'handshake_failed' | 'handshake_too_large';

interface HandshakeOptions {
  /** How long a client may take for its ClientHello; after that the server's own limit applies. */
  readonly helloMs: number;
  /** Called with a connection before it is closed. */
  readonly onDropped?: (reason: HandshakeDrop, socket: Socket) => void;
  /**
   * Of its client. Of those that wait each site has its turn: one address that began 700 a second and went on with none
   * kept all new users waiting for seconds.
   */
  readonly siteOf: (socket: Socket) => string;
}

/**
 * @param startTls Node's own listener for new connections of a TLS server
 * @returns a function for a connection that nothing has read from yet; the handshake starts in a turn after its
 *   ClientHello. Until then nothing of that is in the socket's buffer, and all of it is once it waits for its turn
 */
export function handshakesInTurns(
  startTls: (socket: Socket) => void,
  { helloMs, onDropped = () => undefined, siteOf: siteOfClient }: HandshakeOptions,
): (socket: Socket) => void {
  const turns = createTurns(HANDSHAKES_PER_TURN);
  const begin = (socket: Socket): void => {
    const reader = readerOf(socket);
    reader.stopReading();
    turns.do(() => {
      if (socket.destroyed) return;
      reader.goOnReading();
      startTls(socket);
    }, siteOfClient(socket));
  };
  return (socket) => {
    let hello: Buffer = Buffer.alloc(0);
    let pieces = 0;
    const drop = (reason: HandshakeDrop): void => {
      release();
      onDropped(reason, socket);
      socket.destroy();
    };
    const leave = (): void => void socket.destroy();
    const read = (): void => {
      const piece = socket.read() as Buffer | null;
      if (piece === null) return;
      pieces += 1;
      hello = pieces === 1 ? piece : Buffer.concat([hello, piece]);
      const state = judgeClientHello(hello);
      if (state === 'whole') {
        release();
        socket.unshift(hello);
        begin(socket);
      } else if (state !== 'partial') drop(state === 'invalid' ? 'handshake_failed' : 'handshake_too_large');
      else if (pieces === MOST_PIECES) drop('handshake_too_large');
    };
    const stop = timeLimit(helloMs, () => drop(pieces === 0 ? 'connection_silent' : 'handshake_late'));
    const release = (): void => {
      stop();
      socket.off('readable', read).off('end', leave).off('close', release);
    };
    // Until there is TLS over it nothing else listens, and an RST would end the process.
    socket.on('error', () => undefined);
    // An end in the middle of it: Node leaves such a connection half open.
    socket.once('end', leave);
    socket.once('close', release);
    socket.on('readable', read);
    read();
  };
}

/** Shares out the handshakes of a TLS server that has no other listener for its connections than Node's own. */
export function shareHandshakes(server: Server, helloMs: number): void {
  const client = (socket: Socket): string => siteOf(plainAddress(socket.remoteAddress ?? ''));
  server.on('connection', handshakesInTurns(takeOver(server, 'connection'), { helloMs, siteOf: client }));
}

/** Removes and returns the one listener that Node itself has added. */
export function takeOver(server: Server, event: 'connection' | 'secureConnection'): (socket: Socket) => void {
  const [listener, ...more] = server.listeners(event);
  if (listener === undefined || more.length > 0) throw new Error(`Node's server has no single listener for ${event}`);
  server.removeAllListeners(event);
  return (socket) => void listener.call(server, socket);
}
