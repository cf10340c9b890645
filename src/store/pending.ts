/**
 * The memory budget of what is stored for someone who has not signed in yet.
 *
 * An attacker begins sign-ins from many addresses until the store is full, so that nobody can sign in or renew a token any more. So each kind of
 * artefact that costs its writer no credential has a budget of its own, and sessions and revocations have the rest. A kind that has used up its
 * budget takes new ones all the same, in place of the oldest one of the site that has the most: if new ones were refused, an attacker would
 * need only as many as expire to keep everybody out. As it is, an attacker displaces its own.
 */
import type { ArtefactKind, SaveArtefact } from './store.ts';

/** Kinds that anyone can have written, with the share of the budget that each has. An artefact that belongs to a session does not count. */
const SHARES: { readonly [K in ArtefactKind]?: number } = {
  Interaction: 0.4,
  SignIn: 0.3,
  DeviceCode: 0.2,
  DeviceConfirmation: 0.1,
};

/** Bytes of all of them together, where the store itself has no limit or a large one. Room for about nine thousand sign-ins under way. */
export const PENDING_BYTES = 64 * 1024 * 1024;
/** Of a store that has a limit, they have at most this part. */
export const PART_OF_STORE = 1 / 4;

/**
 * What an artefact takes in the store, rather too much than too little, as measured with Redis 8: the payload in a block of the allocator that
 * is up to a fifth larger, and its fields, its names and its places in the budget.
 * @param length of the payload as it is stored
 */
export const bytesOf = (length: number): number => Math.ceil(length * 1.2) + 1536;

/** For so long the store remembers what it has counted, after the last one: far longer than any of these artefacts lives. */
export const PENDING_KEPT_SECONDS = 3600;

/** Sign-ins under way were displaced, because their kind had used up its budget. */
export interface Displaced {
  readonly kind: ArtefactKind;
  readonly count: number;
}

/** @returns the part of the budget that such an artefact counts against; undefined: it counts against none */
export const pendingShare = (kind: ArtefactKind, { session }: SaveArtefact): number | undefined =>
  session === undefined ? SHARES[kind] : undefined;
