import type { SessionRecord } from '../store.ts';
import { accountDigest, digest, providerSessionDigest, sessionDigest } from './keys.ts';
import { list, number, text } from './reply.ts';

/** The sealed part of a session; the rest are plain fields that scripts update. */
export type SealedRecord = Omit<SessionRecord, 'lastUsedAt' | 'lastRequestAt' | 'checkedAt' | 'thumbprint'>;

export function sealedPart(record: SessionRecord): SealedRecord {
  const { lastUsedAt: _used, lastRequestAt: _request, checkedAt: _checked, thumbprint: _set, ...sealed } = record;
  return sealed;
}

/** Digest of the session through which another one was opened; '' if there is none. */
export const viaDigest = (via: string | undefined): string => (via === undefined ? '' : sessionDigest(via));

/** The fields of a session's hash, in the order in which scripts return them. */
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
}

export function readFields(reply: unknown): SessionFields {
  const [epoch, account, provider, startedAt, expiresAt, idleSeconds, lastUsedAt, version, ...rest] = list(reply);
  const [thumbprint, record, secret, order, via, username, checkedAt, providerSession, lastRequestAt] = rest;
  return {
    epoch: text(epoch),
    account: text(account),
    provider: text(provider),
    startedAt: number(startedAt),
    expiresAt: number(expiresAt),
    idleSeconds: number(idleSeconds),
    lastUsedAt: number(lastUsedAt),
    version: number(version),
    thumbprint: text(thumbprint),
    record: text(record),
    secret: text(secret),
    order: number(order),
    via: text(via),
    username: text(username),
    checkedAt: number(checkedAt),
    providerSession: text(providerSession),
    lastRequestAt: Number.parseInt(text(lastRequestAt), 10),
  };
}

/**
 * Returns the session, or undefined if nothing could be opened or if a plain field differs from the sealed one.
 *
 * An attacker who can write to Redis cannot read or forge sealed values, but could move a session's end, or remove
 * it from a watermark, in the plain fields that scripts use. So the plain fields are compared with the sealed
 * ones.
 */
export function openRecord(sealed: SealedRecord | undefined, fields: SessionFields): SessionRecord | undefined {
  if (sealed === undefined) return undefined;
  const agrees =
    accountDigest(sealed.account) === fields.account &&
    sealed.provider === fields.provider &&
    sealed.startedAt.epoch === fields.epoch &&
    sealed.startedAt.number === fields.startedAt &&
    sealed.expiresAt === fields.expiresAt &&
    sealed.idleSeconds === fields.idleSeconds &&
    sealed.version === fields.version &&
    viaDigest(sealed.via) === fields.via &&
    digest(sealed.identity.username) === fields.username &&
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
