/** A client's TCP connection as the limit sees it, before and after its TLS handshake, and what it leaves behind. */
import type { Socket } from 'node:net';
import type { ConnectionLimit, Occupant } from './connection-limit.ts';
import { LingeringClose } from './lingering-close.ts';
import type { SystemBuffers } from './system-buffers.ts';

/**
 * A handshake of so many bytes has one certificate of a user, and a ClientHello with keys against quantum computers.
 * OpenSSL keeps each further byte of an attacker's certificates as up to 55: so much more counts as one more connection
 * (`connection-limit.ts`), which holds 200 kB.
 */
const HANDSHAKE_BYTES = 4096;
const BYTES_OF_ANOTHER = 3072;

/** Of a connection with a quiet watch over HTTP/1.1. */
export const CONNECTION_BYTES = 80_000;

/** What follows its TLS handshake. */
export interface SecuredConnection {
  /** Since when nothing is open on it; undefined while something is. Monotonic milliseconds. */
  readonly idleSinceMs: number | undefined;
  heldSinceMs(): number | undefined;
  readonly lateSinceMs: number | undefined;
  /** Bytes of what is open on it, but for what the system holds of the connection itself. */
  readonly openBytes: number;
  /** Nothing more is to be written of what is open on it. */
  readonly isOver: boolean;
  /** Nothing more is to be written at all. */
  readonly hasEnded: boolean;
  /** Its protocol has not begun. */
  readonly isUnbegun: boolean;
  /** Notes that nothing is open on it any more. */
  over(): void;
  /** Closes it, with what is open on it. */
  close(): void;
}

interface TcpConnectionOptions {
  /** Of the client: of the peer, or as a trusted proxy states it. */
  readonly address: string;
  readonly limit: ConnectionLimit;
  readonly buffers: SystemBuffers;
}

export class TcpConnection implements Occupant {
  readonly socket: Socket;
  readonly address: string;
  readonly limit: ConnectionLimit;
  /** Set after the handshake. */
  tls: SecuredConnection | undefined;
  weight = 1;
  readonly #closing: LingeringClose;
  readonly #buffers: SystemBuffers;
  #sinceMs = performance.now();
  #handshakeRead = 0;
  #phase: 'hello' | 'handshake' | 'awaited' = 'hello';

  constructor(socket: Socket, { address, limit, buffers }: TcpConnectionOptions) {
    this.socket = socket;
    this.address = address;
    this.limit = limit;
    this.#buffers = buffers;
    this.#closing = new LingeringClose(socket, {
      buffers,
      isFilling: () => limit.countsOpen,
      isBroken: () => this.tls?.isOver === false,
      hasEnded: () => this.tls?.hasEnded !== false,
      onLinger: () => this.tls?.over(),
    });
  }

  handshakeBegun(): void {
    this.#phase = 'handshake';
  }

  handshakeRead(bytes: number): void {
    this.#handshakeRead += bytes;
  }

  /** With those of its handshake. */
  get bytesRead(): number {
    return this.socket.bytesRead + this.#handshakeRead;
  }

  clientAwaited(): void {
    if (this.#phase !== 'handshake') return;
    this.#phase = 'awaited';
    this.#sinceMs = performance.now();
  }

  /** @param handshakeBytes that it had at most */
  weigh(handshakeBytes: number): void {
    const weight = 1 + Math.max(0, Math.ceil((handshakeBytes - HANDSHAKE_BYTES) / BYTES_OF_ANOTHER));
    if (weight === this.weight) return;
    this.weight = weight;
    this.limit.weigh(this);
  }

  get waitingSinceMs(): number | undefined {
    if (this.tls !== undefined) return this.#unlessRead(this.tls.idleSinceMs);
    // It waits for us where its ClientHello is whole and many are before it, and again until its first turn to be read
    // (`second-flights.ts`): it must not give way to those that come later and send less.
    const isOurs = this.#phase === 'hello' ? this.socket.readableLength > 0 : this.#phase === 'handshake';
    return isOurs ? undefined : this.#sinceMs;
  }

  get isSilent(): boolean {
    return this.#phase === 'hello';
  }

  get heldSinceMs(): number | undefined {
    return this.#unlessRead(this.tls?.heldSinceMs());
  }

  /** A user with a slow network reads a list for minutes: only a client that takes nothing of it is waited for. */
  #unlessRead(sinceMs: number | undefined): number | undefined {
    return sinceMs === undefined ? undefined : this.#closing.waitingSinceMs(sinceMs);
  }

  get lateSinceMs(): number | undefined {
    return this.tls?.lateSinceMs;
  }

  get openWeight(): number {
    return Math.floor(((this.tls?.openBytes ?? 0) + this.#closing.held) / CONNECTION_BYTES);
  }

  /** @returns bytes that the system holds for a connection; 0 for none */
  heldFor(endpoints: string | undefined): number {
    return endpoints === undefined ? 0 : this.#buffers.of(endpoints);
  }

  giveWay(): void {
    this.#closing.drop();
    if (this.tls === undefined) this.socket.destroy();
    else this.tls.close();
  }

  /** Counts what it leaves behind for an account (`ClientConnection.leavesBehind`). */
  leavesBehind({ account, upstream, drop }: LeftBehind): () => void {
    const waitingSinceMs = performance.now();
    const heldFor = (): number => Math.floor(this.heldFor(upstream) / CONNECTION_BYTES);
    const left: Occupant = {
      waitingSinceMs,
      get openWeight() {
        return heldFor();
      },
      giveWay: drop,
    };
    this.limit.add(left);
    if (!this.limit.note(left, true, account)) drop();
    return () => this.limit.remove(left);
  }
}

interface LeftBehind {
  readonly account: string | undefined;
  readonly upstream: string;
  readonly drop: () => void;
}
