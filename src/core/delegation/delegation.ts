/**
 * Delegated sessions: a narrower session that a user makes from their own for a script or an agent, and what it may be
 * narrowed to again. It can never be more than the session above it (docs/architecture.md#invariant-17): every limit of
 * that one counts as well, by construction.
 */
import type { DelegationResult } from '../api/rejections.ts';
import type { Account, Identity } from '../identity/identity.ts';
import type { RightsLimit } from './rights.ts';

/** How many sessions may be above one another beneath the user's own. Each costs a look-up in every check. */
export const MOST_LEVELS = 4;

/** Bytes of JSON of all limits of one session: it is sealed, stored, and read by every replica. */
export const MOST_LIMIT_BYTES = 8192;

/** Who acts in a delegated session (`act`, RFC 8693 §4.1). */
export interface DelegatedActor {
  /** A name that the user chose, which proves nothing; or the id of the client that exchanged the user's token. */
  readonly name: string;
  /** True if a registered client acts, which has authenticated itself. */
  readonly registered?: true;
}

export interface Delegation {
  /** Ids of the sessions above it: the user's own first, its parent last. Never empty. */
  readonly ancestors: readonly string[];
  /** Of each session beneath the user's own, who acts in it: this one's last. As many as ancestors. */
  readonly actors: readonly DelegatedActor[];
  /** Names of the clusters for which it may have tokens. */
  readonly clusters: readonly string[];
  /** Each must allow a request: those of the sessions above it first. */
  readonly limits: readonly RightsLimit[];
  /** CIDRs from which it may be used; absent: from anywhere. */
  readonly sourceCidrs?: readonly string[];
}

/** Letters, digits and `. _ -`: it is a header's value, a label of metrics, and a word in messages. */
export const ACTOR_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

/** What an actor's name may have, for messages. */
export const ACTOR_NAME_RULE =
  '1 to 63 letters, digits, dots, hyphens and underscores, with a letter or digit at each end';

export const isActorName = (name: string): boolean => ACTOR_NAME.test(name);

/** Returns the actors as one text for audit events and lists: `claude`, or `claude/reviewer`. No name has a slash. */
export const actorText = ({ actors }: Pick<Delegation, 'actors'>): string => actors.map(({ name }) => name).join('/');

/**
 * Returns what audit events say of a session: of a delegated one, the user's own session, and who acts in which one. So
 * anyone who searches for a session finds what was done beneath it.
 */
export function auditedSession({ id, delegation }: { readonly id: string; readonly delegation?: Delegation }): {
  readonly session: string;
  readonly details: { readonly 'delegated-session'?: string; readonly actor?: string };
} {
  const own = delegation?.ancestors[0];
  if (delegation === undefined || own === undefined) return { session: id, details: {} };
  return { session: own, details: { 'delegated-session': id, actor: actorText(delegation) } };
}

/** What is asked of the server that makes delegated sessions. Its caller has authenticated the parent. */
export interface DelegationOrder {
  /** Id of the session to narrow. */
  readonly parent: string;
  readonly actor: DelegatedActor;
  readonly clusters: readonly string[];
  /** In addition to the parent's. */
  readonly limits: readonly RightsLimit[];
  /** How long it should last at most, in seconds. */
  readonly seconds: number;
  /** SHA-256, base64url, of the certificate to which it is bound (RFC 8705 §3.1). Absent: unbound, for registered clients only. */
  readonly thumbprint?: string;
  readonly sourceCidrs?: readonly string[];
  readonly address: string;
  readonly userAgent: string;
  /** The request that it came with, for the audit event. */
  readonly request?: { readonly id: string; readonly path: string };
}

/** A delegated session that has been opened. */
export interface DelegatedSession {
  readonly id: string;
  readonly account: Account;
  readonly provider: string;
  readonly identity: Identity;
  /** Epoch seconds. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly delegation: Delegation;
}

/**
 * Opens a delegated session, or says why not; both are audited.
 * @throws AppError `store_unavailable` or `fenced`: nothing was decided
 */
export type CreateDelegation = (order: DelegationOrder) => Promise<DelegationResult<DelegatedSession>>;
