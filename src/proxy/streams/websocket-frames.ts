/**
 * Follows the frames of a WebSocket in one direction (RFC 6455 §5.2), only to know whether the last byte that
 * passed was the end of a frame: a close frame of ours may be inserted only there. Payloads are skipped, never
 * read.
 */

/** Longest header: 2 bytes, 8 of extended length, 4 of masking key. */
const MAX_HEADER_BYTES = 14;

export class FrameBoundary {
  readonly #header = Buffer.alloc(MAX_HEADER_BYTES);
  #headerLength = 0;
  /** Bytes of the current frame's payload that have not passed yet. A double: 2^53 is far beyond any real frame. */
  #payloadLeft = 0;
  #closed = false;

  /** True if a frame may be inserted here: the last one has ended, and it was no close frame. */
  get open(): boolean {
    return this.#headerLength === 0 && this.#payloadLeft === 0 && !this.#closed;
  }

  take(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const passed = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= passed;
        at += passed;
      } else {
        this.#header[this.#headerLength] = chunk[at] ?? 0;
        this.#headerLength += 1;
        at += 1;
        if (this.#headerLength === this.#neededHeader()) this.#endHeader();
      }
    }
  }

  #neededHeader(): number {
    if (this.#headerLength < 2) return 2;
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4);
  }

  #endHeader(): void {
    const length = (this.#header[1] ?? 0) & 0x7f;
    if (length === 126) this.#payloadLeft = this.#header.readUInt16BE(2);
    else if (length === 127) this.#payloadLeft = Number(this.#header.readBigUInt64BE(2));
    else this.#payloadLeft = length;
    this.#closed ||= ((this.#header[0] ?? 0) & 0x0f) === 0x8;
    this.#headerLength = 0;
  }
}

/** Bytes of a control frame after the status code (RFC 6455 §5.5). */
const MAX_REASON = 123;

/**
 * Returns a server's close frame.
 * @param status RFC 6455 §7.4.1
 * @param reason cut to the longest part that fits, between characters
 */
export function closeFrame(status: number, reason: string): Buffer {
  const text = new Uint8Array(MAX_REASON);
  const { written } = new TextEncoder().encodeInto(reason, text);
  return Buffer.concat([Buffer.from([0x88, 2 + written, status >> 8, status & 0xff]), text.subarray(0, written)]);
}
