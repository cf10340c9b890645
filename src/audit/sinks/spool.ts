/** Lines on disk between the record and a server that does not take them now: bounded, in order, kept over a restart. */
import { constants } from 'node:fs';
import { mkdir, open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditLog } from '../types.ts';
import { lacksSpace } from './file-target.ts';
import { refuseForeignFolder, syncFile } from './folder.ts';
import { SpoolOwner } from './spool-owner.ts';
import { codeOf } from './target.ts';

const MEBIBYTE = 1024 * 1024;
/** Small: after a crash the oldest one is delivered again from its start. */
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
 * A folder of numbered files. One is written, the oldest is read, and each is removed when all of it has been delivered. What an earlier
 * process left is read first and never written to.
 */
export class Spool {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #log: AuditLog | undefined;
  readonly #owner: SpoolOwner;
  readonly #segments: Segment[] = [];
  #next = 0;
  #found = false;
  /** Of the oldest: bytes delivered. */
  #delivered = 0;
  #bytes = 0;
  #writing = false;
  #atLineStart = true;

  constructor(folder: string, maxMb: number, log?: AuditLog) {
    this.#folder = folder;
    this.#maxBytes = maxMb * MEBIBYTE;
    this.#log = log;
    this.#owner = new SpoolOwner(folder);
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Finds what is there, and makes a file to write to. @returns `fresh` where the next byte begins a line */
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
   * @returns bytes taken, at least one
   * @throws where the spool is full, or its disk is
   */
  async append(bytes: Uint8Array, sync: boolean): Promise<number> {
    const newest = this.#segments.at(-1);
    if (newest?.handle === undefined) {
      // All of it was delivered, and removed, since `prepare`.
      await this.prepare();
      return this.append(bytes, sync);
    }
    // A line that has begun is ended whatever the bound says.
    if (this.#atLineStart && this.#bytes + bytes.length > this.#maxBytes) {
      throw new Error('the audit spool is full: the webhook has not taken its events for too long');
    }
    this.#writing = true;
    try {
      const { bytesWritten } = await newest.handle.write(bytes);
      if (bytesWritten === 0) throw new Error('the audit spool takes no bytes');
      if (sync) await syncFile(newest.handle, this.#folder, newest.size === 0);
      newest.size += bytesWritten;
      this.#bytes += bytesWritten;
      this.#atLineStart = bytes[bytesWritten - 1] === NEWLINE;
      return bytesWritten;
    } catch (error) {
      if (!lacksSpace(error)) {
        const { handle } = newest;
        newest.handle = undefined;
        await handle?.close().catch(() => {});
      }
      throw error;
    } finally {
      this.#writing = false;
    }
  }

  /** @returns whole lines from the front: about `most` bytes, or one longer line; undefined where none waits */
  async front(most: number): Promise<Buffer | undefined> {
    this.#owner.check();
    let wanted = most;
    for (let oldest = this.#segments[0]; oldest !== undefined; oldest = this.#segments[0]) {
      const left = oldest.size - this.#delivered;
      const bytes = await read(oldest.path, this.#delivered, Math.min(left, wanted));
      if (bytes === undefined) {
        const message =
          'a file of the audit spool is gone, and the events in it were not delivered: nobody but the gate may remove it';
        this.#log?.error({ folder: this.#folder, bytes: left }, message);
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

  /** These bytes from the front have been delivered. */
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
    await refuseForeignFolder(this.#folder);
    await this.#owner.take();
    const names = (await readdir(this.#folder)).filter((name) => NAME.test(name)).toSorted();
    const found: Segment[] = [];
    for (const name of names)
      found.push({ path: join(this.#folder, name), size: (await stat(join(this.#folder, name))).size });
    this.#segments.push(...found);
    this.#bytes = found.reduce((sum, { size }) => sum + size, 0);
    this.#next = Number(names.at(-1)?.slice(0, 12) ?? -1) + 1;
    this.#found = true;
    if (this.#bytes > 0)
      this.#log?.info(
        { folder: this.#folder, bytes: this.#bytes },
        'audit events of an earlier process wait to be delivered',
      );
  }

  /** Done with: all of it is delivered, but for half a line at the end of which a process died. */
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
      this.#log?.error(
        { folder: this.#folder, err: error },
        'a delivered file of the audit spool could not be removed',
      );
    });
  }
}

/** @returns undefined where there is no such file */
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
