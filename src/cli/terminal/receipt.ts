/** The result of a revocation or a drill, for a terminal. */
import { arrayAt, isRecord, numberAt, stringAt, type JsonRecord } from '../http/json-shape.ts';
import { plainText } from './plain-text.ts';
import { table } from './table.ts';

const milliseconds = (record: JsonRecord): string => {
  const ms = numberAt(record, 'ms');
  return ms === undefined ? '-' : String(Math.round(ms));
};

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/**
 * Returns the verdict, the delegated sessions that ended too, and each replica with its state. Ends with a newline.
 * @param what ended, where that is no session
 */
export function describeReceipt(receipt: JsonRecord, columns?: number, what?: string): string {
  const count = (key: string): number => Math.round(numberAt(receipt, key) ?? 0);
  const complete = receipt['complete'] === true;
  const withdrawn = count('requestsWithdrawn');
  const done = [
    what ?? `${counted(count('sessions'), 'session')} ended`,
    `${counted(count('streamsClosed'), 'stream')} cut`,
    ...(withdrawn === 0 ? [] : [`${counted(withdrawn, 'access request')} withdrawn`]),
  ].join(', ');
  const verdict = `${complete ? 'complete' : 'NOT COMPLETE'}: ${done}, ${count('elapsedMs')} ms`;
  const rows = arrayAt(receipt, 'replicas')
    .filter(isRecord)
    .map((replica) => [
      stringAt(replica, 'id') ?? '',
      stringAt(replica, 'state') ?? '',
      milliseconds(replica),
      String(numberAt(replica, 'streamsClosed') ?? '-'),
    ]);
  const delegated = arrayAt(receipt, 'delegated')
    .filter(isRecord)
    .map((one) => plainText(stringAt(one, 'name') ?? '', 400));
  const more = count('delegatedCount') - delegated.length;
  const names = [...delegated, ...(more > 0 ? [`${more} more`] : [])].join(', ');
  const ended = names === '' ? '' : `delegated sessions that ended with it: ${names}\n`;
  return `${verdict}\n${ended}${rows.length === 0 ? '' : table(['REPLICA', 'STATE', 'MS', 'STREAMS CUT'], rows, columns)}`;
}

/** Returns each replica's result of a drill. Ends with a newline. */
export function describeDrill(response: JsonRecord, columns?: number): string {
  const yesNo = (value: unknown): string => (value === true ? 'yes' : 'NO');
  const rows = arrayAt(response, 'replicas')
    .filter(isRecord)
    .map((replica) => [
      stringAt(replica, 'id') ?? '',
      yesNo(replica['opened']),
      yesNo(replica['cut']),
      milliseconds(replica),
      stringAt(replica, 'reason') ?? '',
    ]);
  return table(['REPLICA', 'OPENED', 'CUT', 'MS', 'WHY NOT'], rows, columns);
}

/** Returns the state of one replica, for a line that is shown as soon as it is known. */
export function describeReplica(replica: JsonRecord): string {
  const id = plainText(stringAt(replica, 'id') ?? '', 200);
  const streams = numberAt(replica, 'streamsClosed');
  const facts = [
    plainText(stringAt(replica, 'state') ?? '', 40),
    ...(numberAt(replica, 'ms') === undefined ? [] : [`${milliseconds(replica)} ms`]),
    ...(streams === undefined ? [] : [`${counted(streams, 'stream')} cut`]),
  ];
  return `${id}: ${facts.join(', ')}`;
}
