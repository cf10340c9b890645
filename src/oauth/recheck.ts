/**
 * The re-check: at every refresh, and while a stream is open (`stream-recheck.ts`), the provider is asked whether
 * the user is still active and has the same identity.
 *
 * One re-check runs at a time for each session, over all replicas. Providers rotate refresh tokens and take a
 * second use of an old one for theft, so two parallel re-checks could sign the user out. A result counts for
 * `FRESH_MS` (thirty kubectls at once).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { atMost } from '../core/cache-bound.ts';
import type { Clock } from '../contracts/clock.ts';
import { AppError } from '../core/errors.ts';
import { sameIdentity } from '../core/identity/identity.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import type { EndingReasons, SessionRecord, SessionStore } from '../store/store.ts';
import { isRecent } from '../core/time.ts';

const FRESH_MS = 10_000;
/**
 * Reasons for which the provider is no longer certain who the user is. The rejection of a rule is about
 * permissions and needs no new proof: where the provider shows none, a user who had lost a group for an hour would
 * be kept out for thirty days.
 */
const NO_LONGER_CERTAIN = new Set(['provider_refresh_refused', 'subject_changed']);
const REMOVED = 'The identity provider that you signed in with is no longer used here. Sign in again.';
/** A claim whose holder has died lapses after this time. */
const CLAIM_SECONDS = 30;
/**
 * A live holder renews its claim at this interval: several requests to a provider, each with its own time limit,
 * may take longer.
 */
const RENEWAL_MS = (CLAIM_SECONDS * 1000) / 3;
const CLAIM_ATTEMPTS = 100;
const CLAIM_PAUSE_MS = 100;

export type RecheckOutcome =
  | { readonly kind: 'same'; readonly record: SessionRecord }
  /** Each change is reported to one caller. */
  | { readonly kind: 'changed'; readonly record: SessionRecord }
  /** The session has ended meanwhile. */
  | { readonly kind: 'gone' }
  /** The provider or a rule rejects the user: the session must end. */
  | {
      readonly kind: 'refused';
      readonly reason: string;
      /** For the user. */
      readonly message: string;
      /** Whether the user has to authenticate at the provider before the next session. */
      readonly asksFreshSignIn: boolean;
      readonly record: SessionRecord;
    };

export interface RecheckDeps {
  readonly sessions: SessionStore;
  readonly providers: IdentityProviders;
  /** Names of the workload rules: no user is behind such a session, so no provider can be asked. */
  readonly workloads: ReadonlySet<string>;
  readonly clock: Clock;
  /** Keeps the message for a rejected user who comes back after the session has ended. Absent: nothing is kept. */
  readonly endings?: Pick<EndingReasons, 'keep'>;
}

/**
 * Re-checks one session, by its id; of a delegated one its user's own session, whose record the outcome has.
 * @throws AppError `provider_unavailable` when the provider gives no result (`recheck_busy`: another request is
 *   asking); the caller decides what becomes of the session
 */
export type Recheck = (session: string) => Promise<RecheckOutcome>;

export function createRecheck(deps: RecheckDeps): Recheck {
  const running = new Map<string, Promise<RecheckOutcome>>();
  const checkedAt = new LRUCache<string, number>(atMost(10_000));
  const recheck: Recheck = (session) => {
    const already = running.get(session);
    // The first caller audits a change: each change has one audit event.
    if (already !== undefined) return already.then(unchanged);
    const run = recheckOnce(deps, session, { checkedAt, recheck }).finally(() => running.delete(session));
    running.set(session, run);
    return run;
  };
  return recheck;
}

const unchanged = (outcome: RecheckOutcome): RecheckOutcome =>
  outcome.kind === 'changed' ? { kind: 'same', record: outcome.record } : outcome;

