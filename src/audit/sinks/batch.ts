/** Lines on their way to a target, and how many of them are written. */

/** Large enough for one system call per busy tick, small enough to be written quickly. */
export const BATCH_BYTES = 256 * 1024;

export interface Line {
  /** Ends in a newline. */
  readonly bytes: Buffer;
  /** Whose request it is about, if it is about one. */
  readonly account: string | undefined;
}

/** A run of whole lines, written as one buffer. A write may end anywhere in it, also inside a line. */
export class Batch {
  readonly #bytes: Buffer;
  /** Offsets just behind each line. */
  readonly #ends: readonly number[];
  /** Bytes. */
  readonly byAccount = new Map<string, number>();
  #offset = 0;
  /** Lines that have been written completely. */
  #complete = 0;

  constructor(lines: readonly Line[]) {
    this.#bytes = Buffer.concat(lines.map(({ bytes }) => bytes));
    let end = 0;
    this.#ends = lines.map(({ bytes }) => (end += bytes.length));
    for (const { account, bytes } of lines) addBytes(this.byAccount, account, bytes.length);
  }

  /** Takes as many lines as fit into `most` bytes from the front of `queue`, at least one; undefined when it is empty. */
  static takeFrom(queue: Line[], most: number): Batch | undefined {
    let bytes = 0;
    const over = queue.findIndex((line, index) => (bytes += line.bytes.length) > most && index > 0);
    const lines = queue.splice(0, over === -1 ? queue.length : over);
    return lines.length === 0 ? undefined : new Batch(lines);
  }

  get rest(): Buffer {
    return this.#bytes.subarray(this.#offset);
  }

  get length(): number {
    return this.#bytes.length;
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** Lines that are not complete. */
  get linesLeft(): number {
    return this.#ends.length - this.#complete;
  }

  /** @returns how many lines this has completed */
  advance(bytes: number): number {
    this.#offset += bytes;
    const before = this.#complete;
    while ((this.#ends[this.#complete] ?? Infinity) <= this.#offset) this.#complete += 1;
    return this.#complete - before;
  }

  /** Goes back to the start of a partly written line. */
  rewindToLineStart(): void {
    this.#offset = this.#complete === 0 ? 0 : (this.#ends[this.#complete - 1] ?? 0);
  }
}

/** A count of 0 is not kept. */
export function addBytes(counts: Map<string, number>, account: string | undefined, bytes: number): void {
  if (account === undefined) return;
  const sum = (counts.get(account) ?? 0) + bytes;
  if (sum > 0) counts.set(account, sum);
  else counts.delete(account);
}
