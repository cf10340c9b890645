/**
 * The re-check: at every refresh, and while a stream is open (`stream-recheck.ts`), the provider is asked whether the person is still who
 * they were.
 *
 * One at a time per session, over all replicas: providers rotate refresh tokens and take a second use of an old one for theft, so two
 * parallel re-checks could sign the person out. Within `FRESH_MS` an answer is not asked for again (thirty kubectls at once).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../contracts/clock.ts';
import { AppError } from '../core/errors.ts';
import { sameIdentity } from '../core/identity/identity.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import type { EndingReasons, SessionRecord, SessionStore } from '../store/store.ts';
import { isRecent } from '../core/time.ts';

const FRESH_MS = 10_000;
/**
 * The provider no longer stands for who the user is. A rule's rejection is about what they may do, and needs no other proof: where the
 * provider shows none, a user who had lost a group for an hour would be kept out for thirty days.
 */
const NO_LONGER_CERTAIN = new Set(['provider_refresh_refused', 'subject_changed']);
const REMOVED = 'The identity provider that you signed in with is no longer used here. Sign in again.';
/** A holder that died gives its claim back after this long. */
const CLAIM_SECONDS = 30;
/** One that lives renews it: several requests to a provider, each with a limit of its own, may take longer. */
const RENEWAL_MS = (CLAIM_SECONDS * 1000) / 3;
const CLAIM_ATTEMPTS = 100;
const CLAIM_PAUSE_MS = 100;

export type RecheckOutcome =
  | { readonly kind: 'same'; readonly record: SessionRecord }
  /** Said to one caller for each change. */
  | { readonly kind: 'changed'; readonly record: SessionRecord }
  /** The session ended meanwhile. */
  | { readonly kind: 'gone' }
  /** The provider or a rule says no: the session must end. */
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
  /** Names of the workload rules: nobody stands behind such a session who could be asked about. */
  readonly workloads: ReadonlySet<string>;
  readonly clock: Clock;
  /** Keeps what a refused user is told who comes back after the session has ended. Absent: nothing is kept. */
  readonly endings?: Pick<EndingReasons, 'keep'>;
}

/**
 * @param session its id
 * @throws AppError `provider_unavailable` when the provider cannot say (`recheck_busy`: another request is asking): the session is left as it
 *   is, and so is its end
 */
export type Recheck = (session: string) => Promise<RecheckOutcome>;

export function createRecheck(deps: RecheckDeps): Recheck {
  const running = new Map<string, Promise<RecheckOutcome>>();
  const checkedAt = new LRUCache<string, number>({ max: 10_000 });
  return (session) => {
    const already = running.get(session);
    // Who asked first puts a change on the record: one change is one line.
    if (already !== undefined) return already.then(unchanged);
    const run = recheckOnce(deps, session, checkedAt).finally(() => running.delete(session));
    running.set(session, run);
    return run;
  };
}

const unchanged = (outcome: RecheckOutcome): RecheckOutcome =>
  outcome.kind === 'changed' ? { kind: 'same', record: outcome.record } : outcome;

async function recheckOnce(
  deps: RecheckDeps,
  session: string,
  checkedAt: LRUCache<string, number>,
): Promise<RecheckOutcome> {
  const before = await deps.sessions.read(session);
  if (before === undefined) return { kind: 'gone' };
  const last = checkedAt.get(session);
  if (last !== undefined && isRecent(last, deps.clock.now(), FRESH_MS)) return { kind: 'same', record: before };
  const outcome = await withClaim(deps.sessions, session, () => askProvider(deps, before));
  // Before the caller ends the session: whoever comes back in between is told already.
  if (outcome.kind === 'refused') await deps.endings?.keep(outcome.record, outcome.message);
  if (outcome.kind === 'same' || outcome.kind === 'changed') checkedAt.set(session, deps.clock.now());
  return outcome;
}

/**
 * Threat: a claim that lapses while its holder still waits for the provider lets another replica present the same refresh token, which the
 * provider takes for theft. So it is held until the answer has come and is stored, however long that takes.
 */
async function withClaim<T>(sessions: SessionStore, session: string, request: () => Promise<T>): Promise<T> {
  const holder = randomUUID();
  await claim(sessions, session, holder);
  let renewed: Promise<unknown> = Promise.resolve();
  const renewal = setInterval(() => {
    // One that fails costs nothing: there is another before the claim lapses.
    renewed = sessions.claimRecheck(session, holder, CLAIM_SECONDS).catch(() => undefined);
  }, RENEWAL_MS);
  try {
    return await request();
  } finally {
    clearInterval(renewal);
    // One that is still on its way would take the claim again.
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
  // Whoever held the claim has just asked, and has put on the record what had changed.
  if (record.checkedAt > before.checkedAt) return { kind: 'same', record };
  if (deps.workloads.has(record.provider)) return { kind: 'same', record };
  const provider = deps.providers.get(record.provider);
  if (provider === undefined) {
    return { kind: 'refused', reason: 'provider_removed', message: REMOVED, asksFreshSignIn: true, record };
  }
  // A provider that gave no refresh token cannot be asked; such a session was opened with a short absolute life.
  if (secret.refreshToken === undefined) return { kind: 'same', record };
  try {
    const signIn = await provider.recheck(record.subject, secret.refreshToken, async (refreshToken) => {
      await deps.sessions.update(session, { identity: record.identity, secret: { refreshToken }, checked: false });
    });
    const updated = await deps.sessions.update(session, {
      identity: signIn.identity,
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
