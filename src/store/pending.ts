/**
 * The memory budget of artefacts that unauthenticated clients can create.
 *
 * An attacker begins sign-ins from many addresses until the store is full, so that no user can sign in or renew a
 * token. So each kind of artefact that costs its creator no credential has a budget of its own, and sessions and
 * revocations have the rest. If a kind has used up its budget, a new artefact replaces the oldest one of the site
 * that uses most of it. Rejecting new ones instead would let an attacker lock all users out with only as many
 * sign-ins as expire. This way, an attacker displaces their own.
 */
import type { ArtefactKind, SaveArtefact } from './store.ts';

/**
 * Kinds that unauthenticated clients can create, with each one's share of the budget. An artefact that belongs to
 * a session does not count.
 */
const SHARES: { readonly [K in ArtefactKind]?: number } = {
  Interaction: 0.4,
  SignIn: 0.3,
  DeviceCode: 0.2,
  DeviceConfirmation: 0.1,
};

/**
 * Bytes of all of them together, if the store itself has no limit or a large one. Enough for about nine thousand
 * login transactions.
 */
export const PENDING_BYTES = 64 * 1024 * 1024;
/** The largest part of a limited store that they may take. */
export const PART_OF_STORE = 1 / 4;

/**
 * Estimates the size of an artefact in the store, rather too large than too small, as measured with Redis 8: the
 * payload in an allocator block that is up to a fifth larger, plus its fields, its names and its entries in the
 * budget.
 * @param length of the payload as it is stored
 */
export const bytesOf = (length: number): number => Math.ceil(length * 1.2) + 1536;

/** How long the store keeps its counts after the last artefact: far longer than any of these artefacts lives. */
export const PENDING_KEPT_SECONDS = 3600;

/** Login transactions that were displaced because their kind had used up its budget. */
export interface Displaced {
  readonly kind: ArtefactKind;
  readonly count: number;
}

/** @returns the share of the budget that such an artefact counts against; undefined if it counts against none */
export const pendingShare = (kind: ArtefactKind, { session }: SaveArtefact): number | undefined =>
  session === undefined ? SHARES[kind] : undefined;
