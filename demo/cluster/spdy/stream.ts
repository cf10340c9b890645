/** One stream of a SPDY connection, as a Node duplex: half-closing, and pausing its sender while it is not read. */
import { Duplex } from 'node:stream';

import type { Headers } from './header-block.ts';

/** How the stream reaches the wire. */
export interface StreamWire {
  send(payload: Buffer, fin: boolean, sent: (error?: Error | null) => void): void;
  reset(): void;
  /** The stream's reader is behind (true) or wants more (false). */
  stalled(behind: boolean): void;
}

export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: Headers;
  readonly #wire: StreamWire;
  #ended = false;

  constructor(id: number, headers: Headers, wire: StreamWire) {
    super({ allowHalfOpen: true });
    this.id = id;
    this.headers = headers;
    this.#wire = wire;
  }

  /** Bytes from the other end. */
  receive(payload: Buffer, fin: boolean): void {
    if (this.#ended) return;
    if (payload.length > 0 && !this.push(payload)) this.#wire.stalled(true);
    if (!fin) return;
    this.#ended = true;
    this.push(null);
  }

  override _read(): void {
    this.#wire.stalled(false);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, sent: (error?: Error | null) => void): void {
    this.#wire.send(chunk, false, sent);
  }

  override _final(sent: (error?: Error | null) => void): void {
    this.#wire.send(Buffer.alloc(0), true, sent);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wire.stalled(false);
    if (!this.#ended || !this.writableFinished) this.#wire.reset();
    done(error);
  }
}
