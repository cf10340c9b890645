/** Decides which lines of the audit log match a query. */
import type { AuditEvent } from '../../core/audit/event.ts';
import { matches, type LiveFilter } from '../live/live-filter.ts';

export interface AuditQuery extends LiveFilter {
  /** The request id, which is the same in the cluster's own audit log. */
  readonly auditId?: string;
  /** Of the object, such as a deployment. */
  readonly name?: string;
  /** RFC 3339 in UTC with microseconds, as in the audit log: not before, and before. */
  readonly since?: string;
  readonly until?: string;
}

export interface Hit {
  /** As in the audit log. */
  readonly time: string;
  readonly event: AuditEvent;
  /** The line itself, without its newline. */
  readonly text: string;
}

export type LineMatcher = (line: Buffer) => Hit | 'other' | 'unreadable';

/** Text that JSON writes as it is, whatever the encoder: Go's encoder escapes `<`, `>` and `&` as well. */
const PLAIN = /^[\w ./:@,+=-]+$/;

const TIME = Buffer.from('"stageTimestamp":"');
const TIME_LENGTH = '2031-01-01T00:00:00.000000Z'.length;

/** @returns a function that decides by a line's bytes if they rule it out already, and by its JSON otherwise */
export function createMatcher(query: AuditQuery): LineMatcher {
  const { since = '', until, auditId } = query;
  const needles = needlesOf(query);
  return (line) => {
    if (line.length === 0 || needles.some((any) => !any.some((needle) => line.includes(needle)))) return 'other';
    const time = timeOf(line);
    if (time !== undefined && (time < since || (until !== undefined && time >= until))) return 'other';
    const hit = hitOf(line);
    if (hit === undefined) return 'unreadable';
    const isThat = auditId === undefined || auditId === hit.event.auditID;
    return isThat && matches(query, hit.event) ? hit : 'other';
  };
}

/** @returns a line as a hit, whatever it is about; undefined if it is no event */
export function hitOf(line: Buffer): Hit | undefined {
  const time = timeOf(line);
  if (time === undefined) return undefined;
  const text = line.toString();
  const event = parsed(text);
  return event === undefined ? undefined : { time, event, text };
}

/** A line that matches has one of each of these lists. */
function needlesOf({ refused: _refused, code: _code, since: _since, until: _until, ...texts }: AuditQuery) {
  const { verb, event, resource, namespace, ...others } = texts;
  const lists = [
    ...Object.values(others).map((value) => [value]),
    (resource?.split(',') ?? []).map((one) => one.split('/', 1)[0]),
    verb?.split(',') ?? [],
    event?.split(',') ?? [],
    namespace === undefined ? [] : [namespace, ...OF_ALL_NAMESPACES],
  ].map((values) => values.filter((value) => value !== undefined));
  return lists
    .filter((values) => values.length > 0 && values.every((value) => PLAIN.test(value) || value.startsWith('"')))
    .map((values) => values.map((value) => Buffer.from(value)));
}

/** What is in a line that is about all namespaces, whichever encoder wrote it. */
const OF_ALL_NAMESPACES = ['"list"', '"watch"', '"deletecollection"'];

/**
 * JSON escapes quotes inside a value, so these bytes are a key and never a client's text. The last occurrence
 * counts: an API server writes the objects that a client sent before its own time, and they may have such a key;
 * behind the time are annotations, whose values are strings.
 */
export function timeOf(line: Buffer): string | undefined {
  const at = line.lastIndexOf(TIME);
  if (at === -1) return undefined;
  const from = at + TIME.length;
  const time = line.toString('latin1', from, from + TIME_LENGTH);
  return time.endsWith('Z') ? time : undefined;
}

/**
 * Parses an event as far as it is needed; an API server's own audit log omits empty fields, and others write null
 * for them.
 */
function parsed(text: string): AuditEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
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
