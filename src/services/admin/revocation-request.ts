/**
 * The request for a revocation, which the admin pages and the admin API both take, and the target that it means.
 */
import type { z } from 'zod';
import type { revocationSchema } from '../../core/api/requests.ts';
import { AppError } from '../../core/errors.ts';
import { accountOf, type Account } from '../../core/identity/identity.ts';
import type { RevocationTarget } from '../../core/credential/revocation.ts';
import type { AdminConfig, AdminDeps } from './dependencies.ts';
import { AdminError } from './problem.ts';

const LIST_PAGE = 200;

export type RevocationRequest = z.infer<typeof revocationSchema>;

/** What a target is looked up in. */
interface Known {
  readonly config: Pick<AdminConfig, 'workload'>;
  readonly providers: ReadonlyMap<string, { readonly provesFreshness: boolean }>;
  readonly store: Pick<AdminDeps['store'], 'sessions' | 'locks' | 'freshSignIns'>;
}

/** A request whose target has been resolved. */
export interface RevocationPlan {
  readonly target: RevocationTarget;
  /** The account, also where the target is one of its sessions. */
  readonly account?: Account;
  readonly lock: boolean;
  /** Whether the user can simply sign in again: without a lock and without a fresh sign-in. */
  readonly canSignInAgain: boolean;
  readonly reason: string;
  /** Absent: the revocation gets a random id. */
  readonly requestId?: string | undefined;
}

async function accountNamed({ store }: Known, username: string): Promise<Account> {
  const { users } = await store.sessions.tally({ username });
  const { sessions } = await store.sessions.list({ username, limit: users === 1 ? 1 : LIST_PAGE });
  const [account, ...others] = new Set(sessions.map((session) => session.account));
  if (account !== undefined && users === 1) return account;
  if (account === undefined) throw new AdminError({ reason: 'username_not_found' });
  throw new AdminError({ reason: 'username_ambiguous', users, accounts: [account, ...others] });
}

/**
 * Returns the account of a session, and whether it is a delegated one. While the store is unavailable the session is revoked without being read,
 * because the local revocation guard rejects it before anything is written.
 * @throws AdminError `session_not_found`
 */
async function aboutSession(deps: Known, id: string): Promise<Omit<ResolvedTarget, 'target'>> {
  try {
    const session = await deps.store.sessions.read(id);
    if (session === undefined) throw new AdminError({ reason: 'session_not_found' });
    return { account: session.account, delegated: session.delegation !== undefined };
  } catch (error) {
    if (error instanceof AppError && error.code === 'store_unavailable') return {};
    throw error;
  }
}

interface ResolvedTarget {
  readonly target: RevocationTarget;
  readonly account?: Account;
  /** It is one delegated session. */
  readonly delegated?: boolean;
}

const accountTarget = (account: Account): ResolvedTarget => ({ target: { kind: 'account', account }, account });

async function resolveTarget(deps: Known, request: RevocationRequest): Promise<ResolvedTarget> {
  const { session, account, username, provider, workload, subject } = request;
  if (session !== undefined) {
    return { target: { kind: 'session', session }, ...(await aboutSession(deps, session)) };
  }
  if (account !== undefined) return accountTarget(account);
  if (username !== undefined) return accountTarget(await accountNamed(deps, username));
  if (provider !== undefined) {
    // Without this check the revocation of a mistyped name would be "complete", and the admin would believe it.
    if (deps.providers.has(provider)) return { target: { kind: 'provider', provider } };
    throw new AdminError({ reason: 'provider_not_found' });
  }
  if (workload !== undefined && subject !== undefined) {
    if (deps.config.workload.some(({ name }) => name === workload)) return accountTarget(accountOf(workload, subject));
    throw new AdminError({ reason: 'workload_not_found' });
  }
  return { target: { kind: 'all' } };
}

/**
 * Returns the target of a request, as far as it can be resolved without the store.
 * @returns undefined for a username, which only the store can resolve
 * @throws AdminError `provider_not_found`, `workload_not_found`
 */
export async function targetWithoutStore(
  deps: Known,
  request: RevocationRequest,
): Promise<RevocationTarget | undefined> {
  const { session, username } = request;
  if (username !== undefined) return undefined;
  return session === undefined ? (await resolveTarget(deps, request)).target : { kind: 'session', session };
}

/**
 * Returns whether the account is locked. It only changes a text of the result, so an unavailable store is no error
 * here.
 */
async function isLocked(deps: Known, account: Account): Promise<boolean> {
  try {
    return (await deps.store.locks.find(account)) !== undefined;
  } catch {
    return false;
  }
}

/** Returns false where the next sign-in certainly must be a fresh one or is rejected, and true in case of doubt. */
async function canSignInAgain(deps: Known, account: Account | undefined): Promise<boolean> {
  if (account === undefined) return true;
  const provider = deps.providers.get(account.slice(0, account.indexOf('/')));
  return provider?.provesFreshness !== true && !(await isLocked(deps, account));
}

/**
 * Returns whether anything is known of an account: a live session, a lock, or a revocation of its own in the last
 * thirty days. A revocation of a provider or of all users covers every name, mistyped ones too, so it proves nothing.
 * While the store is unavailable the answer is yes, because a revocation must not wait for it.
 */
export async function isSeen({ store }: Known, account: Account): Promise<boolean> {
  try {
    const [{ sessions }, lock, revokedAt] = await Promise.all([
      store.sessions.list({ account, limit: 1 }),
      store.locks.find(account),
      store.freshSignIns.find(account),
    ]);
    return sessions.length > 0 || lock !== undefined || revokedAt !== undefined;
  } catch (error) {
    if (error instanceof AppError && error.code === 'store_unavailable') return true;
    throw error;
  }
}

/**
 * Checks the provider of an account. The revocation of `dmeo/alice` would be "complete", and the admin would believe
 * that alice is out. An account of a provider that was removed from the configuration passes while it is known.
 */
async function assertKnownProvider(deps: Known, account: Account): Promise<void> {
  const names = [...deps.providers.keys(), ...deps.config.workload.map(({ name }) => name)];
  if (names.includes(account.slice(0, account.indexOf('/'))) || (await isSeen(deps, account))) return;
  throw new AdminError({ reason: 'provider_not_found', names });
}

/**
 * Checks that a lock is for an account that was seen before, unless it is forced: a lock of a mistyped account locks
 * no one out, and is "complete".
 * @throws AdminError `account_not_seen`
 */
export async function assertSeen(deps: Known, { lock, account }: RevocationPlan, force = false): Promise<void> {
  if (!lock || force || account === undefined || (await isSeen(deps, account))) return;
  throw new AdminError({ reason: 'account_not_seen' });
}

/**
 * Resolves the target of a request.
 * @throws AdminError `session_not_found`, `provider_not_found`, `workload_not_found`, `username_not_found`,
 *   `username_ambiguous`; `provider_not_found` also for an account
 */
export async function planOf(deps: Known, request: RevocationRequest): Promise<RevocationPlan> {
  const { delegated = false, ...meant } = await resolveTarget(deps, request);
  if (request.account !== undefined) await assertKnownProvider(deps, request.account);
  const { reason, requestId, lock = false } = request;
  // The end of a delegated session alone asks its user for nothing: their own session goes on.
  const mayReturn = !lock && (delegated || (await canSignInAgain(deps, meant.account)));
  return { ...meant, lock, canSignInAgain: mayReturn, reason, requestId };
}
