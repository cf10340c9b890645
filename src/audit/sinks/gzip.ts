/** Compresses a file so that a crash at any moment loses no byte. */
import { constants } from 'node:fs';
import { open, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { syncFolder } from './folder.ts';

/** What a crash within `gzipFile` may leave besides the file itself. */
export const UNFINISHED = '.gz.tmp';

const READ = constants.O_RDONLY | constants.O_NOFOLLOW;
/** `O_EXCL`: an attacker who can write to the folder must not make us write into a file that they put there. */
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Bytes between two turns of the event loop. zlib's threads do the work itself. */
const CHUNK = 128 * 1024;

/**
 * Writes `path.gz` and removes `path`: it is first written and synced under another name, then renamed, and only
 * then is the original removed. An existing `path.gz` comes from an earlier attempt at the same file, and is
 * replaced.
 * @param signal aborts it, with nothing changed
 * @throws if the file cannot be read, is not a regular file, or was still written to
 */
export async function gzipFile(path: string, signal?: AbortSignal): Promise<void> {
  const unfinished = path + UNFINISHED;
  await rm(unfinished, { force: true });
  try {
    await compress(path, unfinished, signal);
    await rename(unfinished, `${path}.gz`);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
  await unlink(path);
}

async function compress(path: string, into: string, signal: AbortSignal | undefined): Promise<void> {
  await using source = await open(path, READ);
  const before = await source.stat();
  if (!before.isFile()) throw new Error(`${path} is no file`);
  await using target = await open(into, WRITE, 0o600);
  await pipeline(
    chunksOf(source),
    createGzip({ chunkSize: CHUNK }),
    (packed) => target.writeFile(packed),
    signal === undefined ? {} : { signal },
  );
  await target.sync();
  // Another process may have had it open a moment longer: later bytes are in the file, but were not read.
  if ((await source.stat()).size !== before.size) throw new Error(`${path} is still written to`);
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}
