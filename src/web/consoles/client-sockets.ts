/**
 * The TCP sockets beneath the web listener's connections. A cut must reset, and neither Node's HTTP nor its TLS socket can: after `destroy()`
 * the browser still reads what was queued. Paired by the address that both share.
 */
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export class ClientSockets {
  readonly #raw = new Map<string, Socket>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      const key = addressOf(socket);
      this.#raw.set(key, socket);
      socket.once('close', () => {
        if (this.#raw.get(key) === socket) this.#raw.delete(key);
      });
    });
  }

  /** RST. Nothing that is queued goes out. Synchronous. */
  reset(socket: Duplex): void {
    this.#raw.get(addressOf(socket as Socket))?.resetAndDestroy();
    socket.destroy();
  }
}

const addressOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
