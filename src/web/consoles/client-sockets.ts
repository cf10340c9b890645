/**
 * The web listener's connections: what is still to be answered on one, and the TCP sockets beneath. A cut must reset, and neither Node's HTTP
 * nor its TLS socket can: after `destroy()` the browser still reads what was queued. Paired by the address that both share.
 */
import type { ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export class ClientSockets {
  readonly #raw = new Map<string, Socket>();
  readonly #open = new WeakMap<Duplex, Map<() => void, ServerResponse>>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      const key = addressOf(socket);
      this.#raw.set(key, socket);
      socket.once('close', () => {
        if (this.#raw.get(key) === socket) this.#raw.delete(key);
      });
    });
  }

  /**
   * True where earlier requests on the connection have not been answered. An answer that is written and whose last bytes Node has not reported
   * yet is one that the browser may have read already.
   */
  isBusy(socket: Duplex): boolean {
    const open = [...(this.#open.get(socket)?.values() ?? [])];
    return open.length > 1 || open.some(({ writableEnded }) => !writableEnded);
  }

  /**
   * Counts an answer as open until it closes or its connection ends, whichever is learnt first. A stranger pipelines requests and then asks for
   * an upgrade: from there on Node tells no queued answer that its connection has closed, and each would be held for good.
   * @param onClose called once
   */
  responseOpened(socket: Duplex, response: ServerResponse, onClose: () => void = () => undefined): void {
    const open = this.#open.get(socket) ?? this.#follow(socket);
    const close = (): void => {
      if (open.delete(close)) onClose();
    };
    open.set(close, response);
    response.once('close', close);
  }

  #follow(socket: Duplex): Map<() => void, ServerResponse> {
    const open = new Map<() => void, ServerResponse>();
    this.#open.set(socket, open);
    socket.once('close', () => {
      for (const close of open.keys()) close();
    });
    return open;
  }

  /** RST. Nothing that is queued goes out. Synchronous. */
  reset(socket: Duplex): void {
    this.#raw.get(addressOf(socket as Socket))?.resetAndDestroy();
    socket.destroy();
  }
}

const addressOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
