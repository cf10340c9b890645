/** Formats a verdict for a terminal. */
import { plain } from './chain-verifier.ts';
import type { ChainVerdict, Finding, Note, Verdict } from './verdict.ts';

/** Of each kind; the rest is counted. */
const MOST_SHOWN = 100;

/** @returns lines, the verdict last */
export function formatVerdict(verdict: Verdict): string {
  const { chains, findings, notes, files, lines } = verdict;
  const counted = `${count(lines, 'line')} in ${count(files, 'file')}, ${count(chains.length, 'chain')}`;
  return [
    ...shown(chains.map(ofChain), 'chains'),
    ...shown(notes.map(ofNote), 'notes'),
    ...shown(findings.map(ofFinding), 'findings'),
    verdict.proven
      ? `PROVEN: ${counted}${notes.some(({ kind }) => kind === 'limit') ? '; see above for what could not be proven' : ''}`
      : chains.length === 0 && findings.length === 0
        ? `NOTHING PROVEN: ${counted}`
        : `TAMPERED: ${count(findings.length, 'finding')}; ${counted}`,
  ].join('\n');
}

function shown(rows: readonly string[], what: string): readonly string[] {
  const more = rows.length - MOST_SHOWN;
  return more > 0 ? [...rows.slice(0, MOST_SHOWN), `… and ${more} more ${what}: --output json has them all`] : rows;
}

const count = (n: number, of: string): string => `${n} ${of}${n === 1 ? '' : 's'}`;

const ofChain = ({ chain, replica, first, last, provenTo, ended }: ChainVerdict): string =>
  `chain ${chain}  ${plain(replica) || '-'}  lines ${first}–${last}  ${provenTo === 0 ? 'nothing proven' : `proven to ${provenTo}`}${ended ? ', closed' : ''}`;

const ofNote = ({ kind, message, ...about }: Note): string => `${kind}: ${where(about)}${message}`;

const ofFinding = ({ kind, message, ...about }: Finding): string => `TAMPERED ${kind}: ${where(about)}${message}`;

function where({
  file,
  line,
  chain,
}: {
  readonly file?: string;
  readonly line?: number;
  readonly chain?: string;
}): string {
  const fileLine = file === undefined ? '' : `${file}:${line ?? 1}: `;
  return chain === undefined ? fileLine : `${fileLine}chain ${chain.slice(0, 8)}: `;
}
