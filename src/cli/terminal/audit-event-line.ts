/** One audit event as one line: time, user, action, outcome, source address. */
import type { AuditEvent } from '../../core/audit/event.ts';
import { isOfAllNamespaces } from '../../core/audit/sentence.js';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { isRecord, numberAt, recordAt, stringAt, stringsAt, type JsonRecord } from '../http/json-shape.ts';
import { plainText } from './plain-text.ts';

/** Characters of one part. Names and paths are untrusted text. */
const LONGEST_PART = 200;
const RED = '\u001b[31m';
const DIM = '\u001b[2m';
const PLAIN = '\u001b[0m';

const plain = (text: string | undefined): string => plainText(text ?? '', LONGEST_PART);

/**
 * @param event of `audit.k8s.io/v1`, as a server sent it
 * @param colour whether rejections and starts are highlighted
 * @returns a line without its end, and without control characters except for our own colours
 */
export function eventLine(event: JsonRecord, colour: boolean): string {
  const line = [timeOf(stringAt(event, 'stageTimestamp')), ...eventCells(event)].join('  ');
  if (!colour) return line;
  if ((codeOf(event) ?? 0) >= 400) return `${RED}${line}${PLAIN}`;
  return isStart(event) ? `${DIM}${line}${PLAIN}` : line;
}

/** Returns the parts of the line without the time: user, action, outcome, source address. */
export const eventCells = (event: JsonRecord): readonly string[] => [
  userOf(event),
  [plain(stringAt(event, 'verb')), targetOf(event)].filter((part) => part !== '').join(' ') || '-',
  outcomeOf(event),
  plain(stringsAt(event, 'sourceIPs')[0]) || '-',
];

const codeOf = (event: JsonRecord): number | undefined => numberAt(recordAt(event, 'responseStatus') ?? {}, 'code');

/** A request that was written ahead has no outcome yet; where it is shown here, none was found. */
const outcomeOf = (event: JsonRecord): string =>
  stringAt(event, 'stage') === 'RequestReceived'
    ? 'begun, no outcome'
    : `${codeOf(event) ?? '-'}${isStart(event) ? ' begun' : ''}`;

const isStart = (event: JsonRecord): boolean => stringAt(event, 'stage') === 'ResponseStarted';

/** Returns the local time of day. */
function timeOf(timestamp: string | undefined): string {
  const at = new Date(timestamp ?? '');
  if (Number.isNaN(at.getTime())) return '--:--:--';
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}

function userOf(event: JsonRecord): string {
  const nameAt = (key: string): string => plain(stringAt(recordAt(event, key) ?? {}, 'username'));
  const as = nameAt('impersonatedUser');
  // A user who delegates does so themselves: the actor of such an event is whom the session is for.
  const actor = factAt(event, 'event') === 'delegated' ? '' : factAt(event, 'actor');
  return `${nameAt('user') || '-'}${actor === '' ? '' : ` via ${actor}`}${as === '' ? '' : ` as ${as}`}`;
}

function factAt(event: JsonRecord, name: string): string {
  const facts = event['annotations'];
  return isRecord(facts) ? plain(stringAt(facts, `${EXTRA_DOMAIN}/${name}`)) : '';
}

function targetOf(event: JsonRecord): string {
  const fact = (name: string): string => factAt(event, name);
  const reason = fact('reason');
  const why = reason === '' ? '' : ` [${reason}]`;
  if (fact('event') !== '') return [fact('target'), why.trim()].filter((part) => part !== '').join(' ') || '-';
  const cluster = fact('cluster');
  return `${objectOf(event)}${cluster === '' ? '' : ` @${cluster}`}${why}`;
}

/** Returns `pods/web-0/exec -n default`, `secrets -A` as kubectl has it, or the path where the event is about no object. */
function objectOf(event: JsonRecord): string {
  const object = recordAt(event, 'objectRef');
  if (object === undefined) return plain(stringAt(event, 'requestURI'));
  const path = ['resource', 'name', 'subresource'].map((key) => plain(stringAt(object, key))).filter(Boolean);
  const namespace = plain(stringAt(object, 'namespace'));
  const where = namespace === '' ? '' : ` -n ${namespace}`;
  return `${path.join('/')}${isOfAllNamespaces(event as unknown as AuditEvent) ? ' -A' : where}`;
}
