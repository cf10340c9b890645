/**
 * Verifies one chain: its holes, its signatures, its end, and whether it agrees with anchors and with the next
 * chain.
 */
import { basename } from 'node:path';
import { CHECKPOINT_LINES, type ChainHead } from '../chain/chain-facts.ts';
import type { Assembled, Hole } from './assemble.ts';
import { declaredGaps, type DeclaredGap } from './gaps.ts';
import { Holes } from './holes.ts';
import type { ChainEvent, ScannedChain, ScannedFile, Segment } from './model.ts';
import type { ChainVerdict, FindingKind } from './verdict.ts';

/** The position of a chain, from a source other than its own lines. */
export interface ExternalHead extends ChainHead {
  /** The source, as text for a message. */
  readonly by: string;
  /** The chain ended there. */
  readonly ends?: boolean;
}

export interface ChainVerifierOptions {
  readonly files: readonly ScannedFile[];
  /** The sink of these files, if its name cannot be derived from theirs. */
  readonly sink?: string | undefined;
  readonly heads: readonly ExternalHead[];
}

/** These events are always signed, as is `audit-gap`; an unsigned one of those may still be linked to a signed line. */
const SIGNED: ReadonlySet<string> = new Set(['audit-opened', 'audit-checkpoint', 'audit-closed']);

/** Adds to the findings and notes of `assembled`. */
export function verifyChain(scanned: ScannedChain, assembled: Assembled, options: ChainVerifierOptions): ChainVerdict {
  return new ChainVerifier(scanned, assembled, options).run();
}

class ChainVerifier {
  readonly #assembled: Assembled;
  readonly #options: ChainVerifierOptions;
  /** One event per number. */
  readonly #events: readonly ChainEvent[];
  #gaps: readonly DeclaredGap[] = [];
  readonly #holes: Holes;
  readonly #first: number;
  readonly #last: number;
  /**
   * Numbers of signed or anchored lines, in order. A position that the next chain names does not count, because
   * that was read from the file.
   */
  #verified: readonly number[] = [];
  #proven = 0;
  #ended = false;

  constructor(scanned: ScannedChain, assembled: Assembled, options: ChainVerifierOptions) {
    this.#assembled = assembled;
    this.#options = options;
    const events = new Map(scanned.events.toReversed().map((event) => [event.seq, event] as const));
    this.#events = [...events.values()].toSorted((a, b) => a.seq - b.seq);
    this.#holes = new Holes(assembled.holes);
    this.#first = assembled.segments[0]?.first ?? 0;
    this.#last = assembled.segments.at(-1)?.last ?? 0;
  }

  run(): ChainVerdict {
    const signed = this.#checkSignatures();
    this.#checkEnd();
    const anchored = this.#options.heads.filter((head) => this.#checkHead(head) && head.ends !== true);
    this.#verified = [...signed, ...anchored.map(({ seq }) => seq)].toSorted((a, b) => a - b);
    this.#gaps = declaredGaps(this.#events, this.#verified, this.#holes);
    for (const hole of this.#assembled.holes) this.#checkHole(hole);
    this.#checkAnyProof();
    this.#noteLimits();
    return {
      chain: this.#assembled.chain,
      replica: this.#events.find(({ facts }) => facts['replica'] !== undefined)?.facts['replica'] ?? '',
      first: this.#first,
      last: this.#last,
      provenTo: this.#proven,
      ended: this.#ended,
    };
  }

  /** A sink that lost lines declares it when it works again. Lines that another sink lost must not be missing here. */
  #checkHole({ from, to, before }: Hole): void {
    const gaps = this.#gaps.filter(({ first, last }) => first <= to && last >= from);
    const mine = gaps.filter(({ sink }) => this.#isSink(sink, before));
    const fitting = mine.filter(
      ({ first, last, count }) => first <= from && last >= to && this.#holes.missing(first, last) <= count,
    );
    const lines = from === to ? `line ${from} is` : `lines ${from} to ${to} are`;
    if (fitting.some(({ verified }) => verified))
      return this.#note(
        'gap',
        `${lines} missing, and the audit log declares it: this sink had to drop ${from === to ? 'it' : 'them'}`,
      );
    const [declared] = fitting;
    const other = gaps.find((gap) => !mine.includes(gap));
    const hint =
      declared !== undefined
        ? `; line ${declared.seq} declares that this sink lost them, and no signature or anchor covers that line`
        : other === undefined
          ? ''
          : `; ${plain(other.sink)} lost such lines: if these are its files, add --sink ${plain(other.sink)}`;
    this.#find('removed', before, before.first, `${lines} missing before this one${hint}`);
  }

  #isSink(sink: string, { file }: Segment): boolean {
    if (this.#options.sink !== undefined) return sink === this.#options.sink;
    return sink.includes('/') && basename(this.#options.files[file]?.path ?? '').startsWith(basename(sink));
  }

  /** @returns numbers of the lines with a valid signature before the first invalid one */
  #checkSignatures(): readonly number[] {
    const events = this.#events.filter(
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
    if (wrong === undefined) this.#checkStretches(good);
    return until;
  }

