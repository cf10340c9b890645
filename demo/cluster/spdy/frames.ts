/**
 * Frames on the wire: pure, bytes to frames and back.
 * @see SPDY/3.1 §2.2 and §2.6
 */

export const FLAG_FIN = 0x01;

export const CONTROL = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const RST = { protocolError: 1, refusedStream: 3, cancel: 5, internalError: 6 } as const;

const VERSION = 3;
const HEADER_BYTES = 8;

/** No client sends more than 64 KiB in one; the format would allow 16 MiB. */
const MAX_FRAME_BYTES = 1024 * 1024;

export type Frame =
  | { readonly kind: 'control'; readonly type: number; readonly flags: number; readonly payload: Buffer }
  | { readonly kind: 'data'; readonly stream: number; readonly flags: number; readonly payload: Buffer };

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Cuts a stream of bytes into frames, whatever the pieces they come in. */
export class FrameParser {
  #pending: Buffer = Buffer.alloc(0);

  /** @throws FrameError for another version, or a frame beyond bounds */
  *push(chunk: Buffer): Generator<Frame> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) yield frame;
  }

  #next(): Frame | undefined {
    const bytes = this.#pending;
    if (bytes.length < HEADER_BYTES) return undefined;
    const word = bytes.readUInt32BE(0);
    const length = bytes.readUIntBE(5, 3);
    if (length > MAX_FRAME_BYTES) throw new FrameError('a frame is larger than this server accepts');
    if (bytes.length < HEADER_BYTES + length) return undefined;
    const flags = bytes.readUInt8(4);
    const payload = bytes.subarray(HEADER_BYTES, HEADER_BYTES + length);
    this.#pending = bytes.subarray(HEADER_BYTES + length);
    if (word < 0x80000000) return { kind: 'data', stream: word, flags, payload };
    if (((word >>> 16) & 0x7fff) !== VERSION) throw new FrameError('the frame is not of SPDY/3.1');
    return { kind: 'control', type: word & 0xffff, flags, payload };
  }
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

function withLength(start: Buffer, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt8(flags, 0);
  header.writeUIntBE(payload.length, 1, 3);
  return Buffer.concat([start, header, payload]);
}

const control = (type: number, flags: number, payload: Buffer): Buffer =>
  withLength(word(0x80000000 + VERSION * 0x10000 + type), flags, payload);

export const dataFrame = (stream: number, payload: Buffer, fin = false): Buffer =>
  withLength(word(stream), fin ? FLAG_FIN : 0, payload);

/** @param block compressed header block */
export const synStream = (stream: number, block: Buffer, fin = false): Buffer =>
  control(CONTROL.synStream, fin ? FLAG_FIN : 0, Buffer.concat([word(stream), word(0), Buffer.alloc(2), block]));

/** @param block compressed header block */
export const synReply = (stream: number, block: Buffer): Buffer =>
  control(CONTROL.synReply, 0, Buffer.concat([word(stream), block]));

export const rstStream = (stream: number, status: number): Buffer =>
  control(CONTROL.rstStream, 0, Buffer.concat([word(stream), word(status)]));

export const ping = (id: number): Buffer => control(CONTROL.ping, 0, word(id));

export const goAway = (lastGood: number, status: number): Buffer =>
  control(CONTROL.goAway, 0, Buffer.concat([word(lastGood), word(status)]));

/** The four bytes at `offset` without their first bit. @throws FrameError where the payload is too short */
export function word31(payload: Buffer, offset: number): number {
  if (payload.length < offset + 4) throw new FrameError('a frame ends early');
  return payload.readUInt32BE(offset) & 0x7fffffff;
}
