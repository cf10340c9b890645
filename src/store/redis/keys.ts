/** The names of the keys in Redis. */
import { createHash } from 'node:crypto';

import type { Account } from '../../core/identity/identity.ts';
import { accountKey, cacheKey, grantKey, sessionKey } from '../../core/credential/revocation.ts';
import type { ArtefactKind } from '../store.ts';

/**
 * Returns what stands for a secret or a name in a key: SHA-256, base64url. An attacker who can read Redis learns
 * no code, token or username from it.
 */
export const digest = (value: string): string => createHash('sha256').update(value).digest('base64url');

/**
 * Sessions and accounts are identified by the digests in the log's keys, so that a script can derive one from the
 * other.
 */
export const sessionDigest = (session: string): string => sessionKey(session).slice('session:'.length);
/** Of the key of an entry that ends a grant, and of the notice that a session must be read again. */
export const grantDigest = (grant: string): string => grantKey(grant).slice('session:'.length);
export const cacheDigest = (session: string): string => cacheKey(session).slice('session:'.length);
export const accountDigest = (account: Account): string => accountKey(account).slice('account:'.length);

/** Digest of a session at a provider; '' if the provider gives none. */
export const providerSessionDigest = (provider: string, sid: string | undefined): string =>
  sid === undefined ? '' : digest(JSON.stringify([provider, sid]));

/**
 * Every key begins with the same hash tag, so that all of them are on one node and one script may access them
 * together.
 */
export interface Keys {
  /** `{prefix}:`, the only key that scripts are given; they derive the rest. */
  readonly base: string;
  artefact(kind: ArtefactKind, id: string): string;
  uid(kind: ArtefactKind, uid: string): string;
  userCode(kind: ArtefactKind, userCode: string): string;
  /** The set of a session's artefacts. */
  artefactsOf(session: string): string;
  /** Contexts that sealed values are bound to. */
  sealedLock(accountDigest: string): string;
  sealedRecord(sessionDigest: string): string;
  sealedSecret(sessionDigest: string): string;
  sealedLabel(sessionDigest: string): string;
  sealedGrant(sessionDigest: string, grantDigest: string): string;
  sealedRequest(grantDigest: string): string;
  sealedRecent(sessionDigest: string): string;
  sealedTail(tail: string): string;
  readonly sealedLive: string;
}

/** @throws RangeError for a prefix that would break the hash tag */
export function createKeys(prefix: string): Keys {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(prefix)) {
    throw new RangeError('store.redis.prefix may hold letters, digits, dot, dash and underscore, at most 64 of them');
  }
  const base = `{${prefix}}:`;
  return {
    base,
    artefact: (kind, id) => `${base}artefact:${kind}:${digest(id)}`,
    uid: (kind, uid) => `${base}uid:${kind}:${digest(uid)}`,
    userCode: (kind, userCode) => `${base}code:${kind}:${digest(userCode)}`,
    artefactsOf: (session) => `${base}of:${sessionDigest(session)}`,
    sealedLock: (hash) => `${base}lock#${hash}`,
    sealedRecord: (hash) => `${base}session:${hash}#record`,
    sealedSecret: (hash) => `${base}session:${hash}#secret`,
    sealedLabel: (hash) => `${base}session:${hash}#delegated`,
    sealedGrant: (hash, grant) => `${base}session:${hash}#grant:${grant}`,
    sealedRequest: (hash) => `${base}access:${hash}#record`,
    sealedRecent: (hash) => `${base}recent:${hash}`,
    sealedTail: (tail) => `${base}tails#${tail}`,
    sealedLive: `${base}record`,
  };
}
