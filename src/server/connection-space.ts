/**
 * Keeps space for new connections at the web listener: what only waits for its client gives way.
 *
 * An attacker without a credential opens as many connections as there may be, and asks for a page on each once a minute:
 * a hundred and fifty small requests a second, and no user can sign in, and no admin revoke. So the rules of the api
 * listener hold here (`proxy/listener/connection-limit.ts`), but for one: no credential is looked at, and the first to
 * give way are those on which no request has come.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  CONNECTION_BYTES,
  ConnectionLimit,
  endpointsOf,
  LingeringClose,
  memoryInUse,
  ProcNetTcp,
  type Occupant,
  type SystemBuffers,
} from '../proxy/proxy.ts';

/** How long a connection may wait for its client in any case. */
const WAIT_MS = 2_000;

export interface ConnectionSpaceOptions {
  /** @param count connections that were closed */
  readonly onClosed: (count: number) => void;
  /** Only tests set another. */
  readonly waitMs?: number;
}

class Connection implements Occupant {
  readonly #socket: Socket;
  readonly #closing: LingeringClose;
  /** Requests that the client waits for. */
  #open = 0;
  #sinceMs = performance.now();

  constructor(socket: Socket, limit: ConnectionLimit, buffers: SystemBuffers) {
    this.#socket = socket;
    this.#closing = new LingeringClose(socket, {
      buffers,
      isFilling: () => limit.countsOpen,
      isBroken: () => this.#open > 0,
      hasEnded: () => true,
    });
  }

  /** @returns to be called when only the client is missing, whatever is called again */
  begun(): () => void {
    this.#open += 1;
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      this.#open -= 1;
      this.#sinceMs = performance.now();
    };
  }

  get waitingSinceMs(): number | undefined {
    return this.#open > 0 ? undefined : this.#closing.waitingSinceMs(this.#sinceMs);
  }

  get openWeight(): number {
    return Math.floor(this.#closing.held / CONNECTION_BYTES);
  }

  giveWay(): void {
    this.#closing.drop();
    this.#socket.destroy();
  }
}

/** To be called before the server listens, and when it has all its listeners. Uses its `maxConnections`. */
export function keepSpace(server: Server, { onClosed, waitMs = WAIT_MS }: ConnectionSpaceOptions): void {
  const limit = new ConnectionLimit({ most: server.maxConnections, waitMs, memoryInUse, onClosed });
  const buffers = new ProcNetTcp();
  const connections = new Map<string, Connection>();
  server.prependListener('connection', (socket: Socket) => {
    const key = endpointsOf(socket);
    const connection = new Connection(socket, limit, buffers);
    connections.set(key, connection);
    limit.add(connection);
    socket.once('close', () => {
      limit.remove(connection);
      if (connections.get(key) === connection) connections.delete(key);
    });
  });
  // With TLS the socket of a request is another one than that of its connection.
  const begun = (socket: Socket): (() => void) | undefined => {
    const connection = connections.get(endpointsOf(socket));
    if (connection === undefined) return undefined;
    limit.note(connection, true);
    return connection.begun();
  };
  const onRequest = ({ socket }: IncomingMessage, res: ServerResponse): void => {
    const over = begun(socket);
    if (over === undefined) return;
    // All of it is written, and the client has only to read it.
    res.once('prefinish', over);
    res.once('close', over);
  };
  server.prependListener('request', onRequest);
  server.prependListener('checkExpectation', onRequest);
  // Only where something upgrades: Node takes an upgrade for a request otherwise. It is open until our side has ended:
  // an attacker without a credential asks for upgrades, and stays after each rejection for as long as it is waited for.
  if (server.listenerCount('upgrade') === 0) return;
  server.prependListener('upgrade', (req: IncomingMessage, socket: Duplex) => {
    const over = begun(req.socket);
    if (over !== undefined) socket.once('finish', over);
  });
}
