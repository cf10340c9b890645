/**
 * Stands between the TLS of a connection and Node's HTTP/2, so that what is read of it can wait, and what it costs is seen.
 *
 * Node's HTTP/2 reads a TLS socket beneath all JavaScript. nghttp2 writes a text about each field that HTTP does not allow,
 * which Node drops; by its table (RFC 7541 §2.3.2) an attacker repeats one of 4 kB with a byte. So the 16 kB of a record take
 * 24 ms, without a credential and without a call of ours, and those of 1,900 connections came to their end in one turn. Here
 * each record is handed over by itself, and what comes behind one that was dear waits for the next turn.
 */
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { relayedBy, type Reader } from './reader.ts';

/** Small records that wait are joined: each would be 200 bytes more. */
const MOST_KEPT = 16;

/** Two for each frame of a watch: to copy them costs less than to write each. Larger ones are not copied again. */
const MOST_JOINED = 65_536;

type Written = (error?: Error | null) => void;

/** What Node's HTTP/2 is given in place of a TLS socket. */
export interface Http2Reads {
  /** Has what Node uses of a stream beneath its HTTP/2, and no more. */
  readonly stream: Duplex;
  /** Something was written that Node's HTTP/2 does not know to be written yet: more may be behind it. */
  readonly isWriting: boolean;
}

/** Hands a record over by calling `deliver`, before it returns. It may stop the connection (`readerOf`). */
export type ReadRecord = (bytes: number, deliver: () => void) => void;

/**
 * @param rest of what was read when the other side has closed the connection: a client waits for nothing that it could have
 *   begun by it. The end of a response still has its turn
 */
export function http2ReadsOf(tls: TLSSocket, read: ReadRecord, rest: 'dropped' | 'handed over'): Http2Reads {
  const records = new Records(tls, read, rest);
  return {
    stream: records as unknown as Duplex,
    get isWriting() {
      return records.isWriting;
    },
  };
}

class Records extends EventEmitter {
  readonly readable = true;
  readonly writable = true;
  readonly #tls: TLSSocket;
  readonly #socket: Reader;
  readonly #read: ReadRecord;
  #kept: Buffer[] = [];
  /** By who shares out turns. */
  #isStopped: boolean;
  /** By Node's HTTP/2, while it writes. */
  #isPaused = false;
  /** The socket itself is not read. */
  #isHalted: boolean;
  #isHandingOver = false;
  #hasEnded = false;
  #hasClosed = false;
  #writes = 0;
  #corked: { readonly bytes: Uint8Array; readonly written: Written }[] | undefined;

  constructor(tls: TLSSocket, read: ReadRecord, rest: 'dropped' | 'handed over') {
    super();
    this.#tls = tls;
    this.#read = read;
    const socket = relayedBy(tls, {
      stopReading: () => {
        this.#isStopped = true;
        this.#halt();
      },
      goOnReading: () => {
        this.#isStopped = false;
        this.#handOver();
      },
    });
    this.#socket = socket;
    this.#isStopped = this.#isHalted = socket.wasStopped;
    tls.on('data', (record: Buffer) => {
      this.#kept.push(record);
      this.#handOver();
    });
    tls.once('end', () => {
      this.#hasEnded = true;
      this.#handOver();
    });
    tls.on('error', (error) => this.emit('error', error));
    tls.once('close', () => {
      this.#hasClosed = true;
      if (!this.#hasEnded || rest === 'dropped') this.#kept = [];
      this.#handOver();
    });
  }

  get isWriting(): boolean {
    return this.#writes > 0;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#handOver();
  }

  cork(): void {
    this.#corked = [];
  }

  uncork(): void {
    const pieces = this.#corked;
    this.#corked = undefined;
    if (pieces === undefined || pieces.length === 0) return;
    const done = pieces.map(({ written }) => written);
    const bytes = pieces.map((piece) => piece.bytes);
    const length = bytes.reduce((sum, each) => sum + each.length, 0);
    this.#writes += 1;
    const written = (error?: Error | null): void => {
      for (const each of done) each(error);
      // Node tells its HTTP/2 in the next turn, which writes what is behind it before this.
      setImmediate(() => void (this.#writes -= 1));
    };
    if (length <= MOST_JOINED) return void this.#tls.write(Buffer.concat(bytes, length), written);
    this.#tls.cork();
    const last = bytes.pop();
    for (const each of bytes) this.#tls.write(each);
    this.#tls.write(last ?? '', written);
    this.#tls.uncork();
  }

  write(bytes: Uint8Array, written: Written): void {
    this.#corked?.push({ bytes, written });
  }

  end(ended: () => void): void {
    this.#tls.end(ended);
  }

  destroy(): void {
    this.#tls.destroy();
  }

  #handOver(): void {
    if (this.#isHandingOver) return;
    this.#isHandingOver = true;
    while (this.#isOpen) {
      const record = this.#kept.shift();
      if (record === undefined) break;
      this.#read(record.length, () => this.emit('data', record));
    }
    this.#isHandingOver = false;
    if (this.#kept.length > MOST_KEPT) this.#kept = [Buffer.concat(this.#kept)];
    if (this.#kept.length > 0) return this.#halt();
    if (this.#isOpen || this.#hasClosed) this.#goOn();
    if (this.#hasClosed) this.emit('close');
  }

  #goOn(): void {
    if (this.#isHalted) this.#socket.goOnReading();
    this.#isHalted = false;
    if (this.#hasEnded) this.emit('end');
    this.#hasEnded = false;
  }

  get #isOpen(): boolean {
    return !this.#isStopped && !this.#isPaused;
  }

  #halt(): void {
    if (!this.#isHalted) this.#socket.stopReading();
    this.#isHalted = true;
  }
}
