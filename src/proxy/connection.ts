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
import { plainAddress } from '../core/address.ts';
import { peerCertificate } from '../core/peer-certificate.ts';

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
  /** Requests that have not ended, pipelined ones included. */
  readonly openExchanges: number;
  exchangeOpened(): void;
  exchangeClosed(): void;
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
    const connection = describe(socket, raw);
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

function describe(socket: TLSSocket, raw: RawConnection): ClientConnection {
  // Once per connection: the handshake has proved possession of the key, and TLS 1.3 has no renegotiation to change it.
  const certificate = peerCertificate(socket);
  const { servername } = socket as TLSSocket & { readonly servername?: string | false };
  let open = 0;
  return {
    address: raw.address,
    servername: servername === undefined || servername === false ? undefined : servername.toLowerCase(),
    thumbprint: certificate && createHash('sha256').update(certificate).digest('base64url'),
    reset: () => {
      raw.socket.resetAndDestroy();
      socket.destroy();
    },
    get openExchanges() {
      return open;
    },
    exchangeOpened: () => void (open += 1),
    exchangeClosed: () => void (open -= 1),
  };
}

const addressOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
