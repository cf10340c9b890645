/**
 * Stands between the TLS of a connection and Node's HTTP/2, so that what is read of it can wait, and what it costs is seen.
 *
 * Node's HTTP/2 reads a TLS socket beneath all JavaScript. nghttp2 writes a text about each field that HTTP does not allow,
 * which Node drops; by its table (RFC 7541 §2.3.2) an attacker repeats one of 4 kB with a byte. So the 16 kB of a record take
 * 24 ms, without a credential and without a call of ours, and those of 1,900 connections came to their end in one turn. Here
 * each record is handed over by itself, and what comes behind one that was dear waits for the next turn.
 */
import { EventEmitter } from 'node:events';
import type { Http2Session } from 'node:http2';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { relayedBy, type Reader } from './reader.ts';

/** Beyond so many, small records that wait are joined: each would be 200 bytes more. */
const MOST_KEPT = 16;
/** Of records that are joined, as of the largest there is: an attacker's take 24 ms. */
const MOST_BYTES = 16_384;

/** No more is told, because the clock goes on while the process has no processor: an attacker's take three quarters of it. */
const MOST_MS_OF_A_BYTE = 0.002;

/** Two for each frame of a watch: to copy them costs less than to write each. Larger ones are not copied again. */
const MOST_JOINED = 65_536;

/** Node's own part of a stream that is no socket. */
interface StreamHandle {
  onwrite: (request: object, pieces: readonly Uint8Array[]) => number;
  finishWrite(request: object, status: number): void;
  onshutdown: (request: object) => number;
  finishShutdown(request: object, status: number): void;
}

/** What Node's HTTP/2 is given in place of a TLS socket. */
export interface Http2Reads {
  /** Has what Node uses of a stream beneath its HTTP/2, and no more. */
  readonly stream: Duplex;
  /** Something was written that Node's HTTP/2 does not know to be written yet: more may be behind it. */
  readonly isWriting: boolean;
  /**
   * Writes for a session, which was given the stream. Node's own stream for this asserts that an end and a write do not
   * meet. They do where a client sends its end before it has read all, and the process would end with that.
   */
  writesFor(session: Http2Session): void;
}

/**
 * Hands a record over by calling `deliver`, before it returns: that says how many milliseconds it took. It may stop the
 * connection (`readerOf`).
 */
export type ReadRecord = (bytes: number, deliver: () => number) => void;

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
    writesFor: (session) => records.writesFor(session),
  };
}

function joined(records: readonly Buffer[]): Buffer[] {
  const groups: Buffer[][] = [];
  let left = 0;
  for (const record of records) {
    left -= record.length;
    if (left >= 0) groups.at(-1)?.push(record);
    else {
      groups.push([record]);
      left = MOST_BYTES - record.length;
    }
  }
  return groups.map((group) => Buffer.concat(group));
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
  /** For the next turn, with what is kept. */
  #isWaiting = false;
  #hasEnded = false;
  #hasClosed = false;
  #writes = 0;

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
        this.#later();
      },
    });
    this.#socket = socket;
    this.#isStopped = this.#isHalted = socket.wasStopped;
    tls.on('data', (record: Buffer) => {
      this.#kept.push(record);
      // Behind others it waits with them.
      if (this.#kept.length === 1 && this.#isOpen) this.#handOver();
      else this.#settle();
    });
    tls.once('end', () => {
      this.#hasEnded = true;
      this.#settle();
    });
    tls.on('error', (error) => this.emit('error', error));
    tls.once('close', () => {
      this.#hasClosed = true;
      if (!this.#hasEnded || rest === 'dropped') this.#kept = [];
      this.#settle();
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
    this.#later();
  }

  /** Before `writesFor`, as everything to `uncork`. */
  cork(): void {
    this.#tls.cork();
  }

  write(bytes: Uint8Array, written: (error?: Error | null) => void): void {
    this.#tls.write(bytes, written);
  }

  uncork(): void {
    this.#tls.uncork();
  }

  writesFor(session: Http2Session): void {
    const { _handle: handle } = session.socket as unknown as { readonly _handle: StreamHandle };
    handle.onwrite = (request, pieces) => {
      this.#writes += 1;
      this.#writePieces(pieces, (error) => {
        // Not while Node is in the middle of the write. What is behind it is written before this returns.
        setImmediate(() => {
          handle.finishWrite(request, error ? -constants.errno.EPIPE : 0);
          this.#writes -= 1;
        });
      });
      return 0;
    };
    handle.onshutdown = (request) => {
      // Where the connection is closed already, Node calls nothing back, and would keep the request for ever.
      const done = (): void => {
        tls.off('close', done);
        if (!isDone) setImmediate(() => handle.finishShutdown(request, 0));
        isDone = true;
      };
      const tls = this.#tls;
      let isDone = false;
      if (tls.destroyed) done();
      else tls.once('close', done).end(done);
      return 0;
    };
  }

  #writePieces(pieces: readonly Uint8Array[], written: (error?: Error | null) => void): void {
    const tls = this.#tls;
    if (tls.destroyed || tls.writableEnded) return written(new Error('closed'));
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length <= MOST_JOINED) return void tls.write(Buffer.concat(pieces, length), written);
    tls.cork();
    for (const piece of pieces.slice(0, -1)) tls.write(piece);
    tls.write(pieces.at(-1) ?? '', written);
    tls.uncork();
  }

  end(ended: () => void): void {
    this.#tls.end(ended);
  }

  destroy(): void {
    this.#tls.destroy();
  }

  /**
   * Those that share out turns let many go on, one after the other: what is kept of one is handed over once all of them
   * have been, a record in a turn, and only if what another one had has not stopped it meanwhile.
   */
  #later(): void {
    if (this.#kept.length === 0) return this.#settle();
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setImmediate(() => {
      this.#isWaiting = false;
      if (this.#isOpen) this.#handOver();
    });
  }

  #handOver(): void {
    if (this.#isHandingOver) return;
    const record = this.#kept.shift();
    this.#isHandingOver = true;
    try {
      if (record !== undefined) this.#read(record.length, () => this.#deliver(record));
    } finally {
      this.#isHandingOver = false;
    }
    this.#settle();
    if (this.#isOpen && this.#kept.length > 0) this.#later();
  }

  #deliver(record: Buffer): number {
    const begunMs = performance.now();
    this.emit('data', record);
    return Math.min(performance.now() - begunMs, record.length * MOST_MS_OF_A_BYTE);
  }

  #settle(): void {
    if (this.#isHandingOver) return;
    if (this.#kept.length > MOST_KEPT) this.#kept = joined(this.#kept);
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
