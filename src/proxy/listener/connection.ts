/**
 * Client connections: the facts about one before any request on it, and the only way to reset it.
 *
 * Node passes the TCP socket to `connection` and the TLS socket to `secureConnection`, so the two are paired here by
 * the address they share. A cut must reset. Measured on Node 24: after `tlsSocket.destroy()` the peer still reads the
 * queued data.
 */
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { plainAddress, siteOf } from '../../core/http/address.ts';
import { resetConnection } from '../../core/http/connection-reset.ts';
import { EqualHeaders } from '../../core/http/by-headers.ts';
import { peerCertificate } from '../../core/credential/peer-certificate.ts';
import { certificateThumbprint } from '../../core/credential/thumbprint.ts';
import type { Awaitable } from '../../core/awaitable.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import type { ConnectionLimit } from './connection-limit.ts';
import { ReadingByAccount, SharedReading, type ReadingWaits } from './shared-reading.ts';
import { readerOf, type ClientReader } from '../../timing/reader.ts';
import { endpointsOf, ProcNetTcp, type SystemBuffers } from './system-buffers.ts';
import { TcpConnection, type SecuredConnection } from './tcp-connection.ts';

/** A quiet exec must survive load balancers and NAT, which forget an idle connection after a minute or more. */
export const KEEP_ALIVE_MS = 30_000;

/**
 * Larger certificates than any client has. An attacker's, with 7,000 names, took 4 ms for each request to our own
 * endpoints, which read it from the connection.
 */
const MOST_CERTIFICATE_BYTES = 8192;

/** A client that is as late as this with what is in flight is hardly a user's with a slow network. */
const LATE_MS = 3_000;

/** Of each watch over HTTP/2 but the first; of a stream that is not read. */
const STREAM_BYTES = 26_000;
const LATE_BYTES = 300_000;
/** Of a line of a head, in the parser's list and in ours, until its request ends. */
const LINE_BYTES = 400;

/**
 * Requests of an HTTP/1.1 connection whose responses have not closed. Kubernetes clients send the next request after
 * the response; Node reports the end of that up to a turn later than the client can read it.
 */
const MOST_PIPELINED = 8;

export interface OpenResponse {
  /** Nothing more is to be written. */
  readonly finished: boolean;
  /**
   * Its client has only to read it, or to send the rest of the request, and no API server has to do with it. Nothing is
   * lost if the connection ends now.
   */
  readonly awaitsClient: boolean;
  /** It has one of its account's places in flight at a cluster (`limits.inFlightPerUser`). */
  readonly inFlight: boolean;
  /**
   * Absent: its client is never late.
   * @param nowMs monotonic
   * @returns milliseconds by which its client is late with what is in flight (`upstream/client-delay.ts`)
   */
  lateMs?(nowMs: number): number;
  /** Lines of its request's head that are kept. */
  readonly headLines: number;
  /** The connection to the API server that carries nothing else, by its ends (`system-buffers.ts`); undefined: there is none. */
  readonly upstream: string | undefined;
  /** Ends what is in flight, because its connection gives way: says so to the client and in the audit log. */
  giveWay?(): void;
}

