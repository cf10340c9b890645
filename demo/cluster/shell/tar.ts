/** `tar`, from standard input and to standard output only: what `kubectl cp` runs in a container. */
import { absolute, FileError } from '../files/file-system.ts';
import {
  ARCHIVE_END,
  BLOCK,
  MAX_RECORDS,
  padding,
  pathOfRecords,
  readHeader,
  TarError,
  writeEntry,
} from '../files/tar-format.ts';
import type { TarHeader } from '../files/tar-format.ts';
import { INTERRUPTED } from './process.ts';
import type { Process } from './process.ts';

interface Wanted {
  readonly action: 'c' | 'x';
  readonly directory: string;
  readonly paths: readonly string[];
}

/** @throws TarError for what this tar cannot do */
function wanted(args: readonly string[]): Wanted {
  const [first = '', ...rest] = args;
  const letters = first.replace(/^-/, '');
  const action = /^[cx]/.exec(letters)?.[0] ?? '';
  if ((action !== 'c' && action !== 'x') || !/^[cxfmpv]+$/.test(letters)) throw new TarError('use cf - PATH or xf -');
  let directory = '/';
  const paths: string[] = [];
  if (letters.includes('f') && rest.shift() !== '-') throw new TarError('only standard input and output, written -');
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '-C') directory = absolute(rest.shift() ?? '/');
    else if (!arg.startsWith('--')) paths.push(arg);
  }
  return { action, directory, paths };
}

/** Exactly as many bytes as are asked for, from pieces of any size. */
class Blocks {
  readonly #process: Process;
  readonly #signal: AbortSignal;
  #rest: Buffer = Buffer.alloc(0);

  constructor(process: Process, signal: AbortSignal) {
    this.#process = process;
    this.#signal = signal;
  }

  /** @throws TarError where the input ends early */
  async take(count: number): Promise<Buffer> {
    const pieces = [this.#rest];
    let have = this.#rest.length;
    while (have < count) {
      const piece = await this.#process.input.read(this.#signal);
      if (piece.length === 0) throw new TarError('short read');
      pieces.push(piece);
      have += piece.length;
    }
    const bytes = Buffer.concat(pieces);
    this.#rest = bytes.subarray(count);
    return bytes.subarray(0, count);
  }
}

/** Contents of an entry. Its size is the client's word, so it is held against a bound before a byte is kept. */
async function content(blocks: Blocks, { name, size }: TarHeader, bound: number): Promise<Buffer> {
  if (size > bound) throw new FileError(`${name}: No space left on device`);
  return (await blocks.take(size + padding(size))).subarray(0, size);
}

async function unpack({ directory }: Wanted, process: Process, signal: AbortSignal): Promise<void> {
  const { files } = process;
  if (!files.isDirectory(directory)) throw new FileError(`can't change directory to '${directory}'`);
  const blocks = new Blocks(process, signal);
  let longName: string | undefined;
  for (
    let next = readHeader(await blocks.take(BLOCK));
    next !== undefined;
    next = readHeader(await blocks.take(BLOCK))
  ) {
    if (next.type === 'x' || next.type === 'L' || next.type === 'g') {
      const records = await content(blocks, next, MAX_RECORDS);
      if (next.type === 'x') longName = pathOfRecords(records);
      if (next.type === 'L') longName = records.toString('utf8').replace(/\0+$/, '');
      continue;
    }
    // A name that climbs with `..` stays below the directory.
    const path = directory + absolute(longName ?? next.name);
    longName = undefined;
    const bytes = await content(blocks, next, files.space);
    if (next.type === '5') files.makeDirectory(path);
    else if (next.type === '0') files.write(path, Buffer.from(bytes));
    else await process.err(`tar: skipping ${next.name}: neither a file nor a directory\n`);
  }
}

async function pack({ directory, paths }: Wanted, process: Process, signal: AbortSignal): Promise<number> {
  const { files } = process;
  let code = 0;
  for (const path of paths) {
    const from = path.startsWith('/') ? path : `${directory}/${path}`;
    if (!files.exists(from)) {
      await process.err(`tar: ${path}: No such file or directory\n`);
      code = 1;
      continue;
    }
    for (const each of files.walk(from)) {
      if (signal.aborted) return INTERRUPTED;
      if (each !== '/') await process.out(writeEntry(each, files.read(each)));
    }
  }
  await process.out(ARCHIVE_END);
  return code;
}

/** @returns exit code */
export async function tar(args: readonly string[], process: Process, signal: AbortSignal): Promise<number> {
  try {
    const what = wanted(args);
    if (what.action === 'c') return await pack(what, process, signal);
    await unpack(what, process, signal);
    return 0;
  } catch (error) {
    if (signal.aborted) return INTERRUPTED;
    if (!(error instanceof TarError || error instanceof FileError)) throw error;
    await process.err(`tar: ${error.message}\n`);
    return 1;
  }
}
