/**
 * The verifier of the audit log: did Portcullis write these files, completely and in this order?
 *
 * Owns reading files, assembling chains, and the messages about what does not fit. Must not know where anchors and
 * keys come from, and how a verdict is shown. It needs neither a running server nor its secrets.
 */
import type { JWK } from 'jose';
import { UNFINISHED } from '../sinks/gzip.ts';
import { readAnchors, type ReadAnchor } from './anchors.ts';
import { assemble, type Assembled } from './assemble.ts';
import { verifyChain, plain, type ExternalHead } from './chain-verifier.ts';
import type { ChainEvent, Scan } from './model.ts';
import { scanFiles } from './scan.ts';
import type { ChainVerdict, Finding, Note, Verdict } from './verdict.ts';

export type { Verdict } from './verdict.ts';

export interface VerifyOptions {
  /** In any order; gzipped or not. Of one sink, of any number of replicas that write there. */
  readonly files: readonly string[];
  /** Public keys by `kid`, including retired ones. */
  readonly keys: ReadonlyMap<string, JWK>;
  /** Positions of chains, as kept outside the files. Absent: there are none to compare with. */
  readonly anchors?: readonly string[];
  /** The replica that wrote these files: anchors of others are ignored. Absent: every anchored chain must be here. */
  readonly replica?: string;
  /** The sink of these files, as gaps name it. Absent: derived from the files' names. */
  readonly sink?: string;
}

/**
 * Reads each file once. Memory: some twenty bytes a line.
 * @throws if a file cannot be opened
 */
export async function verifyAuditLog(options: VerifyOptions): Promise<Verdict> {
  const [unfinished, files] = [options.files.filter(isUnfinished), options.files.filter((file) => !isUnfinished(file))];
  const scan = await scanFiles(files, options.keys);
  const { anchors, invalid } = await readAnchors(options.anchors ?? [], options.keys);
  const mine = anchors.filter(
    ({ replica }) => options.replica === undefined || (replica ?? options.replica) === options.replica,
  );
  const findings: Finding[] = [...unexpectedFindings(scan), ...invalid.map(anchorFinding)];
  const notes: Note[] = [...tornNotes(scan), ...unfinished.map(leftOut)];
  const heads = headsOf(scan, mine);
  const chains: ChainVerdict[] = [];
  for (const scanned of scan.chains.values()) {
    const assembled = assemble(scanned, scan.files);
    chains.push(
      verifyChain(scanned, assembled, { ...options, files: scan.files, heads: heads.get(scanned.chain) ?? [] }),
    );
    take(assembled, findings, notes);
  }
  findings.push(...missingBefore(scan, notes), ...missingAnchored(scan, mine));
  return {
    proven: findings.length === 0 && chains.length > 0,
    files: scan.files.length,
    lines: scan.files.reduce((sum, { lines }) => sum + lines, 0),
    chains,
    findings,
    notes,
  };
}

function take(assembled: Assembled, findings: Finding[], notes: Note[]): void {
  // One by one, because there may be more than a call can take as arguments.
  for (const finding of assembled.findings) findings.push(finding);
  for (const note of assembled.notes) notes.push(note);
}

/** A file that is being compressed; the original exists until that is done. */
const isUnfinished = (path: string): boolean => path.endsWith(UNFINISHED);

const leftOut = (file: string): Note => ({
  kind: 'torn',
  file,
  message: 'ignored: it is being compressed, and the original file exists',
});

const UNEXPECTED = {
  unchained: 'an event outside any chain: it was inserted, or written before Portcullis kept a chain',
  unreadable: 'not a line that Portcullis writes: it was inserted, or changed',
  'broken-file': 'the compressed file is damaged from here on: nothing after it can be read',
} as const;

function* unexpectedFindings(scan: Scan): Generator<Finding> {
  for (const { file, line, kind } of scan.unexpected) {
    if (kind === 'torn') continue;
    yield {
      kind: kind === 'unchained' ? 'inserted' : 'unreadable',
      file: pathOf(scan, file),
      line,
      message: UNEXPECTED[kind],
    };
  }
  if (scan.unexpectedMore > 0)
    yield { kind: 'unreadable', message: `and ${scan.unexpectedMore} more lines that are not from the audit log` };
}

