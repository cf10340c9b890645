/**
 * Writes WebSocket frames (RFC 6455 §5.2) to a client, each in a separate write, so that none shares a TLS record
 * with the next.
 *
 * Python's client asks the operating system whether its connection is readable, and not TLS. Of two frames in one
 * record it reads the first and waits for the second, which has already arrived, until the other side gives up half
 * a minute later.
 */
import { Writable, type Duplex } from 'node:stream';

/** Finds where frames end. It reads lengths only: bytes pass unchanged, also those that are no frames. */
export class FrameSplitter {
  #header: number[] = [];
  #left = 0;

  /** @returns the same bytes in pieces, none of which goes beyond the end of a frame */
  split(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    let start = 0;
    let at = 0;
    const cut = (): void => {
      if (at > start) pieces.push(chunk.subarray(start, at));
      start = at;
    };
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) cut();
        continue;
      }
      this.#header.push(chunk.readUInt8(at));
      at += 1;
      const length = payloadLength(this.#header);
      if (length === undefined) continue;
      this.#header = [];
      this.#left = length;
      if (length === 0) cut();
    }
    cut();
    return pieces;
  }
}

/** Returns undefined until the header is complete. */
function payloadLength(header: readonly number[]): number | undefined {
  const [, second] = header;
  if (second === undefined) return undefined;
  const short = second & 0x7f;
  const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
  const key = (second & 0x80) === 0 ? 0 : 4;
  if (header.length < 2 + extended + key) return undefined;
  return extended === 0 ? short : header.slice(2, 2 + extended).reduce((sum, byte) => sum * 256 + byte, 0);
}

/** Returns a stream that writes to `client` frame by frame, with its backpressure; its end is the client's. */
export function frameByFrame(client: Duplex): Writable {
  const frames = new FrameSplitter();
  const writable = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const pieces = frames.split(chunk);
      const next = (error?: Error | null): void => {
        const piece = error ? undefined : pieces.shift();
        // Data that is written while a write is under way would be joined with what follows it.
        if (piece === undefined) done(error);
        else client.write(piece, next);
      };
      next();
    },
    final: (done) => {
      client.end(done);
    },
  });
  // The client's own events report that it has closed.
  return writable.on('error', () => undefined);
}