async function recheckOnce(
  deps: RecheckDeps,
  session: string,
  { checkedAt, recheck }: { readonly checkedAt: LRUCache<string, number>; readonly recheck: Recheck },
): Promise<RecheckOutcome> {
  const before = await deps.sessions.read(session);
  if (before === undefined) return { kind: 'gone' };
  const own = before.delegation?.ancestors[0];
  // It has no refresh token of the provider. A user who was disabled there would go on through it.
  if (own !== undefined) return await recheck(own);
  const last = checkedAt.get(session);
  if (last !== undefined && isRecent(last, deps.clock.nowMs(), FRESH_MS)) return { kind: 'same', record: before };
  const outcome = await withClaim(deps.sessions, session, () => askProvider(deps, before));
  // Before the caller ends the session, so that a user who comes back in between gets the message already.
  if (outcome.kind === 'refused') await deps.endings?.keep(outcome.record, outcome.message);
  if (outcome.kind === 'same' || outcome.kind === 'changed') checkedAt.set(session, deps.clock.nowMs());
  return outcome;
}

/**
 * Runs a request under the session's claim. If a claim lapsed while its holder still waits for the provider,
 * another replica would present the same refresh token, which the provider takes for theft. So the claim is held
 * until the response has come and is stored, however long that takes.
 */
async function withClaim<T>(sessions: SessionStore, session: string, request: () => Promise<T>): Promise<T> {
  const holder = randomUUID();
  await claim(sessions, session, holder);
  let renewed: Promise<unknown> = Promise.resolve();
  const renewal = setInterval(() => {
    // A failed renewal does no harm: there is another one before the claim lapses.
    renewed = sessions.claimRecheck(session, holder, CLAIM_SECONDS).catch(() => undefined);
  }, RENEWAL_MS);
  try {
    return await request();
  } finally {
    clearInterval(renewal);
    // A renewal that is still under way would take the claim again.
    await renewed;
    await sessions.releaseRecheck(session, holder);
  }
}

async function claim(sessions: SessionStore, session: string, holder: string): Promise<void> {
  for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt += 1) {
    if (await sessions.claimRecheck(session, holder, CLAIM_SECONDS)) return;
    await delay(CLAIM_PAUSE_MS);
  }
  throw new AppError(
    'provider_unavailable',
    'Another request of this session is still waiting for the identity provider. Try again.',
    {
      reason: 'recheck_busy',
    },
  );
}

async function askProvider(deps: RecheckDeps, before: SessionRecord): Promise<RecheckOutcome> {
  const session = before.id;
  // Read after the claim: another replica may just have stored a newer refresh token.
  const [record, secret] = await Promise.all([deps.sessions.read(session), deps.sessions.readSecret(session)]);
  if (record === undefined || secret === undefined) return { kind: 'gone' };
  // The previous holder of the claim has just asked, and has audited what had changed.
  if (record.checkedAt > before.checkedAt) return { kind: 'same', record };
  if (deps.workloads.has(record.provider)) return { kind: 'same', record };
  const provider = deps.providers.get(record.provider);
  if (provider === undefined) {
    return { kind: 'refused', reason: 'provider_removed', message: REMOVED, asksFreshSignIn: true, record };
  }
  // A provider that gave no refresh token cannot be asked; such a session was opened with a short absolute
  // lifetime.
  if (secret.refreshToken === undefined) return { kind: 'same', record };
  try {
    const signIn = await provider.recheck(record.subject, secret.refreshToken, async (refreshToken) => {
      await deps.sessions.update(session, { identity: record.identity, secret: { refreshToken }, checked: false });
    });
    const updated = await deps.sessions.update(session, {
      identity: signIn.identity,
      // Two accounts of one user, of which one got the other's address after its sign-in, ask and approve for
      // each other (`same-user.ts`).
      knownAs: signIn.knownAs,
      secret: { refreshToken: signIn.refreshToken ?? secret.refreshToken },
    });
    if (updated === undefined) return { kind: 'gone' };
    return { kind: sameIdentity(record.identity, updated.identity) ? 'same' : 'changed', record: updated };
  } catch (error) {
    if (error instanceof AppError && error.code === 'sign_in_refused') {
      const { reason, message } = error;
      return { kind: 'refused', reason, message, asksFreshSignIn: NO_LONGER_CERTAIN.has(reason), record };
    }
    throw error;
  }
}
