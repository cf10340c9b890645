/**
 * Keeps space for new connections at the web listener: what only waits for its client gives way.
 *
 * An attacker without a credential opens as many connections as there may be, and asks for a page on each once a minute:
 * a hundred and fifty small requests a second, and no user can sign in, and no admin revoke. So the rules of the api
 * listener hold here (`proxy/listener/connection-limit.ts`), but for one: the first to give way are those on which no
 * request has come, whether a credential was accepted or not.
 *
 * A user with a credential opens 400 WebSockets at a console, reads nothing of them, or sends what the console does not
 * take: 1.6 GiB, most of it in buffers of sockets. So a connection is its user's from when they are known until its next
 * request, and counts with the one to the console, and what the system holds of both.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { resetConnection } from '../core/http/connection-reset.ts';
import { countOpenRequest, type OpenRequest } from '../contracts/open-request.ts';
import {
  CONNECTION_BYTES,
  ConnectionLimit,
  endpointsOf,
  LingeringClose,
  memoryInUse as memoryOfContainer,
  ProcNetTcp,
  type Occupant,
  type SystemBuffers,
} from '../proxy/proxy.ts';
import { readInTurns } from '../timing/upstream-reading.ts';
import { StreamProgress, StreamSide } from './stream-progress.ts';

/** How long a connection may wait for its client in any case. */
const WAIT_MS = 2_000;
/** A peer that is as late as this with what waits for it is hardly one with a slow network, as at the api listener. */
const LATE_MS = 3_000;
/**
 * How long neither the browser nor the console may take anything of what waits for them, however much memory there is.
 * While nothing is read of a browser, that it has left is not seen.
 */
const STILL_MS = 300_000;
/** Between two looks at that. */
const LOOK_MS = 30_000;

export interface ConnectionSpaceOptions {
  /** @param count connections that were closed */
  readonly onClosed: (count: number) => void;
  /** Only tests set others. */
  readonly waitMs?: number;
  readonly memoryInUse?: () => number;
  readonly buffers?: SystemBuffers;
}

interface ConsoleSide {
  readonly side: StreamSide;
  /** Resets the request at both sides. */
  readonly reset: () => void;
}

class Connection implements Occupant {
  readonly #socket: Socket;
  readonly #limit: ConnectionLimit;
  readonly #buffers: SystemBuffers;
  readonly #closing: LingeringClose;
  readonly #browser: StreamSide;
  readonly #progress: StreamProgress;
  /** What its requests come by: the TLS socket where there is one; undefined before the first. */
  #carrier: Socket | undefined;
  /** Requests that the client waits for. */
  #open = 0;
  readonly #consoles = new Set<ConsoleSide>();
  #looks: NodeJS.Timeout | undefined;
  #sinceMs = performance.now();

  constructor(socket: Socket, limit: ConnectionLimit, buffers: SystemBuffers) {
    this.#socket = socket;
    this.#limit = limit;
    this.#buffers = buffers;
    this.#browser = new StreamSide(socket, buffers);
    this.#progress = new StreamProgress();
    this.#closing = new LingeringClose(socket, {
      buffers,
      isFilling: () => limit.countsOpen,
      isBroken: () => this.#open > 0,
      hasEnded: () => this.#carrier?.writableEnded !== false,
    });
  }

  /** @returns a function to be called when only the client is missing, whatever is called again */
  begun(req: IncomingMessage): () => void {
    this.#carrier = req.socket;
    this.#browser.carrier = req.socket;
    // What another one left unread is its account's until then: a proxy in front has requests of many on a connection.
    if (this.#open === 0 && this.#consoles.size === 0) this.#limit.note(this, true);
    countOpenRequest(req, this.#request());
    this.#open += 1;
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      this.#open -= 1;
      this.#sinceMs = performance.now();
    };
  }

  #request(): OpenRequest {
    let account: string | undefined;
    return {
      admit: (admitted) => this.#limit.note(this, true, (account = admitted)),
      assign: (assigned) => this.#limit.assign(this, (account = assigned)),
      join: (socket, reset) => {
        if (socket.destroyed) return () => undefined;
        this.#join(socket, reset);
        return countReads(socket, { account, reset });
      },
    };
  }

  #join(socket: Socket, reset: () => void): void {
    const console: ConsoleSide = { side: new StreamSide(socket, this.#buffers), reset };
    this.#consoles.add(console);
    this.#looks ??= setInterval(() => this.#resetIfStill(), LOOK_MS).unref();
    socket.once('close', () => {
      this.#consoles.delete(console);
      if (this.#consoles.size > 0) return;
      clearInterval(this.#looks);
      this.#looks = undefined;
    });
  }

  get #sides(): readonly StreamSide[] {
    return [this.#browser, ...[...this.#consoles].map(({ side }) => side)];
  }

  get waitingSinceMs(): number | undefined {
    return this.#open > 0 ? undefined : this.#closing.waitingSinceMs(this.#sinceMs);
  }

  get lateSinceMs(): number | undefined {
    if (this.#open === 0 && this.#consoles.size === 0) return undefined;
    const nowMs = performance.now();
    return this.#progress.look(this.#sides).lateMs >= LATE_MS ? nowMs - LATE_MS : undefined;
  }

  get openWeight(): number {
    // Looked at again and again, so that it is known for how long nothing was taken once memory is short.
    this.#progress.look(this.#sides);
    const bytes = this.#sides.reduce((sum, side) => sum + side.held, this.#consoles.size * CONNECTION_BYTES);
    return Math.floor(bytes / CONNECTION_BYTES);
  }

  /** By what has been taken, and not by what the sockets announce: one that is not read from does not announce its end. */
  #resetIfStill(): void {
    const sides = this.#sides;
    if (sides.every(({ queued }) => queued === 0)) this.#progress.rests();
    else if (this.#progress.look(sides).stillMs >= STILL_MS) this.#resetConsoles();
  }

  #resetConsoles(): void {
    for (const { reset } of this.#consoles) reset();
  }

  giveWay(): void {
    this.#closing.drop();
    const isUnderWay = this.#open > 0 || this.#consoles.size > 0;
    this.#resetConsoles();
    // Half a response must not look like a whole one, and the system would keep what its client does not read.
    if (isUnderWay && this.#carrier !== undefined) resetConnection(this.#carrier);
    else this.#socket.destroy();
  }
}

/** A piece has an event, a look at the session and a write of its own: as much as so many chunks of an API server. */
const CHUNKS_OF_A_PIECE = 64;

/**
 * A console that was taken over sends a body in chunks of one byte, a million of them in one instant, on the requests of one
 * visitor: the turn took three seconds. So what consoles send is read among what API servers send.
 */
function countReads(
  socket: Socket,
  { account, reset }: { readonly account: string | undefined; readonly reset: () => void },
): (bytes: number) => void {
  const shared = readInTurns(socket, { share: account, reset });
  return (bytes) => shared.took(bytes, CHUNKS_OF_A_PIECE);
}

/** To be called before the server listens, and when it has all its listeners. Uses its `maxConnections`. */
export function keepSpace(
  server: Server,
  { onClosed, waitMs = WAIT_MS, memoryInUse = memoryOfContainer, buffers = new ProcNetTcp() }: ConnectionSpaceOptions,
): void {
  const limit = new ConnectionLimit({ most: server.maxConnections, waitMs, memoryInUse, onClosed });
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
  const begun = (req: IncomingMessage): (() => void) | undefined =>
    connections.get(endpointsOf(req.socket))?.begun(req);
  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const over = begun(req);
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
    const over = begun(req);
    if (over !== undefined) socket.once('finish', over);
  });
}
