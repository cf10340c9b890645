/**
 * The verifier of the record: are these files what the gates wrote, all of it, and in its order?
 *
 * Owns: reading files, putting chains together, and the words for what does not fit. Must not know: where anchors and keys come from, and how
 * a verdict is shown. It needs neither a running gate nor its secrets.
 */
import type { JWK } from 'jose';
import { UNFINISHED } from '../sinks/gzip.ts';
import { readAnchors, type ReadAnchor } from './anchors.ts';
import { assemble, type Assembled } from './assemble.ts';
import { judgeChain, plain, type KnownHead } from './chain-verifier.ts';
import type { OwnEvent, Scan } from './model.ts';
import { scanFiles } from './scan.ts';
import type { ChainVerdict, Finding, Note, Verdict } from './verdict.ts';

export type { Verdict } from './verdict.ts';

export interface VerifyOptions {
  /** In any order; gzipped or not. Of one sink, of as many replicas as write there. */
  readonly files: readonly string[];
  /** Public keys by `kid`, retired ones too. */
  readonly keys: ReadonlyMap<string, JWK>;
  /** Where chains stood, each as it was kept outside the files. Absent: there are none to hold the files against. */
  readonly anchors?: readonly string[];
  /** The replica whose files these are: anchors of others are left out. Absent: all that anchors know must be here. */
  readonly replica?: string;
  /** The sink whose files these are, as gaps name it. Absent: told from the files' names. */
  readonly sink?: string;
}

/**
 * Reads each file once. Memory: some twenty bytes a line.
 * @throws where a file cannot be opened
 */
export async function verifyAuditLog(options: VerifyOptions): Promise<Verdict> {
  const [unfinished, files] = [options.files.filter(isUnfinished), options.files.filter((file) => !isUnfinished(file))];
  const scan = await scanFiles(files, options.keys);
  const { anchors, faults } = await readAnchors(options.anchors ?? [], options.keys);
  const mine = anchors.filter(
    ({ replica }) => options.replica === undefined || (replica ?? options.replica) === options.replica,
  );
  const findings: Finding[] = [...oddFindings(scan), ...faults.map(anchorFault)];
  const notes: Note[] = [...tornNotes(scan), ...unfinished.map(leftOut)];
  const heads = headsOf(scan, mine);
  const chains: ChainVerdict[] = [];
  for (const scanned of scan.chains.values()) {
    const assembled = assemble(scanned, scan.files);
    chains.push(
      judgeChain(scanned, assembled, { ...options, files: scan.files, heads: heads.get(scanned.chain) ?? [] }),
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
  // One by one: there may be more of them than a call has room for arguments.
  for (const finding of assembled.findings) findings.push(finding);
  for (const note of assembled.notes) notes.push(note);
}

/** Of a file that is being compressed; the file itself is there until that is done. */
const isUnfinished = (path: string): boolean => path.endsWith(UNFINISHED);

const leftOut = (file: string): Note => ({
  kind: 'torn',
  file,
  message: 'left out: it is being compressed, and the file itself is there',
});

const ODD = {
  unchained: 'an event that stands in no chain: it was put in, or written before the gate kept a chain',
  unreadable: 'no line that a gate writes: it was put in, or changed',
  'broken-file': 'the compressed file is damaged from here on: nothing after it can be read',
} as const;

function* oddFindings(scan: Scan): Generator<Finding> {
  for (const { file, line, kind } of scan.odd) {
    if (kind === 'torn') continue;
    yield {
      kind: kind === 'unchained' ? 'inserted' : 'unreadable',
      file: pathOf(scan, file),
      line,
      message: ODD[kind],
    };
  }
  if (scan.oddMore > 0)
    yield { kind: 'unreadable', message: `and ${scan.oddMore} more lines that are none of the record` };
}

function* tornNotes(scan: Scan): Generator<Note> {
  for (const { file, line, kind } of scan.odd) {
    if (kind !== 'torn') continue;
    yield {
      kind: 'torn',
      file: pathOf(scan, file),
      line,
      message: 'begun and not ended: a crash, or it is being written now',
    };
  }
}

const anchorFault = (place: number): Finding => ({
  kind: 'anchor',
  message: `anchor ${place} is none: not signed by a key that was given, or changed`,
});

/** What is known of each chain's places from outside its own lines. */
function headsOf(scan: Scan, anchors: readonly ReadAnchor[]): ReadonlyMap<string, readonly KnownHead[]> {
  const heads = new Map<string, KnownHead[]>();
  const add = (chain: string, head: KnownHead): void => {
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
  readonly opened: OwnEvent;
  /** Where the file's last chain stood. */
  readonly previous: { readonly chain: string; readonly seq: number; readonly hash: string };
}

/** First lines that name the chain before theirs; only signed ones are believed. */
function* openings(scan: Scan): Generator<Opening> {
  for (const { own } of scan.chains.values()) {
    for (const opened of own) {
      const { 'previous-chain': chain, 'previous-seq': seq, 'previous-hash': hash } = opened.facts;
      if (opened.name !== 'audit-opened' || opened.signature !== 'good' || chain === undefined) continue;
      yield { opened, previous: { chain, seq: Number(seq), hash: hash ?? '' } };
    }
  }
}

/** A chain begins where the file's last one ended. Only at the very top of a file may that one be in a file that is not here. */
function* missingBefore(scan: Scan, notes: Note[]): Generator<Finding> {
  for (const { opened, previous } of openings(scan)) {
    if (isThere(scan, previous.chain)) continue;
    const place = { file: pathOf(scan, opened.file), line: opened.line };
    const before = `chain ${plain(previous.chain)}, which ended with line ${previous.seq},`;
    if (opened.line === 1)
      notes.push({ kind: 'limit', ...place, message: `${before} is in an older file, or was taken away` });
    else yield { kind: 'missing-chain', ...place, message: `${before} stood before this line, and is not here` };
  }
}

/** Anchored while these files were written, and in none of them. What was anchored before them is in older ones. */
function* missingAnchored(scan: Scan, anchors: readonly ReadAnchor[]): Generator<Finding> {
  const since = Math.min(...scan.files.flatMap((file) => (file.since === undefined ? [] : [file.since])));
  for (const { chain, seq, at, replica } of anchors) {
    if (at === undefined || at < since || isThere(scan, chain)) continue;
    const of = plain(replica ?? '');
    const message = `chain ${chain} of ${of} stood at line ${seq} at ${isoTime(at)}, and none of it is here: give its files as well, say --replica for one replica's files, or it was taken away`;
    yield { kind: 'missing-chain', chain, message };
  }
}

const isThere = (scan: Scan, chain: string): boolean => scan.chains.has(chain);

const pathOf = (scan: Scan, file: number): string => scan.files[file]?.path ?? '';

function isoTime(at: number): string {
  const time = new Date(at);
  return Number.isNaN(time.valueOf()) ? 'an unknown time' : time.toISOString();
}
