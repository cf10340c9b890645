/**
 * Files that are replaced while the server runs: secrets, certificates with their keys, CAs, and directories of
 * keys.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const POLL_INTERVAL_MS = 1000;

export interface FollowedFiles {
  readonly paths: readonly string[];
  /**
   * Takes the content of the files, in the order of `paths`. Throws where it is invalid: then the content before
   * stays in use. A pair of files is never replaced at one moment, so half of a new pair is seen now and then, and
   * the next poll corrects it.
   */
  readonly apply: (contents: readonly string[]) => void;
  /** Called once for each invalid state of the files. */
  readonly onError: (error: Error) => void;
}

/**
 * Polls the files once a second, by inode, size and time of change; symbolic links, as Kubernetes makes them for a
 * Secret, are followed.
 * @param everyMs milliseconds between two polls
 * @returns a function that stops it
 */
export function followFiles({ paths, apply, onError }: FollowedFiles, everyMs = POLL_INTERVAL_MS): () => void {
  let seen = marksOf(paths);
  const poll = (): void => {
    // The marks are taken first: a change between the two is seen at the next poll.
    const marks = marksOf(paths);
    if (marks === seen) return;
    seen = marks;
    try {
      apply(paths.map((path) => readFileSync(path, 'utf8')));
    } catch (error) {
      onError(error instanceof Error ? error : new Error('the files cannot be used', { cause: error }));
    }
  };
  const timer = setInterval(poll, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

export interface FollowedDirectory {
  readonly directory: string;
  /** Reads the directory, and throws where its content is invalid: then the content before stays in use. */
  readonly apply: () => Promise<void>;
  /** Called once for each invalid state of the directory. */
  readonly onError: (error: Error) => void;
}

/**
 * Like `followFiles`, for a directory of files that come and go.
 * @param everyMs milliseconds between two polls
 * @returns a function that stops it
 */
export function followDirectory(
  { directory, apply, onError }: FollowedDirectory,
  everyMs = POLL_INTERVAL_MS,
): () => void {
  let seen = marksIn(directory);
  let polling = false;
  const poll = async (): Promise<void> => {
    const marks = marksIn(directory);
    if (polling || marks === seen) return;
    polling = true;
    seen = marks;
    try {
      await apply();
    } catch (error) {
      // It changed while it was read: the result is half of each, and the next poll sees the whole.
      if (marksIn(directory) === marks) {
        onError(error instanceof Error ? error : new Error('the directory cannot be used', { cause: error }));
      }
    } finally {
      polling = false;
    }
  };
  const timer = setInterval(() => void poll(), everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** A missing directory has no marks, which is a change. */
function marksIn(directory: string): string {
  try {
    const names = readdirSync(directory).toSorted();
    return `${names.join(' ')} ${marksOf(names.map((name) => join(directory, name)))}`;
  } catch {
    return '';
  }
}

const marksOf = (paths: readonly string[]): string => paths.map((path) => markOf(path)).join(' ');

/**
 * A missing file, or one behind a folder that cannot be entered, counts as a change like another content: a poll
 * never throws.
 */
function markOf(path: string): string {
  try {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${ino}:${mtimeNs}:${size}`;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : '';
  }
}
