/** Rotation: when a file of the audit log ends and the next begins, and what happens to ended files. */
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from '../../contracts/logger.ts';
import type { FileSinkSettings } from '../types.ts';
import { gzipFile, UNFINISHED } from './gzip.ts';

export interface RotationParts {
  readonly logger?: Logger | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs?: (() => number) | undefined;
}

const MEBIBYTE = 1024 * 1024;
/** Ended files, where `keep` is not set. */
const KEEP = 10;
/**
 * Appended to the file's own name, so that a listing shows them in order: `audit.log.2026-01-31T23-59-59.999Z`,
 * perhaps `-1`.
 */
const STAMP = /^\.\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z(?:-\d{1,3})?$/;
const MOST_IN_ONE_MOMENT = 999;
/** If files are kept for a time, some expire even while none ends. */
const TIDY_EVERY_MS = 3_600_000;

export class Rotation {
  readonly #settings: FileSinkSettings;
  readonly #logger: Logger | undefined;
  readonly #nowMs: () => number;
  readonly #closing = new AbortController();
  #tidying: Promise<void> | undefined;
  #again = false;
  /** Milliseconds since the epoch. */
  #tidiedAt = -Infinity;
  /** How long the latest file that was full took to fill. */
  #filledInMs: number | undefined;

  constructor(settings: FileSinkSettings, { logger, nowMs = Date.now }: RotationParts) {
    this.#settings = settings;
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** Whether rotation is configured. Otherwise logrotate owns the files, including the old ones. */
  get wanted(): boolean {
    return this.#settings.maxSizeMb !== undefined || this.#settings.rotateEvery !== undefined;
  }

  /** @returns how many more bytes a file of `size` takes before it ends; Infinity without a limit */
  bytesLeft(size: number): number {
    return (this.#settings.maxSizeMb ?? Infinity) * MEBIBYTE - size;
  }

  /** @param file its size in bytes, and when it was begun, in milliseconds since the epoch */
  isDue(file: { readonly size: number; readonly begunAt: number }): boolean {
    const { maxSizeMb = Infinity, rotateEvery = Infinity } = this.#settings;
    if (file.size === 0) return false;
    return file.size >= maxSizeMb * MEBIBYTE || this.#nowMs() - file.begunAt >= rotateEvery * 1000;
  }

  /**
   * Renames the file to its final name. If a crash follows, there is no file at the path, and the next start
   * creates one.
   */
  async moveAway(file: { readonly size: number; readonly begunAt: number }): Promise<void> {
    const { path, maxSizeMb = Infinity } = this.#settings;
    await rename(path, await this.#freeName());
    if (file.size >= maxSizeMb * MEBIBYTE) this.#filledInMs = this.#nowMs() - file.begunAt;
  }

  /**
   * Estimates for how long an event stays in the files before they are full and it is deleted, at the speed at which
   * the latest one was filled. An attacker with a session fills them to have earlier actions deleted, and this shows it.
   * @param begunAt of the current file, in milliseconds since the epoch
   * @returns seconds; undefined if files are kept for a time, or as long as none was full
   */
  holdsFor(begunAt: number): number | undefined {
    const { keep = KEEP } = this.#settings;
    if (typeof keep !== 'number' || this.#filledInMs === undefined) return undefined;
    const each = Math.max(this.#filledInMs, this.#nowMs() - begunAt);
    return ((keep + 1) * Math.max(each, 0)) / 1000;
  }

  /** Compresses and removes files in the background, one at a time; also completes what a crash interrupted. */
  tidy(): void {
    if (!this.wanted || this.#closing.signal.aborted) return;
    this.#tidiedAt = this.#nowMs();
    this.#again = true;
    this.#tidying ??= this.#tidyAll().finally(() => {
      this.#tidying = undefined;
    });
  }

  /** Calls `tidy` if files are kept for a time and an hour has passed since the last call. */
  tidyNowAndThen(): void {
    if (typeof this.#settings.keep !== 'object') return;
    // Also if the clock was set back.
    if (Math.abs(this.#nowMs() - this.#tidiedAt) >= TIDY_EVERY_MS) this.tidy();
  }

  /** Resolves when no work is in progress; interrupted work is repeated at the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#tidying;
  }

  async #freeName(): Promise<string> {
    const stamp = new Date(this.#nowMs()).toISOString().replaceAll(':', '-');
    const name = `${this.#settings.path}.${stamp}`;
    if (await isFree(name)) return name;
    for (let n = 1; n <= MOST_IN_ONE_MOMENT; n += 1) if (await isFree(`${name}-${n}`)) return `${name}-${n}`;
    throw new Error(`there are too many files named ${name}`);
  }

  async #tidyAll(): Promise<void> {
    while (this.#again && !this.#closing.signal.aborted) {
      this.#again = false;
      try {
        await this.#tidyOnce();
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        const message = 'old audit files could not be compressed or removed; this is retried at the next rotation';
        this.#logger?.error({ sink: this.#settings.path, err: error }, message);
      }
    }
  }

  /** @returns how many files from the front have expired */
  #tooMany(ended: readonly string[], keep: number | { readonly seconds: number }): number {
    if (typeof keep === 'number') return Math.max(0, ended.length - keep);
    const from = this.#nowMs() - keep.seconds * 1000;
    return ended.filter((name) => endedAt(name) < from).length;
  }

  async #tidyOnce(): Promise<void> {
    const { path, keep = KEEP, gzip = true } = this.#settings;
    const folder = dirname(path);
    const { ended, plain, unfinished } = await namesOf(path);
    for (const name of unfinished) await rm(join(folder, name), { force: true });
    for (const name of ended.splice(0, this.#tooMany(ended, keep))) {
      for (const old of [name, `${name}.gz`]) await rm(join(folder, old), { force: true });
      this.#logger?.info({ sink: path, file: name, keep }, 'the oldest audit file was removed');
    }
    if (!gzip) return;
    for (const name of ended.filter((one) => plain.includes(one)))
      await gzipFile(join(folder, name), this.#closing.signal);
  }
}

interface FileNames {
  /** Without `.gz`, oldest first. */
  readonly ended: string[];
  /** Those of them that are there uncompressed. */
  readonly plain: readonly string[];
  readonly unfinished: readonly string[];
}

async function namesOf(path: string): Promise<FileNames> {
  const names = (await readdir(dirname(path))).filter((name) => name.startsWith(`${basename(path)}.`));
  const endingIn = (ending: string): readonly string[] =>
    names.filter(
      (name) => name.endsWith(ending) && STAMP.test(name.slice(basename(path).length, -ending.length || undefined)),
    );
  const plain = endingIn('');
  const packed = endingIn('.gz').map((name) => name.slice(0, -'.gz'.length));
  return { ended: [...new Set([...plain, ...packed])].toSorted(inOrder), plain, unfinished: endingIn(UNFINISHED) };
}

/** A file that rotation has ended. */
export interface EndedFile {
  /** Without `.gz`, which it gets when it is compressed. */
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
}

/** Returns the ended files of the file at a path, oldest first. Those that logrotate has named are not known. */
export async function endedFiles(path: string): Promise<readonly EndedFile[]> {
  const { ended } = await namesOf(path);
  return ended.map((name) => ({ path: join(dirname(path), name), endedAt: endedAt(name) }));
}

/** By time, and within one millisecond by number. */
function inOrder(a: string, b: string): number {
  const [one, other] = [a, b].map((name) => ({
    stamp: name.slice(0, name.lastIndexOf('Z')),
    n: Number(/\d*$/.exec(name)?.[0]),
  }));
  if (one === undefined || other === undefined || one.stamp === other.stamp) return (one?.n ?? 0) - (other?.n ?? 0);
  return one.stamp < other.stamp ? -1 : 1;
}

/** @returns milliseconds since the epoch */
function endedAt(name: string): number {
  const [, day, hours, minutes, rest] =
    /\.(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2}\.\d{3}Z)(?:-\d+)?$/.exec(name) ?? [];
  return Date.parse(`${day}T${hours}:${minutes}:${rest}`);
}

async function isFree(path: string): Promise<boolean> {
  const taken = await Promise.all(
    [path, `${path}.gz`].map((one) =>
      lstat(one).then(
        () => true,
        () => false,
      ),
    ),
  );
  return !taken.includes(true);
}
