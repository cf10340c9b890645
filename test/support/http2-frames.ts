/** HTTP/2 frames written manually (RFC 9113 §4.1), for what no client library would send. */

export const DATA = 0x0;
export const HEADERS = 0x1;
export const RST_STREAM = 0x3;
export const SETTINGS = 0x4;
export const PING = 0x6;
export const CONTINUATION = 0x9;
export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** What a client says first: the preface and its empty SETTINGS (RFC 9113 §3.4). */
export const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0)]);

/** A whole head; its stream stays open for a body. */
export const headersFrame = (stream: number, headers: Readonly<Record<string, string>>, flags = END_HEADERS): Buffer =>
  frame(HEADERS, flags, stream, headerBlock(Object.entries(headers)));

/** Literal fields without indexing, names in full (RFC 7541 §6.2.2). */
export const headerBlock = (headers: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));

/**
 * A head of so many bytes that does not end, of one field that HTTP does not allow (RFC 9113 §8.2.1): it stands in the table
 * of the connection (RFC 7541 §6.2.1), and each further byte names it again (§6.1).
 */
export function repeatedField(stream: number, bytes: number): Buffer {
  const field = Buffer.concat([Buffer.from([0x40]), text('a'), text(`${'v'.repeat(3_900)}\x01`)]);
  return frame(HEADERS, 0, stream, Buffer.concat([field, Buffer.alloc(bytes - field.length, 0xbe)]));
}

/** A string without Huffman coding (RFC 7541 §5.2), its length as an integer with a prefix of seven bits (§5.1). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  const length = [Math.min(bytes.length, 127)];
  if (bytes.length >= 127) {
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
