/**
 * Lines on disk between the audit log and a server that does not accept them now: bounded, in order, kept over a
 * restart.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../contracts/logger.ts';
import { BATCH_BYTES } from './batch.ts';
import { isOutOfSpace } from './file-target.ts';
import { requireOwnFolder, syncFile } from './folder.ts';
import { SpoolOwner } from './spool-owner.ts';
import { codeOf } from './target.ts';

const MEBIBYTE = 1024 * 1024;
/** Small, because after a crash the oldest one is delivered again from its start. */
const SEGMENT_BYTES = MEBIBYTE;
const NAME = /^\d{12}\.jsonl$/;
const NEWLINE = 0x0a;
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW;

interface Segment {
  readonly path: string;
  size: number;
  /** Only of the newest, while it is written. */
  handle?: FileHandle | undefined;
}

/**
 * A folder of numbered files. One is written, the oldest is read, and each is removed when all of it has been
 * delivered. Files of an earlier process are read first and never written to.
 */
export class Spool {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #logger: Logger | undefined;
  readonly #owner: SpoolOwner;
  readonly #segments: Segment[] = [];
  #next = 0;
  #found = false;
  /** Bytes of the oldest file that have been delivered. */
  #delivered = 0;
  #bytes = 0;
  #writing = false;
  #atLineStart = true;

  constructor(folder: string, maxMb: number, logger?: Logger) {
    this.#folder = folder;
    this.#maxBytes = maxMb * MEBIBYTE;
    this.#logger = logger;
    this.#owner = new SpoolOwner(folder);
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that one `append` may have: a whole file, and less as the spool fills, so that little of it is left unused. */
  get batchBytes(): number {
    return Math.max(BATCH_BYTES, Math.min(SEGMENT_BYTES, this.#maxBytes - this.#bytes));
  }

  /**
   * Finds existing files, and creates one to write to.
   * @returns `fresh` if the next byte begins a line
   */
  async prepare(): Promise<'same' | 'fresh'> {
    if (!this.#found) await this.#find();
    this.#owner.check();
    const newest = this.#segments.at(-1);
    if (newest?.handle !== undefined && (!this.#atLineStart || newest.size < SEGMENT_BYTES)) return 'same';
    await newest?.handle?.close().catch(() => {});
    if (newest !== undefined) newest.handle = undefined;
    const path = join(this.#folder, `${String(this.#next).padStart(12, '0')}.jsonl`);
    this.#next += 1;
    this.#segments.push({ path, size: 0, handle: await open(path, APPEND, 0o600) });
    this.#atLineStart = true;
    return 'fresh';
  }

  /**
   * @param sync the disk must have them
   * @returns bytes accepted, at least one
   * @throws if the spool or its disk is full
   */
  async append(bytes: Uint8Array, sync: boolean): Promise<number> {
    const newest = this.#segments.at(-1);
    if (newest?.handle === undefined) {
      // All of it was delivered, and removed, since `prepare`.
      await this.prepare();
      return this.append(bytes, sync);
    }
    // A line that has begun is completed even beyond the limit.
    if (this.#atLineStart && this.#bytes + bytes.length > this.#maxBytes) {
      throw new Error('the audit spool is full: the webhook has not accepted events for too long');
    }
    this.#writing = true;
    try {
      const { bytesWritten } = await newest.handle.write(bytes);
      if (bytesWritten === 0) throw new Error('the audit spool accepts no bytes');
      if (sync) await syncFile(newest.handle, this.#folder, newest.size === 0);
      newest.size += bytesWritten;
      this.#bytes += bytesWritten;
      this.#atLineStart = bytes[bytesWritten - 1] === NEWLINE;
      return bytesWritten;
    } catch (error) {
      if (!isOutOfSpace(error)) {
        const { handle } = newest;
        newest.handle = undefined;
        await handle?.close().catch(() => {});
      }
      throw error;
    } finally {
      this.#writing = false;
    }
  }

  /** @returns whole lines from the front: about `most` bytes, or one longer line; undefined if none waits */
  async front(most: number): Promise<Buffer | undefined> {
    this.#owner.check();
    let wanted = most;
    for (let oldest = this.#segments[0]; oldest !== undefined; oldest = this.#segments[0]) {
      const left = oldest.size - this.#delivered;
      const bytes = await read(oldest.path, this.#delivered, Math.min(left, wanted));
      if (bytes === undefined) {
        const message =
          'a file of the audit spool was removed, and its events were not delivered; only Portcullis may remove it';
        this.#logger?.error({ folder: this.#folder, bytes: left }, message);
        await this.#drop(oldest);
        continue;
      }
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      if (end > 0) return bytes.subarray(0, end);
      if (bytes.length < left && bytes.length > 0) wanted *= 2;
      else if (oldest.handle !== undefined) return undefined;
      else await this.#drop(oldest);
    }
    return undefined;
  }

  /** Removes delivered bytes from the front. */
  async remove(bytes: number): Promise<void> {
    const oldest = this.#segments[0];
    if (oldest === undefined) return;
    this.#delivered += bytes;
    this.#bytes -= bytes;
    const written = oldest.handle !== undefined && (this.#writing || !this.#atLineStart);
    if (this.#delivered >= oldest.size && !written) await this.#drop(oldest);
  }

  async close(): Promise<void> {
    const newest = this.#segments.at(-1);
    const handle = newest?.handle;
    if (newest !== undefined) newest.handle = undefined;
    await handle?.close().catch(() => {});
    if (newest !== undefined && newest.size === 0) await this.#drop(newest);
    await this.#owner.release();
  }

  async #find(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await requireOwnFolder(this.#folder);
    await this.#owner.acquire();
    const names = (await readdir(this.#folder)).filter((name) => NAME.test(name)).toSorted();
    const found: Segment[] = [];
    for (const name of names)
      found.push({ path: join(this.#folder, name), size: (await stat(join(this.#folder, name))).size });
    this.#segments.push(...found);
    this.#bytes = found.reduce((sum, { size }) => sum + size, 0);
    this.#next = Number(names.at(-1)?.slice(0, 12) ?? -1) + 1;
    this.#found = true;
    if (this.#bytes > 0)
      this.#logger?.info(
        { folder: this.#folder, bytes: this.#bytes },
        'audit events of an earlier process wait to be delivered',
      );
  }

  /** Drops a segment that has been delivered, except for half a line during which a process died. */
  async #drop(segment: Segment): Promise<void> {
    const index = this.#segments.indexOf(segment);
    this.#segments.splice(index, 1);
    if (index === 0) {
      this.#bytes -= segment.size - this.#delivered;
      this.#delivered = 0;
    }
    await segment.handle?.close().catch(() => {});
    await unlink(segment.path).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return;
      this.#logger?.error(
        { folder: this.#folder, err: error },
        'a delivered file of the audit spool could not be removed',
      );
    });
  }
}

/** @returns undefined if there is no such file */
async function read(path: string, from: number, length: number): Promise<Buffer | undefined> {
  if (length === 0) return Buffer.alloc(0);
  try {
    await using handle = await open(path, READ);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, from);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
