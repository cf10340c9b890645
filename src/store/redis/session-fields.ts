/** A session as Redis has it: its sealed part, and the fields that scripts update. */
import type { Delegation } from '../../core/delegation/delegation.ts';
import type { SessionRecord } from '../store.ts';
import { accountDigest, digest, providerSessionDigest, sessionDigest } from './keys.ts';
import { DELEGATED, SESSION_FIELDS } from './lua-constants.ts';
import { list, named, number, text } from './reply.ts';

/**
 * The sealed part of a session; the rest are plain fields that scripts update. It has the thumbprint only where the
 * session was opened with one.
 */
export type SealedRecord = Omit<
  SessionRecord,
  'lastUsedAt' | 'lastRequestAt' | 'checkedAt' | 'parentIdleAt' | 'grants'
>;

/** Returns the sealed part of a session that is not a delegated one: the first mint has set its thumbprint. */
export function sealedPart(record: SessionRecord): SealedRecord {
  const { lastUsedAt: _used, lastRequestAt: _request, checkedAt: _checked, thumbprint: _set, ...rest } = record;
  const { grants: _grants, ...sealed } = rest;
  return sealed;
}

/** Digests of the sessions above a delegated one, as scripts take them; '' for any other session. */
export const ancestorDigests = (delegation: Delegation | undefined): string =>
  delegation?.ancestors.map(sessionDigest).join(' ') ?? '';

/** Digest of the session through which another one was opened; '' if there is none. */
export const viaDigest = (via: string | undefined): string => (via === undefined ? '' : sessionDigest(via));

/** The fields of a session's hash. */
export interface SessionFields {
  readonly epoch: string;
  readonly account: string;
  readonly provider: string;
  readonly startedAt: number;
  readonly expiresAt: number;
  readonly idleSeconds: number;
  readonly lastUsedAt: number;
  readonly version: number;
  readonly thumbprint: string;
  readonly record: string;
  readonly secret: string;
  readonly order: number;
  readonly via: string;
  readonly username: string;
  readonly checkedAt: number;
  readonly providerSession: string;
  /** Not a number where no request has moved it yet. */
  readonly lastRequestAt: number;
  /** As `ancestorDigests` returns them. */
  readonly ancestors: string;
  /** Of a session that is no delegated one: the store's time and its grants that are not over, as `openGrants` takes them. */
  readonly grants: string;
}

export function readFields(reply: unknown): SessionFields {
  const f = named(SESSION_FIELDS, reply);
  return {
    epoch: text(f.ep),
    account: text(f.acc),
    provider: text(f.prov),
    startedAt: number(f.sn),
    expiresAt: number(f.exp),
    idleSeconds: number(f.idle),
    lastUsedAt: number(f.lu),
    version: number(f.v),
    thumbprint: text(f.tp),
    record: text(f.r),
    secret: text(f.x),
    order: number(f.seq),
    via: text(f.via),
    username: text(f.un),
    checkedAt: number(f.ck),
    providerSession: text(f.ps),
    lastRequestAt: Number.parseInt(text(f.lr), 10),
    ancestors: text(f.up),
    grants: text(f.gr),
  };
}

/** The fields of sessions, by digest. */
export type FieldsByDigest = ReadonlyMap<string, SessionFields>;

export const readAbove = (reply: unknown): FieldsByDigest =>
  new Map(
    list(reply).map((item) => {
      const [hash, fields] = list(item);
      return [text(hash), readFields(fields)];
    }),
  );

/**
 * Returns the session, or undefined if nothing could be opened or if a plain field differs from the sealed one.
 *
 * An attacker who can write to Redis cannot read or forge sealed values, but could move a session's end, remove it from
 * a watermark, or move a delegated session from beneath the one that was revoked, in the plain fields that scripts use.
 * So the plain fields are compared with the sealed ones. The username of a delegated session is that of its user's own
 * session, and only an index.
 */
export function openRecord(sealed: SealedRecord | undefined, fields: SessionFields): SessionRecord | undefined {
  if (sealed === undefined) return undefined;
  const agrees =
    accountDigest(sealed.account) === fields.account &&
    sealed.provider === fields.provider &&
    sealed.startedAt.epoch + (sealed.delegation === undefined ? '' : DELEGATED) === fields.epoch &&
    ancestorDigests(sealed.delegation) === fields.ancestors &&
    (sealed.thumbprint === undefined || sealed.thumbprint === fields.thumbprint) &&
    sealed.startedAt.number === fields.startedAt &&
    sealed.expiresAt === fields.expiresAt &&
    sealed.idleSeconds === fields.idleSeconds &&
    sealed.version === fields.version &&
    viaDigest(sealed.via) === fields.via &&
    (sealed.delegation !== undefined || digest(sealed.identity.username) === fields.username) &&
    providerSessionDigest(sealed.provider, sealed.providerSid) === fields.providerSession;
  if (!agrees) return undefined;
  return {
    ...sealed,
    lastUsedAt: fields.lastUsedAt,
    ...(fields.lastRequestAt > fields.lastUsedAt ? { lastRequestAt: fields.lastRequestAt } : {}),
    checkedAt: fields.checkedAt,
    ...(fields.thumbprint === '' ? {} : { thumbprint: fields.thumbprint }),
  };
}
