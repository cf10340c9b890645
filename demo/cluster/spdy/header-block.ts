/**
 * Header blocks: names and values, compressed by one zlib stream per direction that goes on from block to block.
 *
 * Each block ends in a sync flush, so it is a whole number of bytes and can be taken alone, when what came before stands in
 * the window. That window is kept here, which lets a block be read or written in one synchronous step with a bound on its size.
 * @see SPDY/3.1 §2.6.10
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';

import { DICTIONARY, DICTIONARY_ID } from './dictionary.ts';

/** Bytes that a deflate stream can look back over. */
const WINDOW = 32 * 1024;

/** A few names and values are all that is ever sent; a larger block is an attempt to fill memory. */
const MAX_BLOCK_BYTES = 64 * 1024;

/** CM 8 with a 32 KiB window; level 2, FDICT set, and the check bits that make it a multiple of 31 (RFC 1950 §2.2). */
const ZLIB_HEADER = Buffer.concat([Buffer.from([0x78, 0xbb]), DICTIONARY_ID]);

const FLUSH = { finishFlush: constants.Z_SYNC_FLUSH };

/** Names are lower case; several values of a name are parted by NUL. */
export type Headers = ReadonlyMap<string, string>;

export class HeaderBlockError extends Error {
  override readonly name = 'HeaderBlockError';
}

/** One direction's window. */
class Window {
  bytes: Buffer = DICTIONARY;

  add(plain: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, plain]).subarray(-WINDOW);
  }
}

function serialise(headers: Headers): Buffer {
  const parts: Buffer[] = [];
  const number = (value: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    parts.push(bytes);
  };
  const text = (value: string): void => {
    const bytes = Buffer.from(value);
    number(bytes.length);
    parts.push(bytes);
  };
  number(headers.size);
  for (const [name, value] of headers) {
    text(name);
    text(value);
  }
  return Buffer.concat(parts);
}

function parse(plain: Buffer): Headers {
  const headers = new Map<string, string>();
  let offset = 0;
  const number = (): number => {
    if (offset + 4 > plain.length) throw new HeaderBlockError('the header block ends early');
    offset += 4;
    return plain.readUInt32BE(offset - 4);
  };
  const text = (): string => {
    const length = number();
    if (offset + length > plain.length) throw new HeaderBlockError('the header block ends early');
    offset += length;
    return plain.toString('utf8', offset - length, offset);
  };
  const count = number();
  for (let index = 0; index < count; index += 1) {
    const name = text().toLowerCase();
    if (name === '' || headers.has(name)) throw new HeaderBlockError('a header name is empty or stands twice');
    headers.set(name, text());
  }
  return headers;
}

export class HeaderCompressor {
  readonly #window = new Window();
  #started = false;

  compress(headers: Headers): Buffer {
    const plain = serialise(headers);
    const packed = deflateRawSync(plain, { ...FLUSH, dictionary: this.#window.bytes });
    this.#window.add(plain);
    if (this.#started) return packed;
    this.#started = true;
    return Buffer.concat([ZLIB_HEADER, packed]);
  }
}

export class HeaderDecompressor {
  readonly #window = new Window();
  #started = false;

  /** @throws HeaderBlockError for what is no header block, or one that is too large; the connection is then of no more use */
  decompress(block: Buffer): Headers {
    const plain = this.#inflate(this.#started ? block : this.#withoutHeader(block));
    this.#started = true;
    this.#window.add(plain);
    return parse(plain);
  }

  #withoutHeader(block: Buffer): Buffer {
    const id = block.subarray(2, ZLIB_HEADER.length);
    if (block.length < ZLIB_HEADER.length || !id.equals(DICTIONARY_ID)) {
      throw new HeaderBlockError('the header block was not compressed with the dictionary of SPDY/3');
    }
    return block.subarray(ZLIB_HEADER.length);
  }

  #inflate(block: Buffer): Buffer {
    try {
      return inflateRawSync(block, { ...FLUSH, dictionary: this.#window.bytes, maxOutputLength: MAX_BLOCK_BYTES });
    } catch (error) {
      throw new HeaderBlockError('the header block cannot be decompressed', { cause: error });
    }
  }
}
