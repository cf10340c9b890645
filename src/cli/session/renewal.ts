/**
 * Returns a token that is valid now, from the cache or from the server. One lock covers read, refresh and write, so
 * that thirty kubectls cause one refresh.
 */
import { clusterAudience } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { dropSession, readSession, writeSession, type CacheEntry } from './cache.ts';
import { explainedFor } from './delegated.ts';
import { failureSince, shareFailure } from '../plugin/failures.ts';
import { cliError, errorMessage } from '../errors.ts';
import { withFileLock, type HeldLock } from './file-lock.ts';
import type { CliContext } from '../context.ts';
import { isUnwritable, removeOldDrafts } from './private-files.ts';
import { dropOtherNotes } from '../plugin/rejected-token.ts';
import { hostOf } from '../http/server-url.ts';
import {
  chosenStore,
  forgetSecrets,
  isKeyringRequired,
  openSession,
  storeSecrets,
  type OpenSession,
} from './secrets.ts';
import type { CachedSession, CachedToken } from './session.ts';
import { refresh, type TokenResponse } from './token-endpoint.ts';

export interface Credential {
  readonly session: CachedSession;
  readonly token: CachedToken;
}

export interface Renewal {
  /** Absent: the first cluster that the user may use. */
  readonly audience?: string;
  /** Whether a cached token is accepted. */
  readonly accept: (token: CachedToken) => boolean;
}

/** Longer than a refresh that times out, so that a waiting process learns how it ended. */
const LOCK_TIMEOUT_MS = 60_000;

/**
 * @throws AppError `unauthenticated` when no user is signed in or the session is over (then it is dropped from the
 *   cache), `forbidden` when the audience is not for this user, `upstream_unavailable` when the server cannot
 *   decide: the cache is kept
 */
export async function renew(context: CliContext, entry: CacheEntry, renewal: Renewal): Promise<Credential> {
  try {
    return await renewed(context, entry, renewal);
  } catch (error) {
    throw explainedFor(entry.server, error, context.nowMs());
  }
}

async function renewed(context: CliContext, entry: CacheEntry, renewal: Renewal): Promise<Credential> {
  const since = context.nowMs();
  const settled = (): Credential | undefined => {
    const session = signedIn(context, entry);
    const token = renewal.audience === undefined ? undefined : session.tokens[renewal.audience];
    if (token !== undefined && renewal.accept(token)) return { session, token };
    const failure = failureSince(entry, 'refresh', since, context.nowMs());
    if (failure !== undefined) throw failure;
    return undefined;
  };
  try {
    return (
      settled() ??
      (await withFileLock({
        path: entry.lockPath,
        timeoutMs: LOCK_TIMEOUT_MS,
        whileWaiting: settled,
        work: async (lock) => settled() ?? (await refreshNow(context, entry, renewal.audience, lock)),
      }))
    );
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    // There is no space for a lock. A refresh without one is harmless (see file-lock.ts); a command that fails
    // because of a full disk is not.
    sayNotKept(context, error);
    return refreshNow(context, entry, renewal.audience, { lost: true });
  }
}

function sayNotKept(context: CliContext, error: unknown): void {
  context.notify(`${errorMessage(error)}\n  Continuing: the new token is for this command only.`);
}

/**
 * Returns the session. @throws AppError `unauthenticated`, with the reason for which the last one ended where there
 * is one
 */
function signedIn(context: CliContext, entry: CacheEntry): CachedSession {
  const session = readSession(entry);
  if (session !== undefined) return session;
  const server = entry.server.url;
  throw (
    failureSince(entry, 'session', 0, context.nowMs()) ??
    cliError('unauthenticated', `You are not signed in to ${hostOf(server)}.`, `portcullis login --server ${server}`)
  );
}

async function refreshNow(
  context: CliContext,
  entry: CacheEntry,
  audience: string | undefined,
  lock: HeldLock,
): Promise<Credential> {
  const cached = signedIn(context, entry);
  try {
    const session = await openSession(context, entry, cached);
    context.detail(`asking ${hostOf(session.endpoints.token)} for a new token${audience ? ` for ${audience}` : ''}`);
    const response = await refresh(session, session.refreshToken, audience);
    const renewed = withTokenResponse(session, response, audience, context.nowMs());
    if (!lock.lost) await keepRenewed(context, entry, { cached, session, renewed });
    return { session: renewed, token: response.token };
  } catch (error) {
    if (error instanceof AppError && !lock.lost) await keepOutcome(context, entry, { cached, error });
    throw error;
  }
}

interface Renewed {
  /** As its file had it. */
  readonly cached: CachedSession;
  readonly session: OpenSession;
  readonly renewed: OpenSession;
}

/** A full disk costs the next command a refresh, and this one nothing: it has the token. */
async function keepRenewed(context: CliContext, entry: CacheEntry, all: Renewed): Promise<void> {
  try {
    writeSession(entry, await asCached(context, entry, all));
    dropOtherNotes(entry, Object.values(all.renewed.tokens));
    removeOldDrafts(entry.dir, context.nowMs());
  } catch (error) {
    if (!isUnwritable(error) && !isKeyringRequired(error)) throw error;
    sayNotKept(context, error);
  }
}

/** Returns the session as its file gets it: secrets stay where they are. Those of a bound session do not change. */
async function asCached(
  context: CliContext,
  entry: CacheEntry,
  { cached, session, renewed }: Renewed,
): Promise<CachedSession> {
  if (cached.refreshToken !== undefined) return renewed;
  if (session.refreshToken !== renewed.refreshToken) {
    return storeSecrets(context, entry, renewed, chosenStore(context, entry) === 'keyring' ? 'keyring' : 'auto');
  }
  const { refreshToken: _inKeyring, ...rest } = renewed;
  return rest;
}

async function keepOutcome(
  context: CliContext,
  entry: CacheEntry,
  { cached, error }: { readonly cached: CachedSession; readonly error: AppError },
): Promise<void> {
  if (error.code === 'unauthenticated') {
    dropSession(entry);
    if (cached.refreshToken === undefined) await forgetSecrets(context, entry);
    shareFailure(entry, 'session', error, context.nowMs());
  }
  if (error.code === 'upstream_unavailable') shareFailure(entry, 'refresh', error, context.nowMs());
}

/** Returns the session after a token response: adds the new token and drops expired ones. */
export function withTokenResponse(
  session: OpenSession,
  response: TokenResponse,
  audience: string | undefined,
  now: number,
): OpenSession {
  const alive = Object.entries(session.tokens).filter(([, token]) => token.expiresAt > now);
  const audienceOfToken = audience ?? (response.cluster === undefined ? undefined : clusterAudience(response.cluster));
  return {
    ...session,
    user: response.user ?? session.user,
    refreshToken: response.refreshToken ?? session.refreshToken,
    tokens: {
      ...Object.fromEntries(alive),
      ...(audienceOfToken === undefined ? {} : { [audienceOfToken]: response.token }),
    },
  };
}
