/** Assembles the segments of one chain, from whichever files they are in, and finds those that do not fit. */
import { CHAIN_SEED } from '../chain/chain-facts.ts';
import type { ScannedChain, ScannedFile, Segment } from './model.ts';
import type { Finding, FindingKind, Note, FileLine } from './verdict.ts';

/** Numbers that no line has. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  /** The segment that follows. */
  readonly before: Segment;
}

export interface Assembled {
  readonly chain: string;
  /** In the order of their numbers; a later one may repeat the end of the one before it. */
  readonly segments: readonly Segment[];
  readonly holes: readonly Hole[];
  readonly findings: Finding[];
  readonly notes: Note[];
}

export function assemble(scanned: ScannedChain, files: readonly ScannedFile[]): Assembled {
  return new Assembly(scanned, files).run();
}

class Assembly {
  readonly #chain: ScannedChain;
  readonly #files: readonly ScannedFile[];
  readonly #accepted: Segment[] = [];
  readonly #holes: Hole[] = [];
  readonly #findings: Finding[] = [];
  readonly #notes: Note[] = [];
  /** The preceding segment in the same file. */
  readonly #before = new Map<Segment, Segment | undefined>();
  readonly #lastOfFile = new Map<number, Segment>();
  /** A line that was reported already, so that consequences are not reported again. */
  #named: Segment | undefined;

  constructor(chain: ScannedChain, files: readonly ScannedFile[]) {
    this.#chain = chain;
    this.#files = files;
    for (const segment of chain.segments) {
      this.#before.set(segment, this.#lastOfFile.get(segment.file));
      this.#lastOfFile.set(segment.file, segment);
    }
  }

  run(): Assembled {
    const sorted = this.#chain.segments.toSorted((a, b) => a.first - b.first || b.last - a.last);
    sorted.forEach((segment, index) => this.#add(segment, sorted[index + 1]));
    this.#checkOrder();
    return {
      chain: this.#chain.chain,
      segments: this.#accepted,
      holes: this.#holes,
      findings: this.#findings,
      notes: this.#notes,
    };
  }

  #add(segment: Segment, next: Segment | undefined): void {
    const last = this.#accepted.at(-1);
    if (last !== undefined && segment.first <= last.last) return this.#overlap(segment, last);
    if (last === undefined) this.#first(segment);
    else if (segment.first > last.last + 1) {
      this.#holes.push({ from: last.last + 1, to: segment.first - 1, before: segment });
    } else if (segment.prev !== last.hash) this.#unlinked(last, segment, next);
    this.#accepted.push(segment);
  }

  #first(segment: Segment): void {
    if (segment.first === 1 && segment.prev !== CHAIN_SEED) {
      this.#find('edited', segment, 1, 'line 1 claims a line before it: it was changed');
    }
  }

  /** The numbers fit and the hashes do not: one of the two lines was changed. */
  #unlinked(last: Segment, segment: Segment, next: Segment | undefined): void {
    if (this.#named === last) return;
    const lone = segment.first === segment.last;
    if (lone && next !== undefined && next.first === segment.last + 1 && next.prev !== segment.hash) {
      // It fits on neither side.
      this.#named = segment;
      return this.#find(
        'edited',
        segment,
        segment.first,
        `line ${segment.first} was changed: it fits neither the line before it nor the one after it`,
      );
    }
    this.#find(
      'edited',
      last,
      last.last,
      `line ${last.last} was changed: the line after it${lone ? ', if that is the true one,' : ''} has the hash of another`,
    );
  }

  /** Numbers that exist already: the same lines again, or others with the same numbers. */
  #overlap(segment: Segment, last: Segment): void {
    const to = Math.min(segment.last, last.last);
    let differs = segment.first;
    while (differs <= to && segment.lines.digest(differs) === last.lines.digest(differs)) differs += 1;
    if (differs > to) {
      this.#repeated(segment, last);
      if (segment.last > last.last) this.#accepted.push(segment);
      return;
    }
    const goesOn = segment.last > last.last;
    const odd = goesOn ? last : segment;
    this.#find(
      'inserted',
      odd,
      differs,
      `there is another line ${differs}, from which the chain continues: this one was inserted, or changed`,
    );
    if (goesOn) this.#accepted.push(segment);
  }

  #repeated(segment: Segment, last: Segment): void {
    const text =
      segment.first === segment.last ? `line ${segment.first} is` : `lines ${segment.first} to ${segment.last} are`;
    const { file } = this.#fileLineOf(last, last.first);
    if (this.#isRewrite(segment, last) || this.#isTwin(segment, last)) {
      const message = `${text} in ${file} as well, byte for byte: written again after a failure, or copied`;
      this.#notes.push({
        kind: 'repeated',
        chain: this.#chain.chain,
        ...this.#fileLineOf(segment, segment.first),
        message,
      });
    } else this.#find('duplicated', segment, segment.first, `${text} in their own position as well`);
  }

  /** A sink that does not know how far it got starts again at a known position, and continues from there. */
  #isRewrite(segment: Segment, last: Segment): boolean {
    // Of two segments that begin alike the longer one was added first, whichever was written first.
    return this.#goesOn(segment, last) || (segment.first === last.first && this.#goesOn(last, segment));
  }

  #goesOn(segment: Segment, last: Segment): boolean {
    const before = this.#before.get(segment);
    if (before !== undefined) {
      return before.first <= segment.first && segment.first <= before.last && segment.last >= before.last;
    }
    const endsItsFile = this.#lastOfFile.get(last.file) === last;
    return segment.file !== last.file && endsItsFile && segment.last >= last.last;
  }

  /** A file and its compressed copy, between which a crash happened; or one file that was named twice. */
  #isTwin(segment: Segment, last: Segment): boolean {
    const bare = (file: number): string => (this.#files[file]?.path ?? '').replace(/\.gz$/, '');
    return segment.file !== last.file && bare(segment.file) === bare(last.file);
  }

  /** Lines that all exist, but not where they were written. */
  #checkOrder(): void {
    const kept = new Set(this.#accepted);
    for (const [segment, last] of this.#before) {
      if (last !== undefined && segment.last < last.first && kept.has(segment)) {
        this.#find('reordered', segment, segment.first, `line ${segment.first} comes after line ${last.last}`);
      }
    }
    const left = new Set<number>();
    this.#accepted.forEach((segment, index) => {
      const last = this.#accepted[index - 1];
      if (last === undefined || last.file === segment.file) return;
      if (left.has(segment.file)) {
        this.#find(
          'reordered',
          last,
          last.first,
          `lines ${last.first} to ${last.last} belong in ${this.#files[segment.file]?.path}`,
        );
      }
      left.add(last.file);
    });
  }

  #fileLineOf(segment: Segment, seq: number): FileLine {
    return { file: this.#files[segment.file]?.path ?? '', line: segment.lines.line(seq) };
  }

  #find(kind: FindingKind, segment: Segment, seq: number, message: string): void {
    this.#findings.push({ kind, ...this.#fileLineOf(segment, seq), chain: this.#chain.chain, seq, message });
  }
}
