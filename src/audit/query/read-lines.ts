/**
 * Reads one file of the audit log as a stream: gzipped or not, of any size, never more than a chunk of it in
 * memory.
 */
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

const CHUNK_BYTES = 256 * 1024;
/** Longer than any line that Portcullis or an API server writes. */
const LONGEST_LINE = 1024 * 1024;
const NEWLINE = 0x0a;
const GZIP = Buffer.from([0x1f, 0x8b]);

export interface LineReader {
  /** Called with each line, without its newline, in order. The buffer is valid during the call only. */
  line(line: Buffer): void;
  /** Called for a line that is too long to be examined. */
  tooLong(): void;
}

/**
 * Passes every line of a file to the reader; yields once per chunk, so that the caller can apply back pressure.
 * @param file a path, `-` for standard input, or an open file, which is closed at its end; gzip is detected by its first
 *   bytes, not by its name
 * @throws the system's error, and zlib's if a gzipped file breaks off
 */
export async function* readLines(file: string | FileHandle, reader: LineReader): AsyncGenerator<void> {
  let rest = Buffer.alloc(0);
  let skipping = false;
  for await (const chunk of await unpacked(file)) {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, at)) {
      const piece = chunk.subarray(at, end);
      if (!skipping) reader.line(rest.length === 0 ? piece : Buffer.concat([rest, piece]));
      skipping = false;
      rest = Buffer.alloc(0);
      at = end + 1;
    }
    if (!skipping) rest = at === chunk.length ? rest : Buffer.concat([rest, chunk.subarray(at)]);
    if (rest.length > LONGEST_LINE) {
      reader.tooLong();
      skipping = true;
      rest = Buffer.alloc(0);
    }
    yield;
  }
  if (rest.length > 0) reader.line(rest);
  yield;
}

function streamOf(file: string | FileHandle): Readable {
  if (file === '-') return process.stdin;
  const options = { highWaterMark: CHUNK_BYTES };
  return typeof file === 'string' ? createReadStream(file, options) : file.createReadStream(options);
}

async function unpacked(file: string | FileHandle): Promise<AsyncIterable<Buffer>> {
  const source = streamOf(file);
  const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  const first = await chunks.next();
  const whole = joined(first.done === true ? Buffer.alloc(0) : first.value, chunks);
  if (first.done === true || !first.value.subarray(0, 2).equals(GZIP)) return whole;
  const packed = new PassThrough();
  const unzipped = createGunzip({ chunkSize: CHUNK_BYTES });
  // Errors of any of the three surface where the lines are read.
  pipeline(whole, packed, unzipped, () => undefined);
  return unzipped;
}

async function* joined(first: Buffer, rest: AsyncIterator<Buffer, undefined>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
