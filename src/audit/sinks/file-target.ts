/** A file as a target: append only, rotated, found again when it was moved away, never through a symbolic link. */
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AuditLog, FileSinkSettings } from '../types.ts';
import { refuseForeignFolder, syncFile } from './folder.ts';
import { Rotation } from './rotation.ts';
import { codeOf, type LineTarget } from './target.ts';

/**
 * `O_NOFOLLOW`: whoever may write to the directory must not be able to point the record at another file. `O_RDWR` because the
 * last byte is looked at; it also opens a named pipe without waiting for a reader, so that it can be refused.
 */
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
/** The record names people and what they did: for its owner only. */
const MODE = 0o600;
const NEWLINE = 0x0a;

/** Faults of the room on the disk: the open file is still the right one, and the rest of a line can follow later. */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EAGAIN', 'EINTR']);

/**
 * A write of its own for each turn of the event loop would cost a line more than all the rest; what came since is lost with the process. What
 * is recorded ahead (`LineSink.written`) does not wait for it, and takes with it what was gathered.
 */
const GATHER_MS = 5;
const SYNC_EVERY_MS = 1000;
/** A folder in which nothing may be renamed will not be another one at the next line. */
const ROTATE_AGAIN_MS = 60_000;

export const lacksSpace = (error: unknown): boolean => NO_ROOM.has(codeOf(error));

export interface FileTargetParts {
  readonly log?: AuditLog | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly identity: BigIntStats;
  /** Milliseconds since the epoch. */
  readonly begunAt: number;
  /** Its folder is on the disk with its name. */
  isNamed: boolean;
}

/**
 * Appends to the file at `path`, made with mode 0600. Before each write the path is compared with what is open, so a file that was moved,
 * deleted or replaced (logrotate) is opened anew; one that was truncated in place goes on by `O_APPEND`.
 */
export class FileTarget implements LineTarget {
  readonly type = 'file';
  readonly readyAtOnce = false;
  readonly gatherMs = GATHER_MS;
  readonly #settings: FileSinkSettings;
  readonly #parts: FileTargetParts;
  readonly #rotation: Rotation;
  readonly #now: () => number;
  #file: OpenFile | undefined;
  /** Only whole lines are parted by a rotation. */
  #atLineStart = true;
  #rotateNotBefore = -Infinity;
  #syncSoon: NodeJS.Timeout | undefined;
  #syncFault: Error | undefined;

  constructor(settings: FileSinkSettings, parts: FileTargetParts = {}) {
    this.#settings = settings;
    this.#parts = parts;
    this.#rotation = new Rotation(settings, parts);
    this.#now = parts.now ?? Date.now;
  }

  get place(): string {
    return this.#settings.path;
  }

  async prepare(): Promise<'same' | 'fresh'> {
    const file = this.#file;
    const fault = this.#syncFault;
    this.#syncFault = undefined;
    if (fault !== undefined) {
      await this.#discard();
      throw fault;
    }
    const size = file && (await sizeIfStillAt(this.place, file.identity));
    if (file && size !== undefined) {
      this.#rotation.tidyNowAndThen();
      if (!this.#atLineStart || !this.#rotation.isDue({ size, begunAt: file.begunAt })) return 'same';
      if (!(await this.#moveAway())) return 'same';
    }
    await this.#discard();
    await refuseForeignFolder(dirname(this.place));
    this.#file = await this.#open();
    this.#atLineStart = true;
    this.#rotation.tidy();
    return 'fresh';
  }

  async write(bytes: Uint8Array, sync = false): Promise<number> {
    const file = this.#file;
    if (!file) throw new Error('the audit file is not open');
    try {
      const { bytesWritten } = await file.handle.write(bytes);
      if (bytesWritten === 0) throw new Error('the audit file takes no bytes');
      this.#atLineStart = bytes[bytesWritten - 1] === NEWLINE;
      await this.#afterWrite(file, sync);
      return bytesWritten;
    } catch (error) {
      if (!lacksSpace(error)) await this.#discard();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#rotation.close();
    await this.#discard();
  }

  /** A device has no disk behind it that could be asked. */
  #syncs(file: OpenFile): boolean {
    return this.#settings.fsync !== 'never' && file.identity.isFile();
  }

  async #afterWrite(file: OpenFile, sync: boolean): Promise<void> {
    // After a failed sync nobody knows what the disk has (the kernel forgets): the lines are written once more, into a file newly opened.
    if (file.identity.isFile() && (sync || this.#settings.fsync === 'always')) {
      await syncFile(file.handle, dirname(this.place), !file.isNamed);
      file.isNamed = true;
      return;
    }
    if (!this.#syncs(file) || this.#syncSoon !== undefined) return;
    this.#syncSoon = setTimeout(() => {
      this.#syncSoon = undefined;
      file.handle.datasync().catch((error: unknown) => {
        if (this.#file === file) this.#syncFault = error instanceof Error ? error : new Error(String(error));
      });
    }, SYNC_EVERY_MS);
    this.#syncSoon.unref();
  }

  /** @returns false where it could not be moved: the record goes on in it, rather too large than not at all */
  async #moveAway(): Promise<boolean> {
    if (this.#now() < this.#rotateNotBefore) return false;
    try {
      await this.#rotation.moveAway();
      return true;
    } catch (error) {
      this.#rotateNotBefore = this.#now() + ROTATE_AGAIN_MS;
      const message =
        'the audit file could not be rotated: its folder must let this process rename; it grows meanwhile';
      this.#parts.log?.error({ sink: this.place, err: error }, message);
      return false;
    }
  }

  async #discard(): Promise<void> {
    const old = this.#file;
    this.#file = undefined;
    clearTimeout(this.#syncSoon);
    this.#syncSoon = undefined;
    if (old === undefined) return;
    // What was written has been handed over already; a close that fails changes nothing about it.
    if (this.#syncs(old)) await old.handle.datasync().catch(() => {});
    await old.handle.close().catch(() => {});
  }

  async #open(): Promise<OpenFile> {
    const handle = await openPath(this.place);
    try {
      const identity = await handle.stat({ bigint: true });
      if (!identity.isFile() && !identity.isCharacterDevice()) {
        throw new Error('the audit file is a pipe, a socket or a folder');
      }
      if (identity.isFile() && identity.size > 0n) await endTornLine(handle, identity.size);
      // Some file systems do not know when a file was made.
      const born = Number(identity.birthtimeMs);
      const begunAt = identity.size > 0n && born > 0 ? Math.min(born, this.#now()) : this.#now();
      return { handle, identity, begunAt, isNamed: false };
    } catch (error) {
      await handle.close().catch(() => {});
      throw error;
    }
  }
}

/** @returns bytes; undefined where another file, or none, is at the path by now */
async function sizeIfStillAt(path: string, opened: BigIntStats): Promise<number | undefined> {
  try {
    const found = await lstat(path, { bigint: true });
    return found.dev === opened.dev && found.ino === opened.ino ? Number(found.size) : undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function openPath(path: string): Promise<FileHandle> {
  try {
    return await open(path, FLAGS, MODE);
  } catch (error) {
    if (codeOf(error) !== 'ELOOP') throw error;
    throw new Error('the audit file is a symbolic link: name the file itself, or use the stdout sink', {
      cause: error,
    });
  }
}

/** A process that died within a write left a part of a line: without this the next event would be glued to it and lost with it. */
async function endTornLine(handle: FileHandle, size: bigint): Promise<void> {
  const last = Buffer.alloc(1);
  await handle.read(last, 0, 1, size - 1n);
  if (last[0] !== NEWLINE) await handle.write('\n');
}
