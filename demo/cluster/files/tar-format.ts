/**
 * Tar archives, as far as `kubectl cp` needs them: files and directories, long names by pax records or GNU's own entry.
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar and pax interchange formats)
 */
import { absolute } from './file-system.ts';

export const BLOCK = 512;

/** A name or a set of pax records; longer than this is no name. */
export const MAX_RECORDS = 64 * 1024;

export class TarError extends Error {
  override readonly name = 'TarError';
}

export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** `0` file, `5` directory, `x` and `g` pax records, `L` GNU's long name. */
  readonly type: string;
}

const text = (block: Buffer, start: number, length: number): string => {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
};

const octal = (block: Buffer, start: number, length: number): number => {
  const digits = text(block, start, length).trim();
  if (!/^[0-7]{1,11}$/.test(digits)) throw new TarError('invalid tar header');
  return Number.parseInt(digits, 8);
};

/** The sum over the header with its own field read as blanks. */
function checksum(block: Buffer): number {
  let sum = 0;
  for (let index = 0; index < BLOCK; index += 1) {
    sum += index >= 148 && index < 156 ? 0x20 : (block[index] ?? 0);
  }
  return sum;
}

/**
 * @returns undefined for a block of zeros, with which an archive ends
 * @throws TarError
 */
export function readHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (block.length < BLOCK || octal(block, 148, 8) !== checksum(block)) throw new TarError('invalid tar header');
  const prefix = text(block, 257, 5) === 'ustar' ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size: octal(block, 124, 12),
    type: text(block, 156, 1) || '0',
  };
}

/** The `path` of a set of pax records, each of the form `LENGTH KEY=VALUE\n`. @throws TarError */
export function pathOfRecords(records: Buffer): string | undefined {
  let path: string | undefined;
  for (let start = 0; start < records.length;) {
    const blank = records.indexOf(0x20, start);
    const length = Number(records.toString('latin1', start, blank));
    const record = records.toString('utf8', blank + 1, start + length - 1);
    if (blank === -1 || !(length > 0) || start + length > records.length) throw new TarError('invalid pax record');
    if (record.startsWith('path=')) path = record.slice('path='.length);
    start += length;
  }
  return path;
}

export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function header(name: Buffer, size: number, type: string): Buffer {
  const block = Buffer.alloc(BLOCK);
  name.copy(block, 0, 0, 100);
  block.write(type === '5' ? '0000755\0' : '0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write(type, 156);
  block.write('ustar\u000000', 257, 'latin1');
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** `LENGTH path=NAME\n`, where the length counts its own digits. */
function pathRecord(name: string): Buffer {
  const rest = Buffer.byteLength(` path=${name}\n`);
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length += 1;
  return Buffer.from(`${length} path=${name}\n`);
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(padding(bytes.length))]);

/**
 * One entry, header and contents.
 * @param path absolute; stands in the archive without its first slash, as with every tar
 * @param content undefined for a directory
 */
export function writeEntry(path: string, content: Buffer | undefined): Buffer {
  const name = `${absolute(path).slice(1)}${content === undefined ? '/' : ''}`;
  const bytes = Buffer.from(name);
  const entry = [
    header(bytes, content?.length ?? 0, content === undefined ? '5' : '0'),
    padded(content ?? Buffer.alloc(0)),
  ];
  if (bytes.length <= 100) return Buffer.concat(entry);
  const record = pathRecord(name);
  return Buffer.concat([header(Buffer.from('pax'), record.length, 'x'), padded(record), ...entry]);
}

/** Two blocks of zeros. */
export const ARCHIVE_END: Buffer = Buffer.alloc(2 * BLOCK);
