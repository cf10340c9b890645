/**
 * Revocation as data: what an entry of the log targets, and whether it covers a credential.
 *
 * Order is by the log's numbers and the store's epoch, both carried in the token; no wall clock and no `iat` takes part,
 * because clocks differ between replicas and seconds are coarse.
 */
import type { Account } from './identity.ts';

/** A place in the log: an entry's number within one epoch of the store. */
export interface LogPosition {
  /** 128 random bits that name one unbroken life of the store. */
  readonly epoch: string;
  /** Number of the last entry; 0 before the first. Numbers have no gaps. */
  readonly number: number;
}

export type RevocationTarget =
  | { readonly kind: 'session'; readonly session: string }
  /** Every session of the account that began before the entry. */
  | { readonly kind: 'account'; readonly account: Account }
  | { readonly kind: 'provider'; readonly provider: string }
  | { readonly kind: 'all' };

/** What an entry says: a revocation, or that a session's cached identity is out of date (which refuses nobody). */
export type LogChange =
  | { readonly kind: 'revoked'; readonly target: RevocationTarget }
  | { readonly kind: 'identity-changed'; readonly session: string };

export interface LogEntry {
  readonly number: number;
  readonly change: LogChange;
  /** Epoch seconds after which no credential can exist that the entry covers; only for cleaning up. */
  readonly until: number;
}

/** The parts of a credential that decide whether an entry covers it. */
export interface Coverable {
  readonly session: string;
  readonly account: Account;
  readonly provider: string;
}

export function targets(target: RevocationTarget, credential: Coverable): boolean {
  switch (target.kind) {
    case 'session':
      return target.session === credential.session;
    case 'account':
      return target.account === credential.account;
    case 'provider':
      return target.provider === credential.provider;
    case 'all':
      return true;
  }
}
