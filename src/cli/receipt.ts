/**
 * What came of a revocation, for a terminal.
 */
import { arrayAt, isRecord, numberAt, stringAt, type JsonRecord } from './json-shape.ts';
import { table } from './table.ts';

const milliseconds = (record: JsonRecord): string => {
  const ms = numberAt(record, 'ms');
  return ms === undefined ? '-' : String(Math.round(ms));
};

/** A line of verdict, then each replica with its state. Ends with a newline. */
export function describeReceipt(receipt: JsonRecord): string {
  const count = (key: string): number => Math.round(numberAt(receipt, key) ?? 0);
  const complete = receipt['complete'] === true;
  const verdict = `${complete ? 'complete' : 'NOT COMPLETE'}: ${count('sessions')} sessions ended, ${count('streamsClosed')} streams cut, ${count('elapsedMs')} ms`;
  const rows = arrayAt(receipt, 'replicas')
    .filter(isRecord)
    .map((replica) => [
      stringAt(replica, 'id') ?? '',
      stringAt(replica, 'state') ?? '',
      milliseconds(replica),
      String(numberAt(replica, 'streamsClosed') ?? '-'),
    ]);
  return `${verdict}\n${rows.length === 0 ? '' : table(['REPLICA', 'STATE', 'MS', 'STREAMS CUT'], rows)}`;
}

/** Each replica's part in a drill. Ends with a newline. */
export function describeDrill(answer: JsonRecord): string {
  const yesNo = (value: unknown): string => (value === true ? 'yes' : 'NO');
  const rows = arrayAt(answer, 'replicas')
    .filter(isRecord)
    .map((replica) => [
      stringAt(replica, 'id') ?? '',
      yesNo(replica['opened']),
      yesNo(replica['cut']),
      milliseconds(replica),
      stringAt(replica, 'reason') ?? '',
    ]);
  return table(['REPLICA', 'OPENED', 'CUT', 'MS', 'WHY NOT'], rows);
}
