/**
 * Revocation as data: the target of a log entry, and whether it covers a credential.
 *
 * Order is given by the log's numbers and the store's epoch, both carried in the token; no wall clock and no `iat`
 * is used, because clocks differ between replicas and seconds are coarse.
 *
 * In the log, in the view and in Redis a target is identified by its key, in which a digest stands for a session
 * or an account: short, equal for equal targets, and useless to an attacker who reads a dump.
 */
import { createHash } from 'node:crypto';
import type { Account } from '../identity/identity.ts';

/** A position in the log: an entry's number within one epoch of the store. */
export interface LogPosition {
  /** 128 random bits that identify one unbroken primary generation of the store. */
  readonly epoch: string;
  /** Number of the last entry; 0 before the first. Numbers have no gaps. */
  readonly number: number;
}

export type RevocationTarget =
  | { readonly kind: 'session'; readonly session: string }
  /** Every session of the account that began before the entry. */
  | { readonly kind: 'account'; readonly account: Account }
  | { readonly kind: 'provider'; readonly provider: string }
  | { readonly kind: 'all' }
  /** The groups that a session was granted for a while; the session goes on without them. */
  | { readonly kind: 'grant'; readonly grant: string; readonly session: string };

/** `session:DIGEST`, `account:DIGEST`, `provider:NAME`, `all`. */
export type TargetKey = `session:${string}` | `account:${string}` | `provider:${string}` | 'all';

/** Bytes of SHA-256 in keys: 128 bits, so that no attacker can find two accounts with the same digest. */
const DIGEST_BYTES = 16;

const digest = (value: string): string =>
  createHash('sha256').update(value).digest().subarray(0, DIGEST_BYTES).toString('base64url');

export const sessionKey = (session: string): TargetKey => `session:${digest(session)}`;
export const accountKey = (account: Account): TargetKey => `account:${digest(account)}`;
/**
 * Grants are among the sessions' keys: a version that knows no grants gives no one their groups, and reads the end of one
 * as that of a session which does not exist. A key of another form would fence it.
 */
export const grantKey = (grant: string): TargetKey => sessionKey(`grant ${grant}`);
/** Of a notice (`identity-changed`) that what replicas have cached of a session is out of date, while its streams go on. */
export const cacheKey = (session: string): TargetKey => sessionKey(`cached ${session}`);
export const providerKey = (provider: string): TargetKey => `provider:${provider}`;

export function targetKey(target: RevocationTarget): TargetKey {
  switch (target.kind) {
    case 'session':
      return sessionKey(target.session);
    case 'account':
      return accountKey(target.account);
    case 'provider':
      return providerKey(target.provider);
    case 'all':
      return 'all';
    case 'grant':
      return grantKey(target.grant);
  }
}

/** Returns a target as one text for the audit log, such as `account:corp/alice`. */
export function targetName(target: RevocationTarget): string {
  switch (target.kind) {
    case 'session':
      return `session:${target.session}`;
    case 'account':
      return `account:${target.account}`;
    case 'provider':
      return `provider:${target.provider}`;
    case 'all':
      return 'all';
    case 'grant':
      return `grant:${target.grant}`;
  }
}

/** The content of an entry. Only `revoked` rejects credentials. */
export type LogChange =
  | { readonly kind: 'revoked'; readonly key: TargetKey }
  /** The cached identity of this session is out of date. */
  | { readonly kind: 'identity-changed'; readonly key: TargetKey }
  /** The lock on this account was removed. */
  | { readonly kind: 'unlocked'; readonly key: TargetKey }
  /** Every replica is asked to take part in this drill. */
  | { readonly kind: 'drill'; readonly id: string };

export interface LogEntry {
  readonly number: number;
  readonly change: LogChange;
  /** Epoch seconds after which no credential can exist that the entry covers; only for cleaning up. */
  readonly until: number;
}

/** The parts of a credential that decide whether an entry covers it. */
export interface Coverable {
  readonly session: string;
  /** Of a delegated session: the sessions above it, the user's own first. What ends one of them ends it too. */
  readonly ancestors?: readonly string[] | undefined;
  readonly account: Account;
  readonly provider: string;
}

export function targets(target: RevocationTarget, credential: Coverable): boolean {
  switch (target.kind) {
    case 'session':
      return target.session === credential.session || credential.ancestors?.includes(target.session) === true;
    case 'account':
      return target.account === credential.account;
    case 'provider':
      return target.provider === credential.provider;
    case 'all':
      return true;
    case 'grant':
      return false;
  }
}

/** The keys of entries that may cover a credential (besides `all`). Computed once per credential: two digests. */
export interface CoveringKeys {
  readonly session: TargetKey;
  readonly account: TargetKey;
  readonly provider: TargetKey;
  /** Of a delegated session only: those of the sessions above it. */
  readonly ancestors?: readonly TargetKey[];
  /**
   * Of a request that is made with groups granted for a while: those of the grants. A grant ends once, so any entry for it
   * covers the request, whenever its token was minted.
   */
  readonly grants?: readonly TargetKey[];
}

export function coveringKeys(credential: Coverable): CoveringKeys {
  const { session, account, provider, ancestors } = credential;
  const own = { session: sessionKey(session), account: accountKey(account), provider: providerKey(provider) };
  return ancestors === undefined ? own : { ...own, ancestors: ancestors.map(sessionKey) };
}

/** Returns the keys as one list; those of the sessions above it, or of its grants, last. */
export const keyList = ({ session, account, provider, ancestors, grants }: CoveringKeys): readonly TargetKey[] =>
  // A delegated session has none of the grants of its user's own session, so there is one of the two at most.
  ancestors === undefined && grants === undefined
    ? [session, account, provider]
    : [session, account, provider, ...(ancestors ?? []), ...(grants ?? [])];

/** Returns whether the key is among them, or stands for everything. */
export const isCoveredBy = (keys: CoveringKeys, key: TargetKey): boolean =>
  key === 'all' ||
  key === keys.session ||
  key === keys.account ||
  key === keys.provider ||
  keys.ancestors?.includes(key) === true ||
  keys.grants?.includes(key) === true;
