/**
 * Changes by an admin need a fresh sign-in (`admin.freshness`): core judges, this finds what the provider said at the sign-in.
 */
import type { Request, Response } from 'express';
import { LRUCache } from 'lru-cache';
import { AppError } from '../../core/errors.ts';
import { everyWords, freshnessOf } from '../../core/freshness.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import { nowSeconds, type WebDeps } from '../deps.ts';
import { seeOther } from '../page/answer.ts';
import { ownAdminPath } from '../sign-in/admin-path.ts';
import type { Actor } from '../visit.ts';
import { AdminError } from './problem.ts';
import { workloadRule } from './roles.ts';

/** What a session's provider said when it was opened; it never changes. */
type Proof = Pick<SessionRecord, 'provider' | 'authTime'>;

/** More admins than anybody has at work at once. */
const MOST_KNOWN = 1000;

const known = new WeakMap<WebDeps['store'], LRUCache<string, Proof>>();

function knownAt(store: WebDeps['store']): LRUCache<string, Proof> {
  const there = known.get(store) ?? new LRUCache<string, Proof>({ max: MOST_KNOWN });
  known.set(store, there);
  return there;
}

/**
 * A program's session as the store has it now.
 *
 * DESIGN 8: where the store is away a revocation is tried all the same, because the replica that was asked shuts its own gate. So the proof
 * that this replica has seen before will do then. Nothing is won by that for whoever holds an old session: the proof is a fixed moment that
 * is judged against now, and whether the session still stands is the gate's to say, before and after.
 * @throws AppError `unauthenticated` where the session is gone; `store_unavailable` where nothing can be known
 */
async function proofOf({ store }: WebDeps, session: string): Promise<Proof> {
  const before = knownAt(store);
  let record: SessionRecord | undefined;
  try {
    record = await store.sessions.read(session);
  } catch (error) {
    const proof = error instanceof AppError && error.code === 'store_unavailable' ? before.get(session) : undefined;
    if (proof === undefined) throw error;
    return proof;
  }
  if (record === undefined) {
    before.delete(session);
    throw new AppError('unauthenticated', 'Your session has ended. Sign in again.', { reason: 'session_unknown' });
  }
  const { provider, authTime } = record;
  const proof = { provider, ...(authTime === undefined ? {} : { authTime }) };
  before.set(session, proof);
  return proof;
}

function staleError(withinSeconds: number): AdminError {
  const words = `Admins have to prove who they are ${everyWords(withinSeconds)} before they change anything. Sign in again, then repeat it.`;
  const options = { maxAgeSeconds: withinSeconds, members: { maxAge: String(withinSeconds) } };
  return new AdminError('fresh_sign_in_needed', 'unauthenticated', words, options);
}

/** The configuration is checked for this, so a provider that gets here was changed or taken out since the session began. */
function unprovableError(provider: string): AdminError {
  const words = `${provider} does not say when you signed in there, so no change can be made by this sign-in. Sign in by another provider, or ask your platform team.`;
  return new AdminError('freshness_unprovable', 'forbidden', words);
}

/** @returns false where it is too old @throws AdminError `freshness_unprovable` */
function isFresh(deps: WebDeps, { provider, authTime }: Proof, withinSeconds: number): boolean {
  const provesFreshness = deps.providers.get(provider)?.provesFreshness === true;
  const freshness = freshnessOf({ provesFreshness, authTime }, { now: nowSeconds(deps), withinSeconds });
  if (freshness === 'unprovable') throw unprovableError(provider);
  return freshness === 'fresh';
}

/**
 * To be called before an admin changes anything. A workload of `role: drill` is exempt: nobody is there who could sign in.
 * @throws AdminError `fresh_sign_in_needed` (with `maxAgeSeconds`), `freshness_unprovable`
 * @throws AppError `unauthenticated` where the session is gone, `fenced`, `store_unavailable`
 */
export async function assertFresh(deps: WebDeps, actor: Actor): Promise<void> {
  const { freshness: withinSeconds } = deps.config.admin;
  if (withinSeconds === 'off' || workloadRule(actor.account, deps.config)?.role === 'drill') return;
  const proof = actor.record ?? (await proofOf(deps, actor.session));
  actor.assertGood();
  if (!isFresh(deps, proof, withinSeconds)) throw staleError(withinSeconds);
}

/** The page that has somebody prove anew who they are, and leads back to `path`. */
const freshSignIn = (path: string): string => `/login/fresh?${new URLSearchParams({ to: path }).toString()}`;

/**
 * For pages on which somebody is about to change something: who would be refused afterwards is sent to sign in first, and comes back here.
 * @returns false where the browser has been sent away
 * @throws AdminError `freshness_unprovable`
 */
export function freshOrRedirect(deps: WebDeps, req: Request, res: Response, { record }: SignedIn): boolean {
  const { freshness: withinSeconds } = deps.config.admin;
  if (withinSeconds === 'off' || isFresh(deps, record, withinSeconds)) return true;
  seeOther(res, freshSignIn(ownAdminPath(req.originalUrl) ?? '/admin'));
  return false;
}
