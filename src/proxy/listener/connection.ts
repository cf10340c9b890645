/**
 * Client connections: what is known of one before any request on it, and the only way to reset it.
 *
 * A cut must reset. Measured on Node 24: after `tlsSocket.destroy()` the peer still reads what was queued, and the TLS socket's own
 * `resetAndDestroy()` throws; only the TCP socket beneath it sends an RST. Node hands that socket out in `connection` and the TLS socket
 * in `secureConnection`, so the two are paired here by the address they share.
 */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { plainAddress } from '../../core/http/address.ts';
import { peerCertificate } from '../../core/credential/peer-certificate.ts';

/** A quiet exec must survive load balancers and NAT, which forget an idle connection after a minute or more. */
export const KEEP_ALIVE_MS = 30_000;

export interface ClientConnection {
  /** IP address of the client: of the peer, or as a trusted proxy says. */
  readonly address: string;
  /** SNI, lower case; undefined where the client sent none. */
  readonly servername: string | undefined;
  /** SHA-256 of the client certificate's DER form, base64url (RFC 8705 §3.1); undefined where none was presented. */
  readonly thumbprint: string | undefined;
  /** RST. Nothing that is queued goes out. */
  reset(): void;
  /** True once nothing can reach the client any more. */
  readonly ended: boolean;
  /** Answers that have not closed, those of pipelined requests included. */
  readonly openAnswers: number;
  /**
   * True where a request came before an earlier one was answered. An answer that is written and whose last bytes Node has not reported yet is
   * one that its client may have read already.
   */
  readonly pipelined: boolean;
  /**
   * Counts an answer as open until it closes or the connection ends, whichever is learnt first.
   *
   * An attacker pipelines writes behind a watch and then asks for an upgrade: Node takes its hands off the socket, and no queued answer is ever
   * told that its connection has closed. Writes that were carried out would never be audited. So no answer is trusted to announce its own end.
   * @param answer asked whether all of it has been written
   * @param onClose called once
   * @returns to be called when the answer closes
   */
  answerOpened(answer: { readonly finished: boolean }, onClose: () => void): () => void;
}

interface RawConnection {
  readonly socket: Socket;
  readonly address: string;
}

export class ConnectionTable {
  readonly #raw = new Map<string, RawConnection>();
  readonly #connections = new WeakMap<Duplex, ClientConnection>();

  /**
   * Takes a connection as it came, before its TLS handshake.
   * @param source address of the client where a trusted proxy has told it
   */
  remember(socket: Socket, source?: string): void {
    const key = addressOf(socket);
    this.#raw.set(key, { socket, address: source ?? plainAddress(socket.remoteAddress ?? '') });
    socket.once('close', () => {
      if (this.#raw.get(key)?.socket === socket) this.#raw.delete(key);
    });
  }

  /** After the handshake. Undefined where the socket beneath is not known: what cannot be reset is not let in. */
  pair(socket: TLSSocket): ClientConnection | undefined {
    const raw = this.#raw.get(addressOf(socket));
    if (raw === undefined) return undefined;
    const connection = new TlsConnection(socket, raw);
    // Our own endpoints read the address off the socket.
    Object.defineProperty(socket, 'remoteAddress', { value: raw.address });
    this.#connections.set(socket, connection);
    return connection;
  }

  /** Undefined where the socket was not paired: such a connection cannot be cut and must not be served. */
  of(socket: Duplex): ClientConnection | undefined {
    return this.#connections.get(socket);
  }
}

/** What every TCP connection gets, whatever is to come on it. */
export function prepareSocket(socket: Socket): void {
  // The TLS socket over it reports what goes wrong; without a listener here an error would end the process.
  socket.on('error', () => undefined);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  socket.setNoDelay(true);
}

class TlsConnection implements ClientConnection {
  readonly address: string;
  readonly servername: string | undefined;
  readonly thumbprint: string | undefined;
  readonly #raw: Socket;
  readonly #socket: TLSSocket;
  readonly #open = new Map<() => void, { readonly finished: boolean }>();

  constructor(socket: TLSSocket, raw: RawConnection) {
    this.#raw = raw.socket;
    this.#socket = socket;
    this.address = raw.address;
    const { servername } = socket as TLSSocket & { readonly servername?: string | false };
    this.servername = servername === undefined || servername === false ? undefined : servername.toLowerCase();
    // Once per connection: the handshake has proved possession of the key, and TLS 1.3 has no renegotiation to change it.
    const certificate = peerCertificate(socket);
    this.thumbprint = certificate && createHash('sha256').update(certificate).digest('base64url');
    // Either of the two says that it is over; which one comes first depends on which side ended it.
    for (const each of [socket, raw.socket]) each.once('close', () => this.#close());
  }

  get ended(): boolean {
    return this.#raw.destroyed || this.#socket.destroyed;
  }

  get openAnswers(): number {
    return this.#open.size;
  }

  get pipelined(): boolean {
    const earlier = [...this.#open.values()].slice(0, -1);
    return earlier.length > 1 || earlier.some(({ finished }) => !finished);
  }

  reset(): void {
    this.#raw.resetAndDestroy();
    this.#socket.destroy();
  }

  answerOpened(answer: { readonly finished: boolean }, onClose: () => void): () => void {
    const close = (): void => {
      if (this.#open.delete(close)) onClose();
    };
    this.#open.set(close, answer);
    return close;
  }

  #close(): void {
    for (const close of this.#open.keys()) close();
  }
}

const addressOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
