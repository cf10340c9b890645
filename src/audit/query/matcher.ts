/** Which lines of the record a question is about. */
import type { AuditEvent } from '../../core/audit/event.ts';
import { matches, type LiveFilter } from '../live/live-filter.ts';

export interface Question extends LiveFilter {
  /** RFC 3339 in UTC with microseconds, as it stands in the record: not before, and before. */
  readonly since?: string;
  readonly until?: string;
}

export interface Hit {
  /** As it stands in the record. */
  readonly time: string;
  readonly event: AuditEvent;
  /** The line itself, without its end. */
  readonly text: string;
}

export type Judge = (line: Buffer) => Hit | 'other' | 'unreadable';

/** Text that stands in JSON as it is, whoever wrote it: Go's encoder escapes `<`, `>` and `&` as well. */
const PLAIN = /^[\w ./:@,+=-]+$/;

const TIME = Buffer.from('"stageTimestamp":"');
const TIME_LENGTH = '2031-01-01T00:00:00.000000Z'.length;

/**
 * @returns judges a line by its bytes where these rule it out already, and by its JSON otherwise
 */
export function createJudge(question: Question): Judge {
  const { since = '', until, refused: _refused, code: _code, ...texts } = question;
  const needles = Object.values({ ...texts, resource: texts.resource?.split('/', 1)[0] })
    .filter((value) => value !== undefined && PLAIN.test(value))
    .map((value) => Buffer.from(String(value)));
  return (line) => {
    if (line.length === 0 || needles.some((needle) => !line.includes(needle))) return 'other';
    const time = timeOf(line);
    if (time !== undefined && (time < since || (until !== undefined && time >= until))) return 'other';
    const event = time === undefined ? undefined : parsed(line);
    if (time === undefined || event === undefined) return 'unreadable';
    return matches(question, event) ? { time, event, text: line.toString() } : 'other';
  };
}

/**
 * In JSON a quote within a value is escaped, so that these bytes are a key and never somebody's words. The last one: an API server writes the
 * objects that a client sent before its own time, and they may have such a key; behind the time stand annotations, whose values are texts.
 */
function timeOf(line: Buffer): string | undefined {
  const at = line.lastIndexOf(TIME);
  if (at === -1) return undefined;
  const from = at + TIME.length;
  const time = line.toString('latin1', from, from + TIME_LENGTH);
  return time.endsWith('Z') ? time : undefined;
}

/** An event as far as it is looked at; an API server's own record leaves out what is empty, and others write null for it. */
function parsed(line: Buffer): AuditEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString());
  } catch {
    return undefined;
  }
  if (!isRecord(value) || value['kind'] !== 'Event') return undefined;
  const user = value['user'] ?? {};
  const annotations = value['annotations'] ?? {};
  const objectRef = value['objectRef'] ?? undefined;
  const responseStatus = value['responseStatus'] ?? undefined;
  const parts = [user, annotations, objectRef ?? {}, responseStatus ?? {}];
  if (!parts.every(isRecord)) return undefined;
  return { ...value, user, annotations, objectRef, responseStatus } as unknown as AuditEvent;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
