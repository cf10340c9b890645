/** A file as a target: append only, rotated, reopened when it was moved, never through a symbolic link. */
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../../contracts/logger.ts';
import type { FileSinkSettings } from '../types.ts';
import { BATCH_BYTES } from './batch.ts';
import { requireOwnFolder, syncFile } from './folder.ts';
import { Rotation } from './rotation.ts';
import { codeOf, type LineTarget } from './target.ts';

/**
 * `O_NOFOLLOW`: an attacker who can write to the directory must not be able to point the audit log at another
 * file. `O_RDWR` because the last byte is read; it also opens a named pipe without waiting for a reader, so that
 * it can be rejected.
 */
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
/** The audit log names users and their actions: readable by its owner only. */
const MODE = 0o600;
const NEWLINE = 0x0a;

/** Errors about space on the disk: the open file is still the right one, and the rest of a line can follow later. */
const OUT_OF_SPACE = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EAGAIN', 'EINTR']);

/**
 * A separate write for each turn of the event loop would cost a line more than all the rest; lines gathered since
 * are lost with the process. Events recorded ahead (`LineSink.written`) do not wait for it, and are written with
 * everything gathered.
 */
const GATHER_MS = 5;
const SYNC_EVERY_MS = 1000;
/**
 * Each write comes after a look at the path, without which an event would go into a file that was deleted, and count as
 * kept. So the two are shared by more lines the more there are, up to a size that a slow disk takes well before it
 * counts as hanging.
 */
const MOST_BATCH_BYTES = 4 * 1024 * 1024;
/** A folder in which nothing may be renamed will not have changed at the next line. */
const ROTATE_AGAIN_MS = 60_000;

export const isOutOfSpace = (error: unknown): boolean => OUT_OF_SPACE.has(codeOf(error));

export interface FileTargetParts {
  readonly logger?: Logger | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs?: (() => number) | undefined;
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
 * Appends to the file at `path`, created with mode 0600. Before each write the path is compared with the open
 * file, so a file that was moved, deleted or replaced (logrotate) is opened again; one that was truncated in place
 * continues because of `O_APPEND`.
 */
export class FileTarget implements LineTarget {
  readonly type = 'file';
  readonly readyImmediately = false;
  readonly gatherMs = GATHER_MS;
  readonly #settings: FileSinkSettings;
  readonly #parts: FileTargetParts;
  readonly #rotation: Rotation;
  readonly #nowMs: () => number;
  #file: OpenFile | undefined;
  /** A rotation happens only between whole lines. */
  #atLineStart = true;
  #rotateNotBefore = -Infinity;
  /** Of the open file, when it was last looked at. */
  #size = 0;
  #syncSoon: NodeJS.Timeout | undefined;
  #syncError: Error | undefined;

  constructor(settings: FileSinkSettings, parts: FileTargetParts = {}) {
    this.#settings = settings;
    this.#parts = parts;
    this.#rotation = new Rotation(settings, parts);
    this.#nowMs = parts.nowMs ?? Date.now;
  }

  get location(): string {
    return this.#settings.path;
  }