export interface ClientConnection {
  /** IP address of the client: of the peer, or as a trusted proxy states it. */
  readonly address: string;
  /** SNI, lower case; undefined if the client sent none. */
  readonly servername: string | undefined;
  /** SHA-256 of the client certificate's DER form, base64url (RFC 8705 §3.1); undefined if none was presented. */
  readonly thumbprint: string | undefined;
  /** Makes lists of headers that equal the one before the same object. */
  readonly headers: EqualHeaders;
  /** RST. Nothing that is queued goes out. */
  reset(): void;
  /** Sets how it is closed while nothing is open on it (`connection-limit.ts`). Default: immediately. */
  closesBy(close: () => void): void;
  /** True once nothing can reach the client any more. */
  readonly ended: boolean;
  /**
   * Counts a request that is begun, before anything is known of its credential (`shared-reading.ts`).
   * @param raw its header lines, flat
   * @param target characters of its target
   */
  requestBegun(raw: readonly string[], target: number): void;
  /**
   * Counts a piece of a request's body that has arrived, likewise.
   * @param isEnd nothing, behind the last piece
   */
  pieceRead(isEnd: boolean): void;
  /** Counts a read of a connection over HTTP/1.1, and its bytes where they are of a head that is not whole. */
  read(bytes: number): void;
  /** Hands over a record of a connection over HTTP/2 by `deliver`, and counts its milliseconds, but for requests that it began. */
  readHttp2(deliver: () => number): void;
  /** Counts a key update of TLS, likewise. */
  keyUpdated(): void;
  /**
   * Begins its protocol when it is its turn to be read, which is now where few are: nothing of what came right behind the
   * handshake has been read until then.
   */
  begin(serve: () => void): void;
  /** For whom it waits in a queue with others: the account, or the site that it comes from. */
  readonly line: string;
  /**
   * Notes that the credential of a request was accepted, which makes it a connection of this user; undefined: that it
   * was rejected. While a request is in flight on it, it stays its account's: what that holds would be others' otherwise.
   * @returns false if this user has no space for it: then the request must be rejected, and the connection be closed
   */
  credentialAccepted(user: string | undefined): Awaitable<boolean>;
  /** Calls `listener` once, when a credential is accepted on it for the first time. */
  whenAccepted(listener: () => void): void;
  /** The user whose credential was accepted last, if none was rejected since. */
  readonly user: string | undefined;
  /** Responses that have not closed, those of pipelined requests included. */
  readonly openResponses: number;
  /** Over HTTP/1.1 the next request is one too many (`pipelining.ts`). */
  readonly isFull: boolean;
  /**
   * True if a request came before an earlier one was responded to. A response that is written, and whose last bytes
   * Node has not reported yet, does not count: its client may have read it already.
   */
  readonly pipelined: boolean;
  /**
   * Counts a response as open until it closes or the connection ends, whichever is noticed first.
   *
   * An attacker pipelines writes behind a watch and then asks for an upgrade: Node lets go of the socket, and no
   * queued response ever gets an event that its connection has closed. Writes that were executed would never be
   * audited. So no response is trusted to announce its own end.
   * @param response tells whether all of it has been written, and whether only its client is waited for
   * @param onClose called once
   * @returns a function to be called when the response closes
   */
  responseOpened(response: OpenResponse, onClose: () => void): () => void;
  /**
   * Counts for its account what it leaves behind: bytes for an API server that has not taken them.
   *
   * An attacker sends 4 MB to each of 320 pods that do not read, and leaves: 1 GB of sockets that were no one's.
   * @param upstream the connection that they are on, by its ends
   * @param drop resets it, because memory is short
   * @returns a function to be called when that connection has closed
   */
  leavesBehind(upstream: string, drop: () => void): () => void;
}

export class ConnectionTable {
  readonly #raw = new Map<string, TcpConnection>();
  readonly #connections = new WeakMap<Duplex, ClientConnection>();
  readonly #unknown: SharedReading;
  readonly #accounts: ReadingByAccount;
  readonly #limit: ConnectionLimit;
  readonly #buffers: SystemBuffers;

  constructor(limit: ConnectionLimit, waits: ReadingWaits, buffers: SystemBuffers = new ProcNetTcp()) {
    this.#limit = limit;
    this.#buffers = buffers;
    this.#unknown = new SharedReading(waits.isBehind);
    this.#accounts = new ReadingByAccount(waits);
  }

