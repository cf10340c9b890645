/** Reads files once, line by line, and keeps of them what is needed to judge. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { chainFacts, hashOf, withoutSignature, type ChainFacts } from '../chain/chain-facts.ts';
import { eachLine } from './read-lines.ts';
import { SegmentLines, type OddLine, type OwnEvent, type Scan, type ScannedChain, type Segment } from './model.ts';

/** Odd lines that are named one by one: a file that is no record at all would fill the memory with them. */
const MOST_ODD = 1000;
/** A gate that starts every minute makes so many in two months. */
const MOST_CHAINS = 100_000;

/** How every line of the record begins. */
const BEGINNING = '{"kind":"Event"';

/**
 * @param keys public keys by `kid`
 * @throws where a file cannot be opened, or is no record of a gate
 */
export async function scanFiles(paths: readonly string[], keys: ReadonlyMap<string, JWK>): Promise<Scan> {
  const scanner = new Scanner(keys);
  for (const path of paths) await scanner.read(path);
  return scanner.scan;
}

class Scanner {
  readonly scan: Scan = { files: [], chains: new Map(), odd: [], oddMore: 0 };
  readonly #keys: ReadonlyMap<string, KeyObject>;
  /** By chain, of the file that is read. */
  #open = new Map<string, Segment>();
  /** A line that may have been torn: the next one tells. */
  #torn: { readonly bytes: Buffer; readonly line: number } | undefined;

  constructor(keys: ReadonlyMap<string, JWK>) {
    this.#keys = new Map(
      [...keys].map(([kid, jwk]) => [kid, createPublicKey({ key: { ...jwk }, format: 'jwk' })] as const),
    );
  }

  async read(path: string): Promise<void> {
    const file = { path, lines: 0, since: undefined };
    this.scan.files.push(file);
    this.#open = new Map();
    try {
      await eachLine(path, (bytes, number) => {
        file.lines = number;
        this.#take(bytes, number);
      });
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#addOdd(file.lines + 1, 'broken-file');
    }
    if (this.#torn !== undefined) this.#addOdd(this.#torn.line, 'torn');
    this.#torn = undefined;
  }

  #take(bytes: Buffer, line: number): void {
    const facts = chainFacts(bytes);
    this.#judgeTorn(bytes, facts);
    if (facts === undefined) return this.#takeOdd(bytes, line);
    const hash = hashOf(bytes);
    const { chain, seq, prev } = facts;
    const file = this.scan.files.length - 1;
    const known = this.scan.files[file];
    if (known !== undefined) known.since ??= timeOf(bytes);
    const open = this.#open.get(chain);
    if (open !== undefined && seq === open.last + 1 && prev === open.hash) {
      open.last = seq;
      open.hash = hash;
      open.lines.push(hash, line);
    } else {
      const begun: Segment = { file, first: seq, last: seq, prev, hash, lines: new SegmentLines(seq) };
      begun.lines.push(hash, line);
      this.#open.set(chain, begun);
      this.#chain(chain).segments.push(begun);
    }
    if (facts.event !== undefined) this.#chain(chain).own.push(this.#ownEvent(bytes, facts, { file, line }));
  }

  #chain(chain: string): ScannedChain {
    const known = this.scan.chains.get(chain);
    if (known !== undefined) return known;
    if (this.scan.chains.size >= MOST_CHAINS) throw new Error('there are more chains than any gate writes');
    const found = { chain, segments: [], own: [] };
    this.scan.chains.set(chain, found);
    return found;
  }

  #ownEvent(
    bytes: Buffer,
    { event = '', seq, signature }: ChainFacts,
    place: { file: number; line: number },
  ): OwnEvent {
    const facts = annotationsOf(bytes);
    const own = { name: event, seq, ...place, facts };
    if (signature === undefined) return { ...own, signature: 'none' };
    const key = this.#keys.get(facts['key-id'] ?? '');
    if (key === undefined) return { ...own, signature: 'foreign' };
    const given = Buffer.from(signature, 'base64url');
    const good = verify('sha256', withoutSignature(bytes), { key, dsaEncoding: 'ieee-p1363' }, given);
    return { ...own, signature: good ? 'good' : 'bad' };
  }

  #takeOdd(bytes: Buffer, line: number): void {
    const text = bytes.toString();
    if (isJson(text)) this.#addOdd(line, 'unchained');
    else if (text !== '' && BEGINNING.startsWith(text.slice(0, BEGINNING.length))) this.#torn = { bytes, line };
    else this.#addOdd(line, 'unreadable');
  }

  /**
   * A crash tears the last line that a process writes: behind it the next chain begins, or the same line stands once more, whole. Anything
   * else in the middle of a file was put there, or cut short there.
   */
  #judgeTorn(next: Buffer, facts: ChainFacts | undefined): void {
    const torn = this.#torn;
    if (torn === undefined) return;
    this.#torn = undefined;
    const whole = next.subarray(0, torn.bytes.length).equals(torn.bytes);
    this.#addOdd(torn.line, facts !== undefined && (facts.event === 'audit-opened' || whole) ? 'torn' : 'unreadable');
  }

  #addOdd(line: number, kind: OddLine['kind']): void {
    if (this.scan.odd.length < MOST_ODD) this.scan.odd.push({ file: this.scan.files.length - 1, line, kind });
    else this.scan.oddMore += 1;
  }
}

/** Of compressed data; what cannot be opened at all is the caller's mistake. */
const isDamage = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('Z_');

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function annotationsOf(bytes: Buffer): Readonly<Record<string, string>> {
  const facts: Record<string, string> = {};
  try {
    const { annotations } = JSON.parse(bytes.toString()) as { annotations?: Record<string, unknown> };
    for (const [name, value] of Object.entries(annotations ?? {})) {
      if (name.startsWith(`${EXTRA_DOMAIN}/`) && typeof value === 'string')
        facts[name.slice(EXTRA_DOMAIN.length + 1)] = value;
    }
  } catch {
    // A line that was changed until it is no JSON any more: its hash tells.
  }
  return facts;
}

function timeOf(bytes: Buffer): number | undefined {
  const found = /"stageTimestamp":"([^"]{1,40})"/.exec(bytes.toString('latin1'));
  const at = Date.parse(found?.[1] ?? '');
  return Number.isNaN(at) ? undefined : at;
}
