/**
 * The files of one container: in memory, bounded, gone with the pod.
 *
 * Anyone who may exec chooses names and contents. No name here ever reaches the files of this machine.
 */
import { posix } from 'node:path';

/** What one container may hold: enough to try `kubectl cp`, too little to fill a laptop's memory. */
const MAX_BYTES = 8 * 1024 * 1024;
const MAX_ENTRIES = 1000;

const DIRECTORIES = ['/bin', '/etc', '/home', '/proc', '/root', '/tmp', '/usr', '/var'];

export class FileError extends Error {
  override readonly name = 'FileError';
}

/** Absolute, without `.`, `..` and doubled slashes; what is relative starts at the root, where every program runs. */
export const absolute = (path: string): string => posix.resolve('/', path);

export class FileSystem {
  /** Contents of a file; undefined for a directory. */
  readonly #entries = new Map<string, Buffer | undefined>([['/', undefined]]);
  #bytes = 0;

  constructor(files: Readonly<Record<string, string>>) {
    for (const path of DIRECTORIES) this.#entries.set(path, undefined);
    for (const [path, text] of Object.entries(files)) this.write(path, Buffer.from(text));
  }

  /** Bytes that still fit. */
  get space(): number {
    return MAX_BYTES - this.#bytes;
  }

  exists(path: string): boolean {
    return this.#entries.has(absolute(path));
  }

  isDirectory(path: string): boolean {
    return this.exists(path) && this.read(path) === undefined;
  }

  /** Undefined for a directory and for what is not there. */
  read(path: string): Buffer | undefined {
    return this.#entries.get(absolute(path));
  }

  /** Names in a directory, in order. */
  list(path: string): string[] {
    const inside = absolute(path);
    return [...this.#entries.keys()]
      .filter((each) => each !== '/' && posix.dirname(each) === inside)
      .map((each) => posix.basename(each))
      .toSorted();
  }

  /** The path itself and all that lies below it, parents first. */
  walk(path: string): string[] {
    const from = absolute(path);
    const below = from === '/' ? '/' : `${from}/`;
    return [...this.#entries.keys()].filter((each) => each === from || each.startsWith(below)).toSorted();
  }

  /** Makes a directory with its parents; one that is there already will do. @throws FileError */
  makeDirectory(path: string): void {
    const wanted = absolute(path);
    if (this.isDirectory(wanted)) return;
    if (this.exists(wanted)) throw new FileError(`${wanted}: Not a directory`);
    this.makeDirectory(posix.dirname(wanted));
    this.#put(wanted, undefined);
  }

  /** Makes or replaces a file; its directory is made where it is missing. @throws FileError */
  write(path: string, bytes: Buffer): void {
    const wanted = absolute(path);
    if (this.isDirectory(wanted)) throw new FileError(`${wanted}: Is a directory`);
    const before = this.read(wanted)?.length ?? 0;
    if (bytes.length - before > this.space) throw new FileError(`${wanted}: No space left on device`);
    this.makeDirectory(posix.dirname(wanted));
    this.#put(wanted, bytes);
    this.#bytes += bytes.length - before;
  }

  #put(path: string, content: Buffer | undefined): void {
    if (!this.#entries.has(path) && this.#entries.size >= MAX_ENTRIES) {
      throw new FileError(`${path}: No space left on device`);
    }
    this.#entries.set(path, content);
  }
}