  /** A batch does not carry a file far beyond the size at which it ends. */
  get batchBytes(): number {
    return Math.max(BATCH_BYTES, Math.min(MOST_BATCH_BYTES, this.#rotation.bytesLeft(this.#size)));
  }

  get holdsForSeconds(): number | undefined {
    return this.#file && this.#rotation.holdsFor(this.#file.begunAt);
  }

  async prepare(): Promise<'same' | 'fresh'> {
    const file = this.#file;
    const failure = this.#syncError;
    this.#syncError = undefined;
    if (failure !== undefined) {
      await this.#discard();
      throw failure;
    }
    const size = file && (await sizeIfStillAt(this.location, file.identity));
    if (file && size !== undefined) {
      this.#size = size;
      this.#rotation.tidyNowAndThen();
      if (!this.#atLineStart || !this.#rotation.isDue({ size, begunAt: file.begunAt })) return 'same';
      if (!(await this.#moveAway({ size, begunAt: file.begunAt }))) return 'same';
    }
    await this.#discard();
    await requireOwnFolder(dirname(this.location));
    this.#file = await this.#open();
    this.#size = Number(this.#file.identity.size);
    this.#atLineStart = true;
    this.#rotation.tidy();
    return 'fresh';
  }

  async write(bytes: Uint8Array, sync = false): Promise<number> {
    const file = this.#file;
    if (!file) throw new Error('the audit file is not open');
    try {
      const { bytesWritten } = await file.handle.write(bytes);
      if (bytesWritten === 0) throw new Error('the audit file accepts no bytes');
      this.#atLineStart = bytes[bytesWritten - 1] === NEWLINE;
      await this.#afterWrite(file, sync);
      return bytesWritten;
    } catch (error) {
      if (!isOutOfSpace(error)) await this.#discard();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#rotation.close();
    await this.#discard();
  }

  /** A device has no disk that could be synced. */
  #syncs(file: OpenFile): boolean {
    return this.#settings.fsync !== 'never' && file.identity.isFile();
  }

  async #afterWrite(file: OpenFile, sync: boolean): Promise<void> {
    // After a failed sync it is unknown what the disk has (the kernel forgets): the lines are written once more,
    // into a newly opened file.
    if (file.identity.isFile() && (sync || this.#settings.fsync === 'always')) {
      await syncFile(file.handle, dirname(this.location), !file.isNamed);
      file.isNamed = true;
      return;
    }
    if (!this.#syncs(file) || this.#syncSoon !== undefined) return;
    this.#syncSoon = setTimeout(() => {
      this.#syncSoon = undefined;
      file.handle.datasync().catch((error: unknown) => {
        if (this.#file === file) this.#syncError = error instanceof Error ? error : new Error(String(error));
      });
    }, SYNC_EVERY_MS);
    this.#syncSoon.unref();
  }

  /**
   * @returns false if it could not be moved: the audit log continues in it, because a file that is too large is
   * better than none
   */
  async #moveAway(file: { readonly size: number; readonly begunAt: number }): Promise<boolean> {
    if (this.#nowMs() < this.#rotateNotBefore) return false;
    try {
      await this.#rotation.moveAway(file);
      return true;
    } catch (error) {
      this.#rotateNotBefore = this.#nowMs() + ROTATE_AGAIN_MS;
      const message =
        'the audit file could not be rotated and keeps growing: its folder must allow this process to rename files';
      this.#parts.logger?.error({ sink: this.location, err: error }, message);
      return false;
    }
  }

  async #discard(): Promise<void> {
    const old = this.#file;
    this.#file = undefined;
    clearTimeout(this.#syncSoon);
    this.#syncSoon = undefined;
    if (old === undefined) return;
    // The written bytes are with the kernel already; a close that fails changes nothing about them.
    if (this.#syncs(old)) await old.handle.datasync().catch(() => {});
    await old.handle.close().catch(() => {});
  }

  async #open(): Promise<OpenFile> {
    const handle = await openPath(this.location);
    try {
      const identity = await handle.stat({ bigint: true });
      if (!identity.isFile() && !identity.isCharacterDevice()) {
        throw new Error('the audit file is a pipe, a socket or a folder');
      }
      if (identity.isFile() && identity.size > 0n) await endTornLine(handle, identity.size);
      // Some file systems do not know when a file was created.
      const born = Number(identity.birthtimeMs);
      const begunAt = identity.size > 0n && born > 0 ? Math.min(born, this.#nowMs()) : this.#nowMs();
      return { handle, identity, begunAt, isNamed: false };
    } catch (error) {
      await handle.close().catch(() => {});
      throw error;
    }
  }
}

/** @returns bytes; undefined if another file, or none, is at the path now */
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

/**
 * A process that died within a write left part of a line: without this the next event would be appended to it and
 * lost with it.
 */
async function endTornLine(handle: FileHandle, size: bigint): Promise<void> {
  const last = Buffer.alloc(1);
  await handle.read(last, 0, 1, size - 1n);
  if (last[0] !== NEWLINE) await handle.write('\n');
}
