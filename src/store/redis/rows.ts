/**
 * Parses the log's rows as Redis holds them, in the clear: numbers, times and digests. They are hostile input,
 * because an attacker who can write to Redis can write anything here.
 */
import type { LogChange, LogEntry } from '../../core/credential/revocation.ts';
import { isDrillId, isTargetKey } from '../requests.ts';
import type { ReplicaState } from '../store.ts';
import { list, number, pairs, text } from './reply.ts';
import { unavailable } from './unavailable.ts';

/** An entry of the stream with the hash of the chain up to it. */
export interface LogRow {
  readonly entry: LogEntry;
  readonly hash: string;
}

/**
 * Fail closed: an unreadable entry may revoke anything. Without a view there is no lease, so this replica is
 * fenced.
 */
const unreadable = (): Error => unavailable('log_entry_unreadable');

/**
 * @param reply `[id, [h, hash, u, until, k, kind, t, key]]`.
 * @throws AppError `store_unavailable` (`log_entry_unreadable`)
 */
export function readLogRow(reply: unknown): LogRow {
  const [id, fields] = list(reply);
  const [h, hash, u, until, k, kind, t, key, ...more] = list(fields);
  const [, digits] = /^([1-9]\d{0,15})-0$/.exec(text(id)) ?? [];
  const named = h === 'h' && u === 'u' && k === 'k' && t === 't' && more.length === 0;
  if (digits === undefined || !named) throw unreadable();
  const change = readChange(text(kind), text(key));
  if (change === undefined) throw unreadable();
  return { entry: { number: number(digits), change, until: number(until) }, hash: text(hash) };
}

/**
 * Checks a row for a replica that joins and takes no entries from here.
 * @param line `ID FIELD VALUE …`
 * @param seconds now, epoch seconds
 * @returns the number of a row that is well-formed, or that has expired, whatever it contains
 * @throws AppError `store_unavailable` (`log_entry_unreadable`)
 */
export function checkRow(line: string, seconds: number): number {
  const [id = '', ...fields] = line.split(' ');
  const [, digits] = /^([1-9]\d{0,15})-0$/.exec(id) ?? [];
  if (digits === undefined) throw unreadable();
  const until = pairs(fields).find(([name]) => name === 'u')?.[1];
  if (until === undefined || number(until) > seconds) readLogRow([id, fields]);
  return number(digits);
}

function readChange(kind: string, key: string): LogChange | undefined {
  if (kind === 'drill') return isDrillId(key) ? { kind, id: key } : undefined;
  if (kind !== 'revoked' && kind !== 'identity-changed' && kind !== 'unlocked') return undefined;
  return isTargetKey(key) ? { kind, key } : undefined;
}

const LIVE_ROW = /^([1-9]\d{0,15}) (\d{1,16}) (\S+)$/;

/** @param line `NUMBER UNTIL KEY`. @throws AppError `store_unavailable` (`log_entry_unreadable`) */
export function readLiveRow(line: string): LogEntry {
  const [, digits, until, key] = LIVE_ROW.exec(line) ?? [];
  if (key === undefined || !isTargetKey(key)) throw unreadable();
  return { number: Number(digits), change: { kind: 'revoked', key }, until: Number(until) };
}

/**
 * Parses a replica's state as it wrote it itself.
 * @throws AppError `store_unavailable` (`redis_bad_reply`), because a replica that is left out would not be waited
 * for
 */
export function readReplica(reply: unknown): ReplicaState {
  const state = parsed(text(reply));
  if (!isReplica(state)) throw unavailable('redis_bad_reply');
  return state;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function isReplica(value: unknown): value is ReplicaState {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Partial<Record<keyof ReplicaState, unknown>>;
  return (
    typeof fields.incarnation === 'string' &&
    typeof fields.name === 'string' &&
    Number.isSafeInteger(fields.count) &&
    Number.isSafeInteger(fields.number) &&
    Number.isSafeInteger(fields.streamsCut) &&
    (fields.leaseMs === undefined || isLease(fields.leaseMs)) &&
    (fields.servesNothing === undefined || fields.servesNothing === true) &&
    (fields.drill === undefined || isDrillPart(fields.drill)) &&
    (fields.keys === undefined || isKeys(fields.keys))
  );
}

/**
 * More than any version will ever allow. A replica that writes an hour is broken, and would keep every revocation
 * from completing.
 */
const MOST_LEASE_MS = 3_600_000;

/**
 * An attacker registers a lease of no length, so that no replica waits for the real one: then parsing fails, and
 * no replica has a view.
 */
const isLease = (value: unknown): boolean =>
  Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= MOST_LEASE_MS;

/**
 * An attacker registers keys that no one has, so that no new key is used and no replica is ready. An attacker who can
 * write here can fence all replicas as well.
 */
const isKeys = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'has' in value &&
  areTexts(value.has) &&
  'uses' in value &&
  areTexts(value.uses) &&
  (!('thumbprints' in value) || areThumbprints(value.thumbprints));

const areThumbprints = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && areTexts(Object.values(value));

const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every((each) => typeof each === 'string');

const isDrillPart = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'id' in value &&
  typeof value.id === 'string' &&
  'state' in value &&
  (value.state === 'open' || value.state === 'cut' || value.state === 'failed') &&
  (!('reason' in value) || typeof value.reason === 'string');
