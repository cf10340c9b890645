/** Raw HTTP/2 frames, and the responses to them (RFC 9113 §4, RFC 7541). */
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  headerBlock,
  RST_STREAM,
} from '../support/http2-frames.ts';

/** The type of a frame with a head. */
export const HEAD = 0x1;
export const PUSH_PROMISE = 0x5;
const GOAWAY = 0x7;
export const WINDOW_UPDATE = 0x8;

/** Any bytes at all, one character a byte. */
export type Fields = readonly (readonly [name: string, value: string])[];

export const headers = (fields: Fields, flags = END_STREAM | END_HEADERS, stream = 1): Buffer =>
  frame(HEAD, flags, stream, headerBlock(fields));

/** A head that is larger than one frame may be. */
export function longHeaders(fields: Fields, size: number): Buffer {
  const bytes = headerBlock(fields);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const last = at + size >= bytes.length ? END_HEADERS : 0;
    const [type, flags] = at === 0 ? [HEAD, END_STREAM] : [CONTINUATION, 0];
    parts.push(frame(type, flags | last, 1, bytes.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
}

export const data = (body: string, flags = END_STREAM, stream = 1): Buffer =>
  frame(DATA, flags, stream, Buffer.from(body, 'latin1'));

const CODES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

/** What came back about requests, in order: a status, `reset CODE`, or `goaway CODE`. */
export function answersIn(received: Buffer): string[] {
  const answers: string[] = [];
  for (let at = 0; at + 9 <= received.length;) {
    const length = received.readUIntBE(at, 3);
    const payload = received.subarray(at + 9, at + 9 + length);
    const type = received[at + 3];
    if (payload.length < length) break;
    if (type === HEAD) answers.push(statusIn(payload));
    if (type === RST_STREAM) answers.push(`reset ${CODES[payload.readUInt32BE(0)]}`);
    if (type === GOAWAY && payload.readUInt32BE(4) !== 0) answers.push(`goaway ${CODES[payload.readUInt32BE(4)]}`);
    at += 9 + length;
  }
  return answers;
}

const INDEXED: Readonly<Record<number, string>> = {
  8: '200',
  9: '204',
  10: '206',
  11: '304',
  12: '400',
  13: '404',
  14: '500',
};

/** `:status` comes first in every response; it is read without a whole decoder (RFC 7541 appendix A). */
function statusIn(header: Buffer): string {
  let at = 0;
  // A change of the table's size may come first.
  while (((header[at] ?? 0) & 0xe0) === 0x20) at += 1;
  const first = header[at] ?? 0;
  if (first >= 0x80) return INDEXED[first & 0x7f] ?? 'unknown';
  const length = header[at + 1] ?? 0;
  const value = header.subarray(at + 2, at + 2 + (length & 0x7f));
  return length >= 0x80 ? digits(value) : value.toString('latin1');
}

/** Huffman codes of the digits: five bits for 0 to 2, six for the others (RFC 7541 appendix B). */
function digits(bytes: Buffer): string {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let status = '';
  while (status.length < 3) {
    const short = Number.parseInt(bits.slice(0, 5), 2);
    const width = short <= 2 ? 5 : 6;
    status += short <= 2 ? short : Number.parseInt(bits.slice(0, 6), 2) - 0x19 + 3;
    bits = bits.slice(width);
  }
  return status;
}
