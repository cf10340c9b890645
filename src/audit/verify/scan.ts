/** Reads files once, line by line, and keeps what is needed for verification. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { chainFacts, hashOf, withoutSignature, type ChainFacts } from '../chain/chain-facts.ts';
import { eachLine } from './read-lines.ts';
import {
  SegmentLines,
  type UnexpectedLine,
  type ChainEvent,
  type Scan,
  type ScannedChain,
  type Segment,
} from './model.ts';

/** Unexpected lines that are listed one by one: a file that is no audit log at all would fill the memory with them. */
const MOST_UNEXPECTED = 1000;
/** A server that starts every minute creates this many in two months. */
const MOST_CHAINS = 100_000;

/** How every line of the audit log begins. */
const BEGINNING = '{"kind":"Event"';

/**
 * @param keys public keys by `kid`
 * @throws if a file cannot be opened, or is not an audit log of Portcullis
 */
export async function scanFiles(paths: readonly string[], keys: ReadonlyMap<string, JWK>): Promise<Scan> {
  const scanner = new Scanner(keys);
  for (const path of paths) await scanner.read(path);
  return scanner.scan;
}

class Scanner {
  readonly scan: Scan = { files: [], chains: new Map(), unexpected: [], unexpectedMore: 0 };
  readonly #keys: ReadonlyMap<string, KeyObject>;
  /** By chain, of the current file. */
  #open = new Map<string, Segment>();
  /** A line that may have been torn: the next one decides. */
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
      this.#addUnexpected(file.lines + 1, 'broken-file');
    }
    if (this.#torn !== undefined) this.#addUnexpected(this.#torn.line, 'torn');
    this.#torn = undefined;
  }

  #take(bytes: Buffer, line: number): void {
    const facts = chainFacts(bytes);
    this.#checkTorn(bytes, facts);
    if (facts === undefined) return this.#takeUnexpected(bytes, line);
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
    if (facts.event !== undefined) this.#chain(chain).events.push(this.#chainEvent(bytes, facts, { file, line }));
  }

  #chain(chain: string): ScannedChain {
    const known = this.scan.chains.get(chain);
    if (known !== undefined) return known;
    if (this.scan.chains.size >= MOST_CHAINS) throw new Error('there are more chains than Portcullis ever writes');
    const found = { chain, segments: [], events: [] };
    this.scan.chains.set(chain, found);
    return found;
  }

  #chainEvent(
    bytes: Buffer,
    { event = '', seq, signature }: ChainFacts,
    fileLine: { file: number; line: number },
  ): ChainEvent {
    const facts = annotationsOf(bytes);
    const chainEvent = { name: event, seq, ...fileLine, facts };
    if (signature === undefined) return { ...chainEvent, signature: 'none' };
    const key = this.#keys.get(facts['key-id'] ?? '');
    if (key === undefined) return { ...chainEvent, signature: 'foreign' };
    const given = Buffer.from(signature, 'base64url');
    const good = verify('sha256', withoutSignature(bytes), { key, dsaEncoding: 'ieee-p1363' }, given);
    return { ...chainEvent, signature: good ? 'good' : 'bad' };
  }

  #takeUnexpected(bytes: Buffer, line: number): void {
    const text = bytes.toString();
    if (isJson(text)) this.#addUnexpected(line, 'unchained');
    else if (text !== '' && BEGINNING.startsWith(text.slice(0, BEGINNING.length))) this.#torn = { bytes, line };
    else this.#addUnexpected(line, 'unreadable');
  }

  /**
   * A crash tears the last line that a process writes: after it the next chain begins, or the same line is
   * repeated completely. Any other partial line in the middle of a file was inserted, or cut there.
   */
  #checkTorn(next: Buffer, facts: ChainFacts | undefined): void {
    const torn = this.#torn;
    if (torn === undefined) return;
    this.#torn = undefined;
    const whole = next.subarray(0, torn.bytes.length).equals(torn.bytes);
    this.#addUnexpected(
      torn.line,
      facts !== undefined && (facts.event === 'audit-opened' || whole) ? 'torn' : 'unreadable',
    );
  }

  #addUnexpected(line: number, kind: UnexpectedLine['kind']): void {
    if (this.scan.unexpected.length < MOST_UNEXPECTED)
      this.scan.unexpected.push({ file: this.scan.files.length - 1, line, kind });
    else this.scan.unexpectedMore += 1;
  }
}

/** Errors of compressed data; a file that cannot be opened at all is the caller's mistake. */
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
    // The line was changed so that it is no JSON any more: its hash shows that.
  }
  return facts;
}

function timeOf(bytes: Buffer): number | undefined {
  const found = /"stageTimestamp":"([^"]{1,40})"/.exec(bytes.toString('latin1'));
  const at = Date.parse(found?.[1] ?? '');
  return Number.isNaN(at) ? undefined : at;
}