  /**
   * Remembers a new connection, before its TLS handshake.
   * @param source address of the client if a trusted proxy has stated it
   */
  remember(socket: Socket, source?: string): void {
    const key = endpointsOf(socket);
    const address = source ?? plainAddress(socket.remoteAddress ?? '');
    const raw = new TcpConnection(socket, { address, limit: this.#limit, buffers: this.#buffers });
    this.#raw.set(key, raw);
    this.#limit.add(raw);
    socket.once('close', () => {
      this.#limit.remove(raw);
      if (this.#raw.get(key) === raw) this.#raw.delete(key);
    });
  }

  /** Notes that its TLS handshake begins: it does not wait for its client before it is read again. */
  handshakeBegun(socket: Socket): void {
    this.#raw.get(endpointsOf(socket))?.handshakeBegun();
  }

  /** Notes that what comes next in its TLS handshake can be read: from now on it waits for its client. */
  clientAwaited(socket: Socket): void {
    this.#raw.get(endpointsOf(socket))?.clientAwaited();
  }

  /** Notes bytes of its handshake that Node does not count (`second-flights.ts`). */
  handshakeRead(socket: Socket, bytes: number): void {
    this.#raw.get(endpointsOf(socket))?.handshakeRead(bytes);
  }

  /**
   * Pairs the sockets after the handshake. Rejects one if the socket beneath is not known, because a connection that is
   * not counted is not accepted; and if the certificate is too large.
   */
  pair(socket: TLSSocket): Result<ClientConnection, 'connection_unknown' | 'certificate_too_large'> {
    const raw = this.#raw.get(endpointsOf(socket));
    if (raw === undefined) return no('connection_unknown');
    // Once per connection: the handshake has proved possession of the key, and TLS 1.3 has no renegotiation to
    // change it.
    const certificate = peerCertificate(socket);
    if (certificate !== undefined && certificate.length > MOST_CERTIFICATE_BYTES) return no('certificate_too_large');
    const connection = new TlsConnection(socket, raw, certificate, {
      unknown: this.#unknown,
      accounts: this.#accounts,
    });
    raw.tls = connection;
    // Our own endpoints read the address from the socket.
    Object.defineProperty(socket, 'remoteAddress', { value: raw.address });
    this.#connections.set(socket, connection);
    return ok(connection);
  }

  /** The address of the client, before and after the handshake; empty once it has closed. */
  clientAddress(socket: Socket): string {
    return this.#raw.get(endpointsOf(socket))?.address ?? plainAddress(socket.remoteAddress ?? '');
  }

  /** The socket beneath; undefined once it has closed. */
  tcpOf(socket: TLSSocket): Socket | undefined {
    return this.#raw.get(endpointsOf(socket))?.socket;
  }

  /**
   * Ends those whose handshake is not over, or whose protocol has not begun: no server knows them, and would wait for
   * them. Nine hundred that sent nothing kept a shutdown waiting for ten seconds.
   */
  endUnbegun(): void {
    for (const { tls, socket } of this.#raw.values()) if (tls === undefined || tls.isUnbegun) socket.destroy();
  }

  /** Undefined if the socket was not paired: such a connection cannot be cut and must not be served. */
  of(socket: Duplex): ClientConnection | undefined {
    return this.#connections.get(socket);
  }
}

/** Sets the options of every TCP connection, whatever protocol follows. */
export function prepareSocket(socket: Socket): void {
  // The TLS socket over it reports errors; without a listener here an error would end the process.
  socket.on('error', () => undefined);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  socket.setNoDelay(true);
}

interface TlsOptions {
  /** Of the connections on which no credential was accepted. */
  readonly unknown: SharedReading;
  readonly accounts: ReadingByAccount;
}

class TlsConnection implements ClientConnection, SecuredConnection {
  readonly address: string;
  readonly servername: string | undefined;
  readonly thumbprint: string | undefined;
  readonly headers = new EqualHeaders();
  readonly #raw: TcpConnection;
  readonly #socket: TLSSocket;
  /** In the order of their requests. */
  readonly #open: { readonly response: OpenResponse; readonly close: () => void }[] = [];
  #heldSinceMs: number | undefined;

  readonly #reader: ClientReader;
  readonly #site: string;
  /** Present until its protocol has begun. */
  #serve: (() => void) | undefined;
  readonly #options: TlsOptions;
  #reading: SharedReading;
  #handshakeBytes = Infinity;
  /** Whatever of its handshake came with data has been told from it. */
  #isWeighed = false;
  /** Its user has no space for it. */
  #isRefused = false;
  #user: string | undefined;
  #idleSinceMs = performance.now();
  #closeIdle = (): void => void this.#raw.socket.destroy();
  #whenAccepted: (() => void) | undefined;

  constructor(socket: TLSSocket, raw: TcpConnection, certificate: Uint8Array | undefined, options: TlsOptions) {
    const reader = readerOf(socket);
    this.#reader = {
      get bytesRead() {
        return reader.bytesRead;
      },
      stopReading: () => reader.stopReading(),
      goOnReading: () => {
        const serve = this.#serve;
        this.#serve = undefined;
        if (this.ended) return;
        if (serve !== undefined) this.#begun(serve);
        reader.goOnReading();
      },
    };
    this.#options = options;
    this.#reading = options.unknown;
    this.#raw = raw;
    this.#socket = socket;
    this.address = raw.address;
    this.#site = siteOf(raw.address);
    const { servername } = socket as TLSSocket & { readonly servername?: string | false };
    this.servername = servername === undefined || servername === false ? undefined : servername.toLowerCase();
    this.thumbprint = certificate && certificateThumbprint(certificate);
    // Either of the two reports the end; which one is first depends on the side that ended it.
    for (const each of [socket, raw.socket]) each.once('close', () => this.#close());
    this.#weigh();
  }

  #begun(serve: () => void): void {
    serve();
    // What came with the handshake has been decrypted then, whether or not more is read of it.
    setImmediate(() => {
      this.#isWeighed = true;
      this.#weigh();
    });
  }

  /** Bytes that came and were no data: never fewer than its handshake, and more while data waits to be decrypted. */
  #weigh(): void {
    if (this.ended) return;
    this.#handshakeBytes = Math.min(this.#handshakeBytes, this.#raw.bytesRead - this.#socket.bytesRead);
    this.#raw.weigh(this.#handshakeBytes);
  }

  begin(serve: () => void): void {
    // Until Node's own listeners are there an RST would end the process.
    this.#socket.on('error', () => undefined);
    this.#serve = serve;
    this.#reading.addNew(this.#reader, this.line);
  }

  get line(): string {
    return this.#user ?? this.#site;
  }

  /** Its protocol has not begun: no server knows it. */
  get isUnbegun(): boolean {
    return this.#serve !== undefined;
  }

  requestBegun(raw: readonly string[], target: number): void {
    const head = raw.reduce((sum, { length }) => sum + length, 0);
    this.#reading.begun(raw.length / 2, { target, head });
  }

  pieceRead(isEnd: boolean): void {
    this.#reading.pieceRead(isEnd);
  }

  read(bytes: number): void {
    this.#reading.pieceRead(false);
    if (this.#open.length === 0) this.#reading.headRead(bytes);
  }

  readHttp2(deliver: () => number): void {
    this.#reading.timed(deliver);
  }

  keyUpdated(): void {
    this.#reading.keyUpdated();
  }

  credentialAccepted(user: string | undefined): Awaitable<boolean> {
    if (user === this.#user || this.ended) return true;
    if (user === undefined && this.#open.some(({ response }) => response.inFlight)) return true;
    this.#weigh();
    if (user !== undefined && this.#raw.weight > 1 && !this.#isWeighed) {
      return turn().then(() => this.credentialAccepted(user));
    }
    this.#isRefused ||= !this.#raw.limit.note(this.#raw, user !== undefined, user);
    if (this.#isRefused) return false;
    this.#leaveReading();
    this.#user = user;
    if (user !== undefined) this.#accepted();
    const { unknown, accounts } = this.#options;
    this.#reading = user === undefined ? unknown : accounts.of(user);
    this.#reading.add(this.#reader, this.line);
    return true;
  }

  whenAccepted(listener: () => void): void {
    this.#whenAccepted = listener;
  }

  #accepted(): void {
    const listener = this.#whenAccepted;
    this.#whenAccepted = undefined;
    listener?.();
  }

  get user(): string | undefined {
    return this.#user;
  }

  get ended(): boolean {
    return this.#raw.socket.destroyed || this.#socket.destroyed;
  }

  /** Since when nothing is open on it; undefined while something is. Monotonic milliseconds. */
  get idleSinceMs(): number | undefined {
    return this.#open.length === 0 ? this.#idleSinceMs : undefined;
  }

  /** Since when it was first asked whether all that is open on it only awaits its client; undefined while not. */
  heldSinceMs(): number | undefined {
    const isHeld = this.#open.length > 0 && this.#open.every(({ response }) => response.awaitsClient);
    this.#heldSinceMs = isHeld ? (this.#heldSinceMs ?? performance.now()) : undefined;
    return this.#heldSinceMs;
  }

  /** Since when at least all that is open on it has awaited its client, also in flight; undefined while not. */
  get lateSinceMs(): number | undefined {
    const late = this.#late();
    return this.#open.length > 0 && late === this.#open.length ? performance.now() - LATE_MS : undefined;
  }

  /** Bytes of what is open on it, but for what the system holds of the connection itself. */
  get openBytes(): number {
    let bytes = this.#late() * LATE_BYTES;
    for (const { response } of this.#open) {
      bytes += STREAM_BYTES + response.headLines * LINE_BYTES + this.#raw.heldFor(response.upstream);
    }
    return bytes;
  }

  /** How much of what is open on it has a client that is late. */
  #late(): number {
    const nowMs = performance.now();
    return this.#open.filter(({ response }) => response.awaitsClient || (response.lateMs?.(nowMs) ?? 0) >= LATE_MS)
      .length;
  }

  closesBy(close: () => void): void {
    this.#closeIdle = close;
  }

  get isOver(): boolean {
    return this.#open.every(({ response }) => response.finished);
  }

  get hasEnded(): boolean {
    return this.#socket.writableEnded;
  }

  over(): void {
    this.#close();
  }

  close(): void {
    if (this.#open.length === 0) return this.#closeIdle();
    const underWay = this.#open.filter(({ response }) => response.inFlight && !response.finished);
    // What is held open would keep it from closing in any other way.
    if (underWay.length === 0) return this.reset();
    for (const { response } of underWay) response.giveWay?.();
    // What was written in this turn has left by then, unless the client does not read.
    setImmediate(() => this.#raw.socket.destroy());
  }

  get openResponses(): number {
    return this.#open.length;
  }

  get isFull(): boolean {
    return this.#open.length >= MOST_PIPELINED;
  }

  get pipelined(): boolean {
    const earlier = this.#open.slice(0, -1);
    return earlier.length > 1 || earlier.some(({ response }) => !response.finished);
  }

  reset(): void {
    resetConnection(this.#socket);
    // Not left to Node, which reports the end after other callbacks: what has been parsed and waits would be forwarded.
    process.nextTick(() => this.#close());
  }

  responseOpened(response: OpenResponse, onClose: () => void): () => void {
    const open = {
      response,
      close: (): void => {
        const at = this.#open.indexOf(open);
        if (at === -1) return;
        this.#open.splice(at, 1);
        if (this.#open.length === 0) this.#idleSinceMs = performance.now();
        onClose();
      },
    };
    this.#open.push(open);
    return open.close;
  }

  leavesBehind(upstream: string, drop: () => void): () => void {
    return this.#raw.leavesBehind({ account: this.#user, upstream, drop });
  }

  #leaveReading(): void {
    this.#reading.remove(this.#reader);
    if (this.#user !== undefined) this.#options.accounts.removed(this.#user);
  }

  #close(): void {
    this.#leaveReading();
    // Each takes itself out.
    for (let [first] = this.#open; first !== undefined; [first] = this.#open) first.close();
  }
}
