/** When a file of the record ends and the next begins, and what becomes of those that have ended. */
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { AuditLog, FileSinkSettings } from '../types.ts';
import { gzipFile, UNFINISHED } from './gzip.ts';

export interface RotationParts {
  readonly log?: AuditLog | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

const MEBIBYTE = 1024 * 1024;
const KEEP = 10;
/** Behind the file's own name, so that a folder's listing has them in order: `audit.log.2026-01-31T23-59-59.999Z`, perhaps `-1`. */
const STAMP = /^\.\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z(?:-\d{1,3})?$/;
const MOST_IN_ONE_MOMENT = 999;
/** Where files are kept for a time, some are too old also while none has ended. */
const TIDY_EVERY_MS = 3_600_000;

export class Rotation {
  readonly #settings: FileSinkSettings;
  readonly #log: AuditLog | undefined;
  readonly #now: () => number;
  readonly #closing = new AbortController();
  #tidying: Promise<void> | undefined;
  #again = false;
  /** Milliseconds since the epoch. */
  #tidiedAt = -Infinity;

  constructor(settings: FileSinkSettings, { log, now = Date.now }: RotationParts) {
    this.#settings = settings;
    this.#log = log;
    this.#now = now;
  }

  /** Whether it was asked for at all: elsewhere logrotate has the files, and what it does with old ones is its own. */
  get wanted(): boolean {
    return this.#settings.maxSizeMb !== undefined || this.#settings.rotateEvery !== undefined;
  }

  /**
   * @param file its size in bytes, and when it was begun, in milliseconds since the epoch
   */
  isDue(file: { readonly size: number; readonly begunAt: number }): boolean {
    const { maxSizeMb = Infinity, rotateEvery = Infinity } = this.#settings;
    if (file.size === 0) return false;
    return file.size >= maxSizeMb * MEBIBYTE || this.#now() - file.begunAt >= rotateEvery * 1000;
  }

  /** Gives the file its lasting name. A crash behind it leaves no file at the path, and the next start makes one. */
  async moveAway(): Promise<void> {
    const { path } = this.#settings;
    await rename(path, await this.#freeName());
  }

  /** Compresses and removes in the background, one thing at a time; also heals what a crash left half done. */
  tidy(): void {
    if (!this.wanted || this.#closing.signal.aborted) return;
    this.#tidiedAt = this.#now();
    this.#again = true;
    this.#tidying ??= this.#tidyAll().finally(() => {
      this.#tidying = undefined;
    });
  }

  /** As `tidy`, where an hour of keeping for a time has passed since the last. */
  tidyNowAndThen(): void {
    if (typeof this.#settings.keep !== 'object') return;
    // Also where the clock was set back.
    if (Math.abs(this.#now() - this.#tidiedAt) >= TIDY_EVERY_MS) this.tidy();
  }

  /** Resolves when nothing is at work any more; what was half done is begun anew at the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#tidying;
  }

  async #freeName(): Promise<string> {
    const stamp = new Date(this.#now()).toISOString().replaceAll(':', '-');
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
        const message = 'old files of the audit record could not be compressed or removed; tried again at the next one';
        this.#log?.error({ sink: this.#settings.path, err: error }, message);
      }
    }
  }

  /** @returns how many from the front are not to be kept */
  #tooMany(ended: readonly string[], keep: number | { readonly seconds: number }): number {
    if (typeof keep === 'number') return Math.max(0, ended.length - keep);
    const from = this.#now() - keep.seconds * 1000;
    return ended.filter((name) => endedAt(name) < from).length;
  }

  async #tidyOnce(): Promise<void> {
    const { path, keep = KEEP, gzip = true } = this.#settings;
    const folder = dirname(path);
    const names = (await readdir(folder)).filter((name) => name.startsWith(`${basename(path)}.`));
    const stampOf = (name: string, ending: string): string =>
      name.slice(basename(path).length, -ending.length || undefined);
    for (const name of names) {
      if (name.endsWith(UNFINISHED) && STAMP.test(stampOf(name, UNFINISHED)))
        await rm(join(folder, name), { force: true });
    }
    const plain = names.filter((name) => STAMP.test(stampOf(name, '')));
    const packed = names.filter((name) => name.endsWith('.gz') && STAMP.test(stampOf(name, '.gz')));
    const ended = [...new Set([...plain, ...packed.map((name) => name.slice(0, -'.gz'.length))])].toSorted(inOrder);
    for (const name of ended.splice(0, this.#tooMany(ended, keep))) {
      for (const old of [name, `${name}.gz`]) await rm(join(folder, old), { force: true });
      this.#log?.info(
        { sink: path, file: name, keep },
        'the oldest file of the audit record was removed, as audit.sinks keep says',
      );
    }
    if (!gzip) return;
    for (const name of ended.filter((one) => plain.includes(one)))
      await gzipFile(join(folder, name), this.#closing.signal);
  }
}

/** By time, and within one moment by number. */
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
