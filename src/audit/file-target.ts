/** A file as a target: append only, found again when it was moved away, never through a symbolic link. */
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import type { LineTarget } from './target.ts';

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

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/**
 * Appends to the file at `path`, made with mode 0600. Before each write the path is compared with what is open, so a file that was moved,
 * deleted or replaced (logrotate) is opened anew; one that was truncated in place goes on by `O_APPEND`.
 */
export function fileTarget(path: string): LineTarget {
  let handle: FileHandle | undefined;
  let identity: BigIntStats | undefined;

  async function discard(): Promise<void> {
    const old = handle;
    handle = undefined;
    // What was written has been handed over already; a close that fails changes nothing about it.
    await old?.close().catch(() => {});
  }

  return {
    type: 'file',
    place: path,
    readyAtOnce: false,
    async prepare() {
      if (handle && identity && (await isStillAt(path, identity))) return 'same';
      await discard();
      const opened = await openForAppend(path);
      handle = opened.handle;
      identity = opened.stat;
      return 'fresh';
    },
    async write(bytes) {
      if (!handle) throw new Error('the audit file is not open');
      try {
        const { bytesWritten } = await handle.write(bytes);
        if (bytesWritten === 0) throw new Error('the audit file takes no bytes');
        return bytesWritten;
      } catch (error) {
        if (!NO_ROOM.has(codeOf(error))) await discard();
        throw error;
      }
    },
    close: discard,
  };
}

async function isStillAt(path: string, opened: BigIntStats): Promise<boolean> {
  try {
    const found = await lstat(path, { bigint: true });
    return found.dev === opened.dev && found.ino === opened.ino;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function openForAppend(path: string): Promise<{ handle: FileHandle; stat: BigIntStats }> {
  const handle = await openPath(path);
  try {
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile() && !stat.isCharacterDevice()) throw new Error('the audit file is a pipe, a socket or a folder');
    if (stat.isFile() && stat.size > 0n) await endTornLine(handle, stat.size);
    return { handle, stat };
  } catch (error) {
    await handle.close().catch(() => {});
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
