/**
 * Secrets live in files, never in the configuration or the environment, and a file may be replaced at any time.
 */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';

const MAX_BYTES = 64 * 1024;
/** Milliseconds between two looks at a file. */
const LOOK_EVERY_MS = 1000;

/**
 * Reads a secret. One trailing newline is an editor's and is taken off; anything else is part of the secret.
 * @throws Error with a `code` of the file system, or without one where the file is empty or larger than 64 KiB; never with the content
 */
export function readSecretFile(path: string): string {
  const descriptor = openSync(path, 'r');
  try {
    if (fstatSync(descriptor).size > MAX_BYTES) throw new Error(`${path} is larger than 64 KiB`);
    const content = readFileSync(descriptor, 'utf8').replace(/\r?\n$/, '');
    if (content === '') throw new Error(`${path} is empty`);
    return content;
  } finally {
    closeSync(descriptor);
  }
}

export interface WatchedFileOptions {
  /** Monotonic milliseconds. */
  readonly now?: () => number;
  /** Called when the file can no longer be read. The last good value stays in use: half-way through a rotation there may be no file. */
  readonly onFault?: (error: Error) => void;
}

/**
 * Follows a secret's file (the upstream token, above all), by its inode, size and time of change.
 * @returns a function that gives the secret as it stands; it looks at the file at most once a second and never throws
 * @throws as `readSecretFile`, at once, where it cannot be read at first
 */
export function watchedFile(
  path: string,
  { now = () => performance.now(), onFault }: WatchedFileOptions = {},
): () => string {
  let seen = markOf(path);
  let value = readSecretFile(path);
  let lookedAt = now();
  return () => {
    const time = now();
    if (time - lookedAt < LOOK_EVERY_MS) return value;
    lookedAt = time;
    try {
      // The mark is taken first: a change between the two is seen at the next look.
      const mark = markOf(path);
      if (mark === seen) return value;
      value = readSecretFile(path);
      seen = mark;
    } catch (error) {
      onFault?.(error instanceof Error ? error : new Error(`${path} cannot be read`));
    }
    return value;
  };
}

function markOf(path: string): string {
  const { ino, mtimeNs, size } = statSync(path, { bigint: true });
  return `${ino}:${mtimeNs}:${size}`;
}