  /** Portcullis signs after a fixed number of lines, so it did not write a longer unsigned run. */
  #checkStretches(good: readonly number[]): void {
    let from = this.#first - 1;
    for (const to of [...good, this.#last + 1]) {
      if (to - from - 1 - this.#holes.missing(from + 1, to - 1) > CHECKPOINT_LINES) {
        const segment = this.#segmentOf(from + 1);
        if (segment !== undefined)
          this.#find(
            'unsigned',
            segment,
            from + 1,
            `from line ${from + 1} to ${to - 1} no line is signed: Portcullis never writes so many`,
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
          'the chain does not begin with a signed line: no replica with this key began it',
        );
    }
  }

  #checkEnd(): void {
    const closed = this.#events.find(({ name, signature }) => name === 'audit-closed' && signature === 'good');
    if (closed === undefined) return;
    if (closed.seq === this.#last) this.#ended = true;
    const after = this.#segmentOf(closed.seq + 1);
    if (after !== undefined)
      this.#find(
        'inserted',
        after,
        closed.seq + 1,
        `the chain was closed by line ${closed.seq}: later lines were inserted`,
      );
  }

  /** @returns whether the line exists, unchanged */
  #checkHead({ seq, hash, by, ends = false }: ExternalHead): boolean {
    const last = this.#assembled.segments.at(-1);
    if (last === undefined || seq < this.#first) return false;
    if (seq > this.#last) {
      this.#find(
        'cut',
        last,
        this.#last,
        `the chain continued to line ${seq} at least, according to ${by}: its end was cut off`,
      );
      return false;
    }
    const segment = this.#segmentOf(seq);
    // Holes are checked separately.
    if (segment === undefined) return false;
    if (!segment.lines.has(seq, hash)) {
      this.#find(
        'edited',
        segment,
        seq,
        `line ${seq} is not what it was, according to ${by}: it was changed, or lines before it`,
      );
      return false;
    }
    this.#proven = Math.max(this.#proven, seq);
    if (ends && seq === this.#last) this.#ended = true;
    return true;
  }

  /**
   * An attacker without a key makes up a whole chain, in which every hash fits, and plants it as evidence. So a
   * chain needs at least one signature or anchor.
   */
  #checkAnyProof(): void {
    if (this.#proven > 0 || this.#assembled.findings.length > 0) return;
    const [segment] = this.#assembled.segments;
    if (segment !== undefined)
      this.#find(
        'unsigned',
        segment,
        this.#first,
        'no line of this chain is signed, and no anchor knows it: anyone may have written it',
      );
  }

  #noteLimits(): void {
    if (this.#first > 1)
      this.#note('limit', `begins with line ${this.#first}: earlier lines are in older files, or were removed`);
    if (this.#assembled.findings.length > 0) return;
    this.#noteUnlinked();
    if (this.#proven < this.#last) {
      this.#note(
        'limit',
        `lines ${this.#proven + 1} to ${this.#last} cannot be proven: they come after the last signature or anchor`,
      );
    }
    if (!this.#ended)
      this.#note(
        'limit',
        `has no closing line: the replica still runs, or it crashed, or the end was cut off after line ${this.#last}`,
      );
  }

  /**
   * Lines before a hole, even a declared one, are proven only by a signature or anchor before it: the link to
   * later ones was lost.
   */
  #noteUnlinked(): void {
    let next = 0;
    let begin = this.#first;
    for (const { from, to } of this.#assembled.holes) {
      if (from > this.#proven) return;
      for (; (this.#verified[next] ?? Infinity) < from; next += 1)
        begin = Math.max(begin, (this.#verified[next] ?? 0) + 1);
      const [lines, them] = begin === from - 1 ? [`line ${begin}`, 'it'] : [`lines ${begin} to ${from - 1}`, 'them'];
      if (begin < from)
        this.#note(
          'limit',
          `${lines} cannot be proven: nothing links ${them} to a signature, because the lines behind ${them} were lost`,
        );
      begin = to + 1;
    }
  }

  /** The last segment: an earlier one may hold a replacement. */
  #segmentOf(seq: number): Segment | undefined {
    return this.#assembled.segments.findLast(({ first, last }) => first <= seq && seq <= last);
  }

  #find(kind: FindingKind, segment: Segment, seq: number, message: string): void {
    this.#findAt({ file: segment.file, line: segment.lines.line(seq), seq }, kind, message);
  }

  #findAt({ file, line, seq }: Pick<ChainEvent, 'file' | 'line' | 'seq'>, kind: FindingKind, message: string): void {
    const path = this.#options.files[file]?.path ?? '';
    this.#assembled.findings.push({ kind, file: path, line, chain: this.#assembled.chain, seq, message });
  }

  #note(kind: 'limit' | 'gap', message: string): void {
    this.#assembled.notes.push({ kind, chain: this.#assembled.chain, message });
  }
}

const WRONG: Readonly<Record<ChainEvent['signature'], (kid: string) => string>> = {
  good: () => '',
  bad: () => 'the signature does not match: this line was changed, or lines before it',
  foreign: (kid: string) =>
    `signed by a key that was not given (${kid}): give its public half as well, or these are another server's files`,
  none: () => 'is not signed: the replica that wrote it had no key, or an attacker wrote it',
};

/** Makes text from a file safe to show. */
export const plain = (text: string): string => text.replace(/[^ -~]/g, '?').slice(0, 200);
