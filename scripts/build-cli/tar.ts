/** Archives whose bytes depend on what is in them and on nothing else: no times, no owners, no order of a file system. */
import { gzipSync } from 'node:zlib';

export interface ArchivedFile {
  /** Relative, with `/`; at most 100 bytes. */
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

const BLOCK = 512;

/** A gzipped ustar archive (pax(1)), in the order given. */
export function tarball(files: readonly ArchivedFile[]): Buffer {
  const blocks = files.flatMap(({ path, mode, content }) => {
    const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
    return [header(path, mode, content.length), content, padding];
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]));
}

function header(path: string, mode: number, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number): number =>
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  if (Buffer.byteLength(path) > 100) throw new Error(`${path} is too long a name for an archive`);
  block.write(path, 0, 'utf8');
  octal(mode, 100, 7);
  octal(0, 108, 7); // owner and group: anyone who unpacks it
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(0, 136, 11); // time
  block.fill(' ', 148, 156);
  block.write('0', 156, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  block[154] = 0;
  return block;
}
