/** Reads files of the audit log as lines, gzipped or not. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** Bytes that are read at once: of a small file, the whole of it. */
const MOST_AT_ONCE = 1024 * 1024;
const LEAST_AT_ONCE = 16 * 1024;
const NEWLINE = 0x0a;
/**
 * Longer than any line that the header limit allows. Bytes beyond it are not kept, so that a hostile file costs no
 * memory.
 */
const LONGEST = 8 * 1024 * 1024;

/**
 * @param take called for each line in order, without its newline, with its number from 1; `whole` is false for a
 * last line without one
 * @returns number of lines
 * @throws if the file cannot be read, or its compressed data is damaged
 */
export async function eachLine(
  path: string,
  take: (bytes: Buffer, number: number, whole: boolean) => void,
): Promise<number> {
  let begun: Buffer[] = [];
  let length = 0;
  let number = 0;
  const keep = (piece: Buffer): void => {
    if (length + piece.length > LONGEST) return;
    begun.push(piece);
    length += piece.length;
  };
  const end = (whole: boolean): void => {
    const [only = Buffer.alloc(0)] = begun;
    take(begun.length > 1 ? Buffer.concat(begun) : only, (number += 1), whole);
    begun = [];
    length = 0;
  };
  for await (const piece of await contentOf(path)) {
    const chunk = piece as Buffer;
    let from = 0;
    for (let to = chunk.indexOf(NEWLINE); to !== -1; to = chunk.indexOf(NEWLINE, from)) {
      keep(chunk.subarray(from, to));
      end(true);
      from = to + 1;
    }
    if (from < chunk.length) keep(chunk.subarray(from));
  }
  if (length > 0) end(false);
  return number;
}

/** Detects gzip by its first bytes, because names change on the way to an archive. */
async function contentOf(path: string): Promise<Readable> {
  const magic = Buffer.alloc(2);
  await using file = await open(path, 'r');
  await file.read(magic, 0, 2, 0);
  const { size } = await file.stat();
  const chunk = Math.min(Math.max(size, LEAST_AT_ONCE), MOST_AT_ONCE);
  const stream = createReadStream(path, { highWaterMark: chunk });
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return stream;
  const plain = createGunzip({ chunkSize: chunk });
  stream.on('error', (error) => plain.destroy(error));
  return stream.pipe(plain);
}
