/** Judges one chain: its holes, its signatures, its end, and what anchors and the next chain say of it. */
import { basename } from 'node:path';
import { CHECKPOINT_LINES, type ChainHead } from '../chain/chain-facts.ts';
import type { Assembled, Hole } from './assemble.ts';
import { declaredGaps, type DeclaredGap } from './gaps.ts';
import { Holes } from './holes.ts';
import type { OwnEvent, ScannedChain, ScannedFile, Segment } from './model.ts';
import type { ChainVerdict, FindingKind } from './verdict.ts';

/** Where a chain stood, by what is not in its own lines. */
export interface KnownHead extends ChainHead {
  /** In words, for a message. */
  readonly by: string;
  /** Nothing came after it. */
  readonly ends?: boolean;
}

export interface JudgeOptions {
  readonly files: readonly ScannedFile[];
  /** The sink whose files these are, where its name cannot be told from theirs. */
  readonly sink?: string | undefined;
  readonly heads: readonly KnownHead[];
}

/** The record signs these, and `audit-gap`; one of those without a signature may yet be linked to one that has it. */
const SIGNED: ReadonlySet<string> = new Set(['audit-opened', 'audit-checkpoint', 'audit-closed']);

/** Adds to the findings and notes of `assembled`. */
export function judgeChain(scanned: ScannedChain, assembled: Assembled, options: JudgeOptions): ChainVerdict {
  return new Judge(scanned, assembled, options).run();
}

class Judge {
  readonly #assembled: Assembled;
  readonly #options: JudgeOptions;
  /** One for each number. */
  readonly #own: readonly OwnEvent[];
  #gaps: readonly DeclaredGap[] = [];
  readonly #holes: Holes;
  readonly #first: number;
  readonly #last: number;
  /** Numbers of lines that the gate itself vouches for, in order: signed, or anchored. Not what the next chain names: that it read in the file. */
  #vouched: readonly number[] = [];
  #proven = 0;
  #ended = false;

  constructor(scanned: ScannedChain, assembled: Assembled, options: JudgeOptions) {
    this.#assembled = assembled;
    this.#options = options;
    const own = new Map(scanned.own.toReversed().map((event) => [event.seq, event] as const));
    this.#own = [...own.values()].toSorted((a, b) => a.seq - b.seq);
    this.#holes = new Holes(assembled.holes);
    this.#first = assembled.segments[0]?.first ?? 0;
    this.#last = assembled.segments.at(-1)?.last ?? 0;
  }

  run(): ChainVerdict {
    const signed = this.#judgeSignatures();
    this.#judgeEnd();
    const anchored = this.#options.heads.filter((head) => this.#judgeHead(head) && head.ends !== true);
    this.#vouched = [...signed, ...anchored.map(({ seq }) => seq)].toSorted((a, b) => a - b);
    this.#gaps = declaredGaps(this.#own, this.#vouched, this.#holes);
    for (const hole of this.#assembled.holes) this.#judgeHole(hole);
    this.#judgeAnyProof();
    this.#sayLimits();
    return {
      chain: this.#assembled.chain,
      replica: this.#own.find(({ facts }) => facts['replica'] !== undefined)?.facts['replica'] ?? '',
      first: this.#first,
      last: this.#last,
      provenTo: this.#proven,
      ended: this.#ended,
    };
  }

  /** A sink that lost lines says so when it works again. Of another sink's loss nothing may be missing here. */
  #judgeHole({ from, to, before }: Hole): void {
    const gaps = this.#gaps.filter(({ first, last }) => first <= to && last >= from);
    const mine = gaps.filter(({ sink }) => this.#isSink(sink, before));
    const fitting = mine.filter(
      ({ first, last, count }) => first <= from && last >= to && this.#holes.missing(first, last) <= count,
    );
    const lines = from === to ? `line ${from} is` : `lines ${from} to ${to} are`;
    if (fitting.some(({ vouched }) => vouched))
      return this.#note(
        'gap',
        `${lines} missing, and the record says so: this sink had to drop ${from === to ? 'it' : 'them'}`,
      );
    const [own] = fitting;
    const other = gaps.find((gap) => !mine.includes(gap));
    const hint =
      own !== undefined
        ? `; line ${own.seq} says that this sink had lost them, and no signature vouches for that line`
        : other === undefined
          ? ''
          : `; ${plain(other.sink)} had lost such lines: where these are its files, say --sink ${plain(other.sink)}`;
    this.#find('removed', before, before.first, `${lines} missing before this one${hint}`);
  }

