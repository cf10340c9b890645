/**
 * The exec credential plugin: kubectl runs it before it talks to a cluster. stdout is ExecCredential or nothing.
 *
 * The path of a cached credential is synchronous and loads only this file's imports; the rest is loaded when
 * needed.
 */
import { clusterAudience } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { renewInBackground } from './background-renewal.ts';
import { ensureEntry, locateEntry, readSession, type CacheEntry, type Server } from '../session/cache.ts';
import { execCredential } from './exec-credential.ts';
import { failureOfParent, rememberForParent } from './failures.ts';
import type { CliContext } from '../context.ts';
import { noteIssued } from './rejected-token.ts';
import { isAlive, isFresh, tokenId, reportedExpiryMs, type CachedToken } from '../session/session.ts';

export interface TokenRequest {
  readonly server: Server;
  readonly cluster: string;
  /** Whether a browser may be opened. */
  readonly browser: boolean;
}

/** @throws AppError with a message for the user; nothing has been written to stdout then */
export async function getToken(context: CliContext, request: TokenRequest): Promise<void> {
  const entry = locateEntry(context.environment.cacheDir, request.server);
  const cached = fromCache(context, entry, request.cluster);
  if ('credential' in cached) return context.print(cached.credential);
  if (cached.rejectedTokenId !== undefined)
    context.detail('the cached token was rejected: this program has asked for it before');
  context.print(await fromServer(context, entry, { ...request, rejectedTokenId: cached.rejectedTokenId }));
}

/**
 * Returns the cached credential as text for stdout. In its last minute, until kubectl is told to ask again, another
 * is fetched in the background.
 * @returns `rejectedTokenId`: the id of a token that this parent already had
 */
export function fromCache(
  context: CliContext,
  entry: CacheEntry,
  cluster: string,
): { readonly credential: string } | { readonly rejectedTokenId: string | undefined } {
  const session = readSession(entry);
  const token = session?.tokens[clusterAudience(cluster)];
  const now = context.nowMs();
  if (session === undefined || token === undefined || now < token.receivedAt || now >= reportedExpiryMs(token)) {
    return { rejectedTokenId: undefined };
  }
  if (!noteIssued(entry, token, context.parent, context.startedAt)) return { rejectedTokenId: tokenId(token) };
  if (!isFresh(token, now)) renewInBackground(context, entry, cluster, token);
  return { credential: execCredential(token, session.binding, context.environment.execVersion) };
}

/** The same program does not wait again for a while for a server that is this slow: client-go would ask five times. */
const SLOW_MS = 5000;

interface RenewalRequest extends TokenRequest {
  readonly rejectedTokenId: string | undefined;
}

async function fromServer(context: CliContext, entry: CacheEntry, request: RenewalRequest): Promise<string> {
  const remembered = failureOfParent(entry, context.parent, context.nowMs());
  if (remembered !== undefined) throw remembered;
  try {
    return await renewed(context, entry, request);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const old = error.code === 'upstream_unavailable' ? stillGood(context, entry, request) : undefined;
    if (old !== undefined) {
      context.notify(`${error.message}\n  Continuing with the present token, which is valid for a moment.`);
      return old;
    }
    if (error.code === 'upstream_unavailable' && context.nowMs() - context.startedAt > SLOW_MS) {
      rememberForParent(entry, context.parent, error, context.nowMs());
    }
    if (error.code !== 'unauthenticated') throw error;
    return afterSignIn(context, entry, request, error);
  }
}

async function renewed(context: CliContext, entry: CacheEntry, request: RenewalRequest): Promise<string> {
  const { renew } = await import('../session/renewal.ts');
  const accept = (token: CachedToken): boolean =>
    isFresh(token, context.nowMs()) && tokenId(token) !== request.rejectedTokenId;
  const { session, token } = await renew(context, entry, { audience: clusterAudience(request.cluster), accept });
  noteIssued(entry, token, context.parent, context.startedAt);
  return execCredential(token, session.binding, context.environment.execVersion);
}

/**
 * Returns the present token in its last minute: the server is unavailable, but the API server may not be. Not for a
 * parent that already had it and asks before its reported expiry: the token was rejected there.
 */
function stillGood(context: CliContext, entry: CacheEntry, request: RenewalRequest): string | undefined {
  const session = readSession(entry);
  const token = session?.tokens[clusterAudience(request.cluster)];
  const now = context.nowMs();
  if (session === undefined || token === undefined || !isAlive(token, now)) return undefined;
  const first = noteIssued(entry, token, context.parent, context.startedAt);
  return first || now >= reportedExpiryMs(token)
    ? execCredential(token, session.binding, context.environment.execVersion)
    : undefined;
}

/** @param why the error that ended the session, or that there is none */
async function afterSignIn(
  context: CliContext,
  entry: CacheEntry,
  request: RenewalRequest,
  why: AppError,
): Promise<string> {
  try {
    if (!request.browser) throw why;
    const [firstLine] = why.message.split('\n');
    context.notify(firstLine ?? why.message);
    const { signIn } = await import('../session/sign-in.ts');
    await signIn(context, { entry, attended: context.attended });
  } catch (error) {
    if (error instanceof AppError) {
      ensureEntry(entry);
      rememberForParent(entry, context.parent, error, context.nowMs());
    }
    throw error;
  }
  const credential = await renewed(context, entry, { ...request, rejectedTokenId: undefined });
  // client-go asks for another credential after a 401 and does not repeat the request that got it.
  if (request.rejectedTokenId !== undefined) {
    context.notify('signed in again: run your command once more if it still fails');
  }
  return credential;
}
