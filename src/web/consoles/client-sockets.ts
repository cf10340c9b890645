/**
 * The connections of the web listener: the open responses on each, and the TCP sockets below. A cut must reset the
 * connection, but neither the HTTP nor the TLS socket of Node can: after `destroy()` the browser still reads what
 * was queued. A TLS socket and its TCP socket are paired by their common addresses.
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
   * True where earlier requests on the connection have no complete response yet. A response that is written, but
   * whose last bytes Node has not reported yet, does not count, because the browser may have read it already.
   */
  isBusy(socket: Duplex): boolean {
    const open = [...(this.#open.get(socket)?.values() ?? [])];
    return open.length > 1 || open.some(({ writableEnded }) => !writableEnded);
  }

  /**
   * Counts a response as open until it closes or its connection ends, whichever is known first. An attacker
   * pipelines requests and then asks for an upgrade: from there on Node does not tell the queued responses that
   * the connection has closed, and each would stay in memory permanently.
   *
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

  /** Sends RST, so that nothing that is queued is delivered. Synchronous. */
  reset(socket: Duplex): void {
    this.#raw.get(addressOf(socket as Socket))?.resetAndDestroy();
    socket.destroy();
  }
}

const addressOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
