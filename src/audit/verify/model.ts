/** What was read from the files, before anything is evaluated. */

/** Consecutive lines of one chain: each has the next number, and the hash of the one before. */
export interface Segment {
  /** Index among the files that were read. */
  readonly file: number;
  /** Numbers in the chain. */
  readonly first: number;
  last: number;
  /** The hash of the previous line, as the first line states it. */
  readonly prev: string;
  /** Hash of the last line. */
  hash: string;
  readonly lines: SegmentLines;
}

/** `good`: by one of the given keys. `foreign`: by another key. `bad`: by none. */
type SignatureState = 'good' | 'foreign' | 'bad' | 'none';

/** An event of the audit log about itself. */
export interface ChainEvent {
  readonly name: string;
  readonly seq: number;
  readonly file: number;
  readonly line: number;
  readonly signature: SignatureState;
  /** Annotations without their domain. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface ScannedChain {
  readonly chain: string;
  /** In the order in which they were read. */
  readonly segments: Segment[];
  readonly events: ChainEvent[];
}

/**
 * `torn`: a line cut off by a crash. `unchained`: an event outside any chain. `unreadable`: neither.
 * `broken-file`: the rest of the file could not be read.
 */
type UnexpectedLineKind = 'torn' | 'unchained' | 'unreadable' | 'broken-file';

export interface UnexpectedLine {
  readonly file: number;
  readonly line: number;
  readonly kind: UnexpectedLineKind;
}

export interface ScannedFile {
  readonly path: string;
  lines: number;
  /** Milliseconds since the epoch, of its first line; undefined where it has none. */
  since: number | undefined;
}

export interface Scan {
  readonly files: ScannedFile[];
  readonly chains: Map<string, ScannedChain>;
  readonly unexpected: UnexpectedLine[];
  /** Number of unexpected lines beyond those that are listed. */
  unexpectedMore: number;
}

const DIGEST_BYTES = 16;
const ENTRY_BYTES = DIGEST_BYTES + 4;

/**
 * The first 128 bits of each line's hash, and its line number. Twenty bytes per line: a gigabyte of audit log
 * takes some twenty megabytes here.
 */
export class SegmentLines {
  readonly #first: number;
  #bytes = Buffer.allocUnsafe(8 * ENTRY_BYTES);
  #count = 0;

  constructor(first: number) {
    this.#first = first;
  }

  push(hash: string, line: number): void {
    const at = this.#count * ENTRY_BYTES;
    if (at === this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.allocUnsafe(at)]);
    this.#bytes.write(hash.slice(0, 2 * DIGEST_BYTES), at, 'hex');
    this.#bytes.writeUInt32LE(line, at + DIGEST_BYTES);
    this.#count += 1;
  }

  /** @param hash compared as far as it is kept */
  has(seq: number, hash: string): boolean {
    return this.digest(seq) === hash.slice(0, 2 * DIGEST_BYTES);
  }

  /** @returns hexadecimal; '' for a number that is not here */
  digest(seq: number): string {
    const at = this.#at(seq);
    return at === undefined ? '' : this.#bytes.toString('hex', at, at + DIGEST_BYTES);
  }

  /** @returns number of the line in its file; 0 for a number that is not here */
  line(seq: number): number {
    const at = this.#at(seq);
    return at === undefined ? 0 : this.#bytes.readUInt32LE(at + DIGEST_BYTES);
  }

  #at(seq: number): number | undefined {
    const index = seq - this.#first;
    return index >= 0 && index < this.#count ? index * ENTRY_BYTES : undefined;
  }
}