function* tornNotes(scan: Scan): Generator<Note> {
  for (const { file, line, kind } of scan.unexpected) {
    if (kind !== 'torn') continue;
    yield {
      kind: 'torn',
      file: pathOf(scan, file),
      line,
      message: 'incomplete: a crash, or it is being written now',
    };
  }
}

const anchorFinding = (fileLine: number): Finding => ({
  kind: 'anchor',
  message: `anchor ${fileLine} is invalid: not signed by a given key, or changed`,
});

/** Returns the known positions of each chain from outside its own lines. */
function headsOf(scan: Scan, anchors: readonly ReadAnchor[]): ReadonlyMap<string, readonly ExternalHead[]> {
  const heads = new Map<string, ExternalHead[]>();
  const add = (chain: string, head: ExternalHead): void => {
    const known = heads.get(chain);
    if (known === undefined) heads.set(chain, [head]);
    else known.push(head);
  };
  for (const anchor of anchors) {
    const when = anchor.at === undefined ? '' : ` of ${isoTime(anchor.at)}`;
    add(anchor.chain, { ...anchor, by: `its anchor${when}` });
  }
  for (const { opened, previous } of openings(scan)) {
    const by = `the chain that begins in ${pathOf(scan, opened.file)} line ${opened.line}`;
    add(previous.chain, { ...previous, by, ends: true });
  }
  return heads;
}

interface Opening {
  readonly opened: ChainEvent;
  /** Where the file's previous chain ended. */
  readonly previous: { readonly chain: string; readonly seq: number; readonly hash: string };
}

/** First lines that name the previous chain; only signed ones are trusted. */
function* openings(scan: Scan): Generator<Opening> {
  for (const { events } of scan.chains.values()) {
    for (const opened of events) {
      const { 'previous-chain': chain, 'previous-seq': seq, 'previous-hash': hash } = opened.facts;
      if (opened.name !== 'audit-opened' || opened.signature !== 'good' || chain === undefined) continue;
      yield { opened, previous: { chain, seq: Number(seq), hash: hash ?? '' } };
    }
  }
}

/**
 * A chain begins where the file's previous one ended. Only at the very top of a file may that one be in a file
 * that is missing.
 */
function* missingBefore(scan: Scan, notes: Note[]): Generator<Finding> {
  for (const { opened, previous } of openings(scan)) {
    if (isThere(scan, previous.chain)) continue;
    const fileLine = { file: pathOf(scan, opened.file), line: opened.line };
    const before = `chain ${plain(previous.chain)}, which ended with line ${previous.seq},`;
    if (opened.line === 1)
      notes.push({ kind: 'limit', ...fileLine, message: `${before} is in an older file, or was removed` });
    else yield { kind: 'missing-chain', ...fileLine, message: `${before} came before this line, and is missing` };
  }
}

/**
 * Chains anchored while these files were written, and missing in all of them. Chains anchored earlier are in older
 * files.
 */
function* missingAnchored(scan: Scan, anchors: readonly ReadAnchor[]): Generator<Finding> {
  const since = Math.min(...scan.files.flatMap((file) => (file.since === undefined ? [] : [file.since])));
  for (const { chain, seq, at, replica } of anchors) {
    if (at === undefined || at < since || isThere(scan, chain)) continue;
    const of = plain(replica ?? '');
    const message = `chain ${chain} of ${of} was at line ${seq} at ${isoTime(at)}, and all of it is missing: give its files as well, or use --replica for one replica's files; otherwise it was removed`;
    yield { kind: 'missing-chain', chain, message };
  }
}

const isThere = (scan: Scan, chain: string): boolean => scan.chains.has(chain);

const pathOf = (scan: Scan, file: number): string => scan.files[file]?.path ?? '';

function isoTime(at: number): string {
  const time = new Date(at);
  return Number.isNaN(time.valueOf()) ? 'an unknown time' : time.toISOString();
}
