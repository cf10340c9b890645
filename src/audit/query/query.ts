/**
 * `audit query`: the events in the files of the audit log that match a query, oldest first.
 *
 * Owns reading, matching and merging. Must not know how the result is shown. Each file keeps the order of its
 * lines. If files overlap in time, as those of several replicas do, their lines are merged by time. A repeated
 * line (a file and its gzipped copy, a repeated write) appears once.
 */
import { createMatcher, type Hit, type LineMatcher, type AuditQuery } from './matcher.ts';
import { readLines } from './read-lines.ts';

export type { Hit, AuditQuery } from './matcher.ts';

/** All files are read concurrently, with a chunk of each in memory. */
export const MOST_FILES = 256;

export interface FileError {
  readonly file: string;
  /** Lines that are no event, such as one that a crash tore. */
  readonly unreadable: number;
  /** The first of them, from 1. */
  readonly firstUnreadable?: number;
  /** Why the file could not be read to its end. */
  readonly error?: string;
}

/**
 * @param files paths, `-` for standard input; at most `MOST_FILES`
 * @param onError receives each file that could not be read completely, at its end
 * @returns matching events, in batches
 */
export async function* queryAuditLog(
  files: readonly string[],
  query: AuditQuery,
  onError: (error: FileError) => void,
): AsyncGenerator<readonly Hit[]> {
  const match = createMatcher(query);
  yield* merged(files.map((file) => new Source(file, match, onError)));
}

/** One file, and its matching events that wait to be merged. */
class Source {
  readonly #chunks: AsyncGenerator<void>;
  readonly #file: string;
  readonly #onError: (error: FileError) => void;
  #hits: Hit[] = [];
  #at = 0;
  #lines = 0;
  #unreadable = 0;
  #firstUnreadable: number | undefined;
  #finished = false;

  constructor(file: string, match: LineMatcher, onError: (error: FileError) => void) {
    this.#file = file;
    this.#onError = onError;
    this.#chunks = readLines(file, {
      line: (line) => {
        this.#lines += 1;
        const verdict = match(line);
        if (verdict === 'unreadable') this.#countUnreadable();
        else if (verdict !== 'other') this.#hits.push(verdict);
      },
      tooLong: () => {
        this.#lines += 1;
        this.#countUnreadable();
      },
    });
  }

  get head(): Hit | undefined {
    return this.#hits[this.#at];
  }

  take(): void {
    this.#at += 1;
  }

  /**
   * Reads on until there is a match.
   * @returns false at the end of the file
   */
  async fill(): Promise<boolean> {
    if (this.head !== undefined) return true;
    this.#hits = [];
    this.#at = 0;
    try {
      while (this.#hits.length === 0) {
        if ((await this.#chunks.next()).done === true) {
          this.#finish();
          return false;
        }
      }
      return true;
    } catch (error) {
      this.#finish(error instanceof Error ? error.message : String(error));
      return this.head !== undefined;
    }
  }

  #countUnreadable(): void {
    this.#unreadable += 1;
    this.#firstUnreadable ??= this.#lines;
  }

  #finish(error?: string): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#unreadable === 0 && error === undefined) return;
    const first = this.#firstUnreadable === undefined ? {} : { firstUnreadable: this.#firstUnreadable };
    const why = error === undefined ? {} : { error };
    this.#onError({ file: this.#file, unreadable: this.#unreadable, ...first, ...why });
  }
}

const BATCH = 500;

async function* merged(sources: readonly Source[]): AsyncGenerator<readonly Hit[]> {
  const open: Source[] = [];
  for (const source of sources) if (await source.fill()) insert(open, source);
  let batch: Hit[] = [];
  const once = withoutRepetition();
  for (let source = open.shift(); source !== undefined; source = open.shift()) {
    const { head } = source;
    if (head !== undefined && once(head)) batch.push(head);
    source.take();
    if (source.head !== undefined || (await source.fill())) insert(open, source);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Inserts behind those of the same time, so that the order of the files decides. */
function insert(open: Source[], source: Source): void {
  const time = source.head?.time ?? '';
  let [low, high] = [0, open.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((open[middle]?.head?.time ?? '') <= time) low = middle + 1;
    else high = middle;
  }
  open.splice(low, 0, source);
}

/** @returns a function that returns whether a hit differs from all earlier ones of the same time */
function withoutRepetition(): (hit: Hit) => boolean {
  let time = '';
  let seen = new Set<string>();
  return (hit) => {
    if (hit.time !== time) {
      time = hit.time;
      seen = new Set();
    }
    const fresh = !seen.has(hit.text);
    seen.add(hit.text);
    return fresh;
  };
}
