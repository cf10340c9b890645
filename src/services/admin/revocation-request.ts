/**
 * The request for a revocation, which the admin pages and the admin API both take, and the target that it means.
 */
import type { z } from 'zod';
import type { AdminResult } from '../../core/api/rejections.ts';
import type { revocationSchema } from '../../core/api/requests.ts';
import { AppError } from '../../core/errors.ts';
import { defined } from '../../core/defined.ts';
import { accountOf, providerOf, type Account } from '../../core/identity/identity.ts';
import type { RevocationTarget } from '../../core/credential/revocation.ts';
import { no, ok } from '../../core/result.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { AdminConfig, AdminDeps } from './dependencies.ts';

const LIST_PAGE = 200;
/** A receipt is kept for thirty days, so it stays small. */
const RECEIPT_SESSIONS = 10;

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
  /** What ends with it, as far as it could be read before: the newest of the account's own sessions, or the session. */
  readonly sessions?: readonly SessionRecord[];
  /** Whether the user can simply sign in again: without a lock and without a fresh sign-in. */
  readonly canSignInAgain: boolean;
  /** False: as `AppendRequest` has it. */
  readonly asksFreshSignIn?: false;
  readonly reason: string;
  /** Absent: the revocation gets a random id. */
  readonly requestId?: string | undefined;
}

async function accountNamed({ store }: Known, username: string): Promise<AdminResult<Account>> {
  const { users } = await store.sessions.tally({ username });
  const { sessions } = await store.sessions.list({ username, limit: users === 1 ? 1 : LIST_PAGE });
  const [account, ...others] = new Set(sessions.map((session) => session.account));
  if (account === undefined) return no({ reason: 'username_not_found' });
  return users === 1 ? ok(account) : no({ reason: 'username_ambiguous', users, accounts: [account, ...others] });
}

/**
 * Returns the account of a session, and whether it is a delegated one. While the store is unavailable the session is revoked without being read,
 * because the local revocation guard rejects it before anything is written.
 */
async function sessionTarget(deps: Known, id: string): Promise<AdminResult<ResolvedTarget>> {
  const target = { kind: 'session', session: id } as const;
  try {
    const session = await deps.store.sessions.read(id);
    if (session === undefined) return no({ reason: 'session_not_found' });
    const delegated = session.delegation !== undefined;
    return ok({ target, account: session.account, delegated, sessions: [session] });
  } catch (error) {
    if (error instanceof AppError && error.code === 'store_unavailable') return ok({ target });
    throw error;
  }
}

interface ResolvedTarget {
  readonly target: RevocationTarget;
  readonly account?: Account;
  /** It is one delegated session. */
  readonly delegated?: boolean;
  readonly sessions?: readonly SessionRecord[];
}

/**
 * Returns the account's newest sessions. They are deleted with the revocation, and its receipt says what ended. Nothing
 * else depends on it, so whatever goes wrong here is no error of the revocation.
 */
async function newestSessions({ store }: Known, account: Account): Promise<readonly SessionRecord[] | undefined> {
  const { sessions } = await store.sessions
    .list({ account, only: 'own', limit: RECEIPT_SESSIONS })
    .catch(() => ({ sessions: undefined }));
  return sessions;
}

const accountTarget = (account: Account) => ok({ target: { kind: 'account', account }, account } as const);

async function resolveTarget(deps: Known, request: RevocationRequest): Promise<AdminResult<ResolvedTarget>> {
  const { session, account, username, provider, workload, subject } = request;
  if (session !== undefined) return sessionTarget(deps, session);
  if (account !== undefined) return accountTarget(account);
  if (username !== undefined) {
    const named = await accountNamed(deps, username);
    return named.ok ? accountTarget(named.value) : named;
  }
  if (provider !== undefined) {
    // Without this check the revocation of a mistyped name would be "complete", and the admin would believe it.
    if (deps.providers.has(provider)) return ok({ target: { kind: 'provider', provider } });
    return no({ reason: 'provider_not_found' });
  }
  if (workload !== undefined && subject !== undefined) {
    if (deps.config.workload.some(({ name }) => name === workload)) return accountTarget(accountOf(workload, subject));
    return no({ reason: 'workload_not_found' });
  }
  return ok({ target: { kind: 'all' } });
}

/**
 * Returns the target of a request, as far as it can be resolved without the store.
 * @returns undefined for a username, which only the store can resolve
 */
export async function targetWithoutStore(
  deps: Known,
  request: RevocationRequest,
): Promise<AdminResult<RevocationTarget | undefined>> {
  const { session, username } = request;
  if (username !== undefined) return ok(undefined);
  if (session !== undefined) return ok({ kind: 'session', session });
  const resolved = await resolveTarget(deps, request);
  return resolved.ok ? ok(resolved.value.target) : resolved;
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
  const provider = deps.providers.get(providerOf(account));
  return provider?.provesFreshness !== true && !(await isLocked(deps, account));
}

/**
 * Returns whether anything is known of an account: a live session, a lock, or a revocation of its own in the last
 * thirty days. A revocation of a provider or of all users covers every name, mistyped ones too, so it proves nothing.
 * While the store is unavailable the answer is yes, because a revocation must not wait for it.
 */
export async function isSeen({ store }: Pick<Known, 'store'>, account: Account): Promise<boolean> {
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
async function judgeProvider(deps: Known, account: Account): Promise<AdminResult<undefined>> {
  const names = [...deps.providers.keys(), ...deps.config.workload.map(({ name }) => name)];
  if (names.includes(providerOf(account)) || (await isSeen(deps, account))) return ok(undefined);
  return no({ reason: 'provider_not_found', names });
}

/**
 * Checks that an account was seen before, unless it is forced: the end or the lock of a mistyped account stops no one,
 * and is "complete".
 * @param options.asks whether the caller can be asked. A program that ends sessions by itself cannot, so only a lock,
 *   which stays, is rejected there
 */
export async function judgeSeen(
  deps: Known,
  { lock, target }: RevocationPlan,
  { force = false, asks = false }: { readonly force?: boolean | undefined; readonly asks?: boolean } = {},
): Promise<AdminResult<undefined>> {
  const isSure = force || !(lock || asks) || target.kind !== 'account' || (await isSeen(deps, target.account));
  return isSure ? ok(undefined) : no({ reason: 'account_not_seen' });
}

/** Resolves the target of a request. Of an account, the provider must be known too. */
export async function planOf(deps: Known, request: RevocationRequest): Promise<AdminResult<RevocationPlan>> {
  const resolved = await resolveTarget(deps, request);
  if (!resolved.ok) return resolved;
  const { delegated = false, ...meant } = resolved.value;
  const provider = request.account === undefined ? ok(undefined) : await judgeProvider(deps, request.account);
  if (!provider.ok) return provider;
  const { reason, requestId, lock = false } = request;
  // The end of a delegated session alone asks its user for nothing: their own session goes on.
  const [mayReturn, sessions] = await Promise.all([
    lock || delegated ? !lock : canSignInAgain(deps, meant.account),
    meant.sessions ?? (meant.account === undefined ? undefined : newestSessions(deps, meant.account)),
  ]);
  return ok({ ...meant, ...defined({ sessions }), lock, canSignInAgain: mayReturn, reason, requestId });
}
