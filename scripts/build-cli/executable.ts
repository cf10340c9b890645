/**
 * A single executable for Linux: Node with our script inside (https://nodejs.org/api/single-executable-applications.html).
 *
 * Node 24 makes the blob, and leaves it to others to put it in. It looks for it in a note of the ELF file, so this is what is done
 * here: sections that are not loaded (debugging, symbols) go, the blob comes behind the data that is loaded, and the header that described
 * the build id describes the blob instead.
 * @see https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html
 * @see https://github.com/nodejs/postject/blob/main/postject-api.h how Node looks
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inSeaFolder, type SeaContent } from './sea-folder.ts';

const NOTE_NAME = 'NODE_SEA_BLOB';
/** Node looks for this in itself; the digit behind the colon says whether there is a blob. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:';

const PT_LOAD = 1;
const PT_NOTE = 4;

interface Header {
  /** Where it stands in the file. */
  readonly at: number;
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

/** @returns the blob; without a keyring's library it is the same for every processor, because it holds text */
export const blobOf = (content: SeaContent): Buffer =>
  inSeaFolder(content, { output: 'blob' }, (dir) => {
    execFileSync(process.execPath, ['--experimental-sea-config', 'sea.json'], { cwd: dir, stdio: 'pipe' });
    return readFileSync(join(dir, 'blob'));
  });

/**
 * @param node Node's own executable, 64-bit little-endian ELF, of the version that made the blob
 * @returns a new executable
 */
export function withBlob(node: Buffer, blob: Buffer): Buffer {
  if (node.readUInt32BE(0) !== 0x7f454c46 || node[4] !== 2 || node[5] !== 1) throw new Error('not a 64-bit ELF file');
  const headers = headersOf(node);
  // They are in order of addresses; the last is data.
  const last = headers.findLast(({ type }) => type === PT_LOAD);
  const note = headers.find(({ type }) => type === PT_NOTE);
  if (last === undefined || note === undefined) throw new Error('an ELF file without the usual');
  // What is zero in memory and absent from the file must be in the file now, because something follows it.
  const loadedBytes = Math.ceil(last.memorySize / 16) * 16;
  const content = noteOf(blob);
  const result = Buffer.alloc(last.offset + loadedBytes + content.length);
  node.copy(result, 0, 0, last.offset + last.fileSize);
  content.copy(result, last.offset + loadedBytes);
  writeSizes(result, last, loadedBytes + content.length);
  writeNote(result, note, {
    offset: last.offset + loadedBytes,
    address: last.address + loadedBytes,
    size: content.length,
  });
  withoutSections(result);
  flipFuse(result);
  return result;
}

function headersOf(elf: Buffer): readonly Header[] {
  const start = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  return Array.from({ length: elf.readUInt16LE(56) }, (_, index) => {
    const at = start + index * size;
    const long = (field: number): number => Number(elf.readBigUInt64LE(at + field));
    const [offset, address, fileSize, memorySize] = [long(8), long(16), long(32), long(40)];
    return { at, type: elf.readUInt32LE(at), offset, address, fileSize, memorySize };
  });
}

/** Sizes of name and content, a type, then both, each on a multiple of four bytes. */
function noteOf(blob: Buffer): Buffer {
  const nameBytes = Math.ceil((NOTE_NAME.length + 1) / 4) * 4;
  const content = Buffer.alloc(12 + nameBytes + Math.ceil(blob.length / 4) * 4);
  content.writeUInt32LE(NOTE_NAME.length + 1, 0);
  content.writeUInt32LE(blob.length, 4);
  content.write(NOTE_NAME, 12, 'latin1');
  blob.copy(content, 12 + nameBytes);
  return content;
}

function writeSizes(elf: Buffer, { at }: Header, bytes: number): void {
  elf.writeBigUInt64LE(BigInt(bytes), at + 32);
  elf.writeBigUInt64LE(BigInt(bytes), at + 40);
}

function writeNote(
  elf: Buffer,
  header: Header,
  { offset, address, size }: { readonly offset: number; readonly address: number; readonly size: number },
): void {
  elf.writeBigUInt64LE(BigInt(offset), header.at + 8);
  elf.writeBigUInt64LE(BigInt(address), header.at + 16);
  elf.writeBigUInt64LE(BigInt(address), header.at + 24);
  writeSizes(elf, header, size);
  // 4: notes that are aligned to 8 the C library reads for itself.
  elf.writeBigUInt64LE(4n, header.at + 48);
}

/** No table of sections: they were cut off. */
function withoutSections(elf: Buffer): void {
  elf.writeBigUInt64LE(0n, 40);
  elf.writeUInt16LE(0, 60);
  elf.writeUInt16LE(0, 62);
}

function flipFuse(elf: Buffer): void {
  const at = elf.indexOf(`${FUSE}0`);
  if (at === -1 || elf.includes(`${FUSE}0`, at + 1)) throw new Error('this Node takes no script inside');
  elf.write('1', at + FUSE.length, 'latin1');
}