  #isSink(sink: string, { file }: Segment): boolean {
    if (this.#options.sink !== undefined) return sink === this.#options.sink;
    return sink.includes('/') && basename(this.#options.files[file]?.path ?? '').startsWith(basename(sink));
  }

  /** @returns numbers of the lines whose signature is good, and stands before any that is not */
  #judgeSignatures(): readonly number[] {
    const events = this.#own.filter(
      ({ name, signature }) => SIGNED.has(name) || (name === 'audit-gap' && signature !== 'none'),
    );
    const wrong = events.find(({ signature }) => signature !== 'good');
    if (wrong !== undefined) {
      this.#findAt(
        wrong,
        wrong.signature === 'bad' ? 'edited' : 'unsigned',
        WRONG[wrong.signature](plain(wrong.facts['key-id'] ?? '')),
      );
    }
    const good = events.filter(({ signature }) => signature === 'good').map(({ seq }) => seq);
    const until = wrong === undefined ? good : good.filter((seq) => seq < wrong.seq);
    this.#proven = until.at(-1) ?? 0;
    if (wrong === undefined) this.#judgeStretches(good);
    return until;
  }

  /** Since a gate signs every so many lines, more of them in a row without a signature are none of its. */
  #judgeStretches(good: readonly number[]): void {
    let from = this.#first - 1;
    for (const to of [...good, this.#last + 1]) {
      if (to - from - 1 - this.#holes.missing(from + 1, to - 1) > CHECKPOINT_LINES) {
        const segment = this.#segmentOf(from + 1);
        if (segment !== undefined)
          this.#find(
            'unsigned',
            segment,
            from + 1,
            `from line ${from + 1} to ${to - 1} no line is signed: no gate writes so many`,
          );
        return;
      }
      from = to;
    }
    if (this.#first === 1 && good[0] !== 1) {
      const segment = this.#segmentOf(1);
      if (segment !== undefined)
        this.#find(
          'unsigned',
          segment,
          1,
          'the chain does not begin with a signed line: no gate with this key has begun it',
        );
    }
  }

  #judgeEnd(): void {
    const closed = this.#own.find(({ name, signature }) => name === 'audit-closed' && signature === 'good');
    if (closed === undefined) return;
    if (closed.seq === this.#last) this.#ended = true;
    const after = this.#segmentOf(closed.seq + 1);
    if (after !== undefined)
      this.#find(
        'inserted',
        after,
        closed.seq + 1,
        `the chain was closed by line ${closed.seq}: what comes after it was put in`,
      );
  }

  /** @returns whether the line is there, and is what it was */
  #judgeHead({ seq, hash, by, ends = false }: KnownHead): boolean {
    const last = this.#assembled.segments.at(-1);
    if (last === undefined || seq < this.#first) return false;
    if (seq > this.#last) {
      this.#find('cut', last, this.#last, `the chain went on to line ${seq} at least, by ${by}: its end was cut off`);
      return false;
    }
    const segment = this.#segmentOf(seq);
    // A hole is judged as one.
    if (segment === undefined) return false;
    if (!segment.lines.has(seq, hash)) {
      this.#find(
        'edited',
        segment,
        seq,
        `line ${seq} is not what it was, by ${by}: it was changed, or lines before it`,
      );
      return false;
    }
    this.#proven = Math.max(this.#proven, seq);
    if (ends && seq === this.#last) this.#ended = true;
    return true;
  }

  /** Threat: who has no key can still make up a whole chain, in which every hash fits, and plant it as evidence. */
  #judgeAnyProof(): void {
    if (this.#proven > 0 || this.#assembled.findings.length > 0) return;
    const [segment] = this.#assembled.segments;
    if (segment !== undefined)
      this.#find(
        'unsigned',
        segment,
        this.#first,
        'no line of this chain is signed, and no anchor knows it: anybody may have written it',
      );
  }

  #sayLimits(): void {
    if (this.#first > 1)
      this.#note('limit', `begins with line ${this.#first}: what was before it is in older files, or was taken away`);
    if (this.#assembled.findings.length > 0) return;
    this.#sayUnlinked();
    if (this.#proven < this.#last) {
      this.#note(
        'limit',
        `lines ${this.#proven + 1} to ${this.#last} cannot be proven: they come after the last signature or anchor`,
      );
    }
    if (!this.#ended)
      this.#note(
        'limit',
        `has no closing line: the gate still runs, or it crashed, or the end was cut off after line ${this.#last}`,
      );
  }

  /** Before a hole, though it was declared, only what a line that is there vouches for is proven: the link to later ones was lost. */
  #sayUnlinked(): void {
    let next = 0;
    let begin = this.#first;
    for (const { from, to } of this.#assembled.holes) {
      if (from > this.#proven) return;
      for (; (this.#vouched[next] ?? Infinity) < from; next += 1)
        begin = Math.max(begin, (this.#vouched[next] ?? 0) + 1);
      const [lines, them] = begin === from - 1 ? [`line ${begin}`, 'it'] : [`lines ${begin} to ${from - 1}`, 'them'];
      if (begin < from)
        this.#note(
          'limit',
          `${lines} cannot be proven: nothing links ${them} to a signature, because the lines behind ${them} were lost`,
        );
      begin = to + 1;
    }
  }

  /** The last one: an earlier one may hold what was put in its place. */
  #segmentOf(seq: number): Segment | undefined {
    return this.#assembled.segments.findLast(({ first, last }) => first <= seq && seq <= last);
  }

  #find(kind: FindingKind, segment: Segment, seq: number, message: string): void {
    this.#findAt({ file: segment.file, line: segment.lines.line(seq), seq }, kind, message);
  }

  #findAt({ file, line, seq }: Pick<OwnEvent, 'file' | 'line' | 'seq'>, kind: FindingKind, message: string): void {
    const path = this.#options.files[file]?.path ?? '';
    this.#assembled.findings.push({ kind, file: path, line, chain: this.#assembled.chain, seq, message });
  }

  #note(kind: 'limit' | 'gap', message: string): void {
    this.#assembled.notes.push({ kind, chain: this.#assembled.chain, message });
  }
}

const WRONG: Readonly<Record<OwnEvent['signature'], (kid: string) => string>> = {
  good: () => '',
  bad: () => 'the signature does not fit: this line was changed, or lines before it',
  foreign: (kid: string) =>
    `signed by a key that was not given (${kid}): give its public half as well, or this is another gate's record`,
  none: () => 'is not signed: the gate that wrote it had no key, or somebody else wrote it',
};

/** What a file says is shown, and no more than that done with it. */
export const plain = (text: string): string => text.replace(/[^ -~]/g, '?').slice(0, 200);
