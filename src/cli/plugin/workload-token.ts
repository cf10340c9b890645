/**
 * The exec credential plugin for a workload: no sign-in and no browser. The token that its issuer puts into a file
 * is exchanged (RFC 8693). The file is read at each call, because Kubernetes replaces the token in time.
 *
 * A workload's token is valid for one key pair, so the key pair is on disk before the token is sent: a job that is
 * interrupted can continue with it.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ADMIN_AUDIENCE, clusterAudience } from '../../core/core.ts';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import type { AdminCredential } from '../http/admin-api.ts';
import { ensureEntry, readPins, writePins, type CacheEntry, type Server } from '../session/cache.ts';
import { discover } from '../session/discovery.ts';
import { execCredential } from './exec-credential.ts';
import { failureOfParent, failureSince, rememberForParent, shareFailure } from './failures.ts';
import { cliError } from '../errors.ts';
import { withFileLock, type HeldLock } from '../session/file-lock.ts';
import type { CliContext } from '../context.ts';
import { dropOtherNotes, noteIssued } from './rejected-token.ts';
import { isAlive, isFresh, isTokenText, reportedExpiryMs, tokenId } from '../session/session.ts';
import type { Binding, CachedToken, ReachableCluster } from '../session/session.ts';
import { exchange, type TokenResponse } from '../session/token-endpoint.ts';
import { locateWorkload, readWorkload, writeWorkload, type CachedWorkload } from './workload-cache.ts';

export interface WorkloadSource {
  readonly server: Server;
  /** Absolute path of the workload's own token. */
  readonly tokenFile: string;
}

interface Workload {
  readonly entry: CacheEntry;
  readonly tokenFile: string;
  /** Never stored, never shown. */
  readonly subjectToken: string;
}

interface TokenRequest extends Workload {
  readonly audience: string;
}

interface Credential {
  readonly token: CachedToken;
  readonly binding: Binding;
}

/** Longer than an exchange that times out. */
const LOCK_TIMEOUT_MS = 60_000;

/**
 * Prints the credential.
 * @throws AppError `bad_request` for a file that holds no token, `forbidden` where the token or the cluster is
 *   rejected, `upstream_unavailable`; nothing has been written to stdout then
 */
export async function getWorkloadToken(
  context: CliContext,
  source: WorkloadSource & { readonly cluster: string },
): Promise<void> {
  const request = { ...workloadAt(context, source), audience: clusterAudience(source.cluster) };
  const { entry } = request;
  const cached = kept(request);
  const fresh = cached !== undefined && isFresh(cached.token, context.nowMs());
  if (fresh && noteIssued(entry, cached.token, context.parent, context.startedAt)) return print(context, cached);
  const rejectedTokenId = fresh ? tokenId(cached.token) : undefined;
  // Another token in the file, or another cluster, is a different request.
  const requestHash = createHash('sha256').update(`${request.audience} ${request.subjectToken}`).digest('hex');
  const caller = `${context.parent}-${requestHash.slice(0, 16)}`;
  const remembered = failureOfParent(entry, caller, context.nowMs());
  if (remembered !== undefined) throw remembered;
  try {
    const accept = (token: CachedToken): boolean =>
      isFresh(token, context.nowMs()) && tokenId(token) !== rejectedTokenId;
    const renewed = await renew(context, request, accept);
    noteIssued(entry, renewed.token, context.parent, context.startedAt);
    return print(context, renewed);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'forbidden') rememberForParent(entry, caller, error, context.nowMs());
    if (error.code !== 'upstream_unavailable' || cached === undefined || !stillGood(context, entry, cached.token)) {
      throw error;
    }
    context.notify(`${error.message}\n  Continuing with the present token, which is valid for a moment.`);
    return print(context, cached);
  }
}

/**
 * Returns the token with which a workload with a role uses the admin API. A monitor runs every few minutes and finds
 * the same token in the file for an hour, so its key pair is cached as kubectl's is.
 * @param rejectedToken a token that was rejected
 * @throws AppError as `getWorkloadToken`
 */
export async function adminToken(
  context: CliContext,
  source: WorkloadSource,
  rejectedToken?: string,
): Promise<Credential> {
  const request = { ...workloadAt(context, source), audience: ADMIN_AUDIENCE };
  const accept = (token: CachedToken): boolean => isFresh(token, context.nowMs()) && token.token !== rejectedToken;
  const cached = kept(request);
  return cached !== undefined && accept(cached.token) ? cached : renew(context, request, accept);
}

/** Returns that token with the addresses of the server. @throws AppError as `getWorkloadToken` */
export async function adminCredential(
  context: CliContext,
  source: WorkloadSource,
  rejectedToken?: string,
): Promise<AdminCredential> {
  const { token, binding } = await adminToken(context, source, rejectedToken);
  const entry = locateWorkload(context.environment.cacheDir, source.server, source.tokenFile);
  const { endpoints } = await discover(entry, readPins(entry));
  return { endpoints, binding, token: token.token };
}

/**
 * Returns the clusters that the workload may use now, for a kubeconfig.
 * @throws AppError as `getWorkloadToken`
 */
export async function clustersOfWorkload(
  context: CliContext,
  source: WorkloadSource,
): Promise<readonly ReachableCluster[]> {
  const workload = workloadAt(context, source);
  ensureEntry(workload.entry);
  const { user } = await withFileLock({
    path: workload.entry.lockPath,
    timeoutMs: LOCK_TIMEOUT_MS,
    whileWaiting: () => undefined,
    work: async (lock) => (await exchangeNow(context, workload, lock)).response,
  });
  return user?.clusters ?? [];
}

const workloadAt = (context: CliContext, { server, tokenFile }: WorkloadSource): Workload => ({
  entry: locateWorkload(context.environment.cacheDir, server, tokenFile),
  tokenFile,
  subjectToken: readSubjectToken(tokenFile),
});

function kept({ entry, subjectToken, audience }: TokenRequest): Credential | undefined {
  const found = readWorkload(entry, subjectToken);
  const token = found?.tokens[audience];
  return found === undefined || token === undefined ? undefined : { token, binding: found.binding };
}

const print = (context: CliContext, { token, binding }: Credential): void =>
  context.print(execCredential(token, binding, context.environment.execVersion));

/**
 * Returns true in its last minute, but not for a parent that already had it and asks before its reported expiry:
 * the token was rejected there.
 */
function stillGood(context: CliContext, entry: CacheEntry, token: CachedToken): boolean {
  const now = context.nowMs();
  if (!isAlive(token, now)) return false;
  return noteIssued(entry, token, context.parent, context.startedAt) || now >= reportedExpiryMs(token);
}

/** Returns an accepted token: from a concurrent process, or by an exchange. */
function renew(
  context: CliContext,
  request: TokenRequest,
  accept: (token: CachedToken) => boolean,
): Promise<Credential> {
  const { entry } = request;
  ensureEntry(entry);
  const since = context.nowMs();
  const settled = (): Credential | undefined => {
    const found = kept(request);
    if (found !== undefined && accept(found.token)) return found;
    const failure = failureSince(entry, 'refresh', since, context.nowMs());
    if (failure !== undefined) throw failure;
    return undefined;
  };
  return withFileLock({
    path: entry.lockPath,
    timeoutMs: LOCK_TIMEOUT_MS,
    whileWaiting: settled,
    work: async (lock) => settled() ?? (await exchangeNow(context, request, lock)),
  });
}

/** @param workload without an audience the exchange is for the first that the workload may have */
async function exchangeNow(
  context: CliContext,
  workload: Workload & Partial<TokenRequest>,
  lock: HeldLock,
): Promise<Credential & { readonly response: TokenResponse }> {
  const { entry, subjectToken, audience } = workload;
  try {
    const { endpoints, pins } = await discover(entry, readPins(entry));
    const before = readWorkload(entry, subjectToken) ?? { binding: await newBinding(context), tokens: {} };
    if (lock.lost)
      throw cliError('upstream_timeout', 'Another portcullis process is exchanging this token.', 'try again');
    const { binding } = before;
    writePins(entry, pins);
    writeWorkload(entry, subjectToken, before);
    context.detail(`exchanging the workload’s token at ${endpoints.token}`);
    const response = await exchange({ server: entry.server.url, endpoints, binding }, subjectToken, audience);
    const { token } = response;
    const tokens = { ...living(before, context.nowMs()), ...(audience === undefined ? {} : { [audience]: token }) };
    if (!lock.lost) {
      writeWorkload(entry, subjectToken, { binding, tokens });
      dropOtherNotes(entry, Object.values(tokens));
    }
    return { token, binding, response };
  } catch (error) {
    const explained = error instanceof AppError ? withWorkloadHint(error, workload) : error;
    if (explained instanceof AppError && explained.code === 'upstream_unavailable' && !lock.lost) {
      shareFailure(entry, 'refresh', explained, context.nowMs());
    }
    throw explained;
  }
}

async function newBinding(context: CliContext): Promise<Binding> {
  const { createBinding } = await import('../session/binding.ts');
  return createBinding(context.nowMs());
}

const living = ({ tokens }: CachedWorkload, now: number): CachedWorkload['tokens'] =>
  Object.fromEntries(Object.entries(tokens).filter(([, token]) => token.expiresAt > now));

/** Replaces the next step of an error by one that fits the log of a job: no user can sign in there. */
function withWorkloadHint(error: AppError, { entry, tokenFile, audience }: Workload & Partial<TokenRequest>): AppError {
  const { reason } = error;
  if (reason === 'discovery_refused') {
    return withNext(error, `ask your platform team whether the host has moved; if so: rm -r ${entry.dir}`);
  }
  if (reason === 'server_untrusted') return withNext(error, 'install the CA that signed it, or give --ca-file');
  if (error.code === 'unauthenticated' || reason === 'token_request_refused') {
    const next = `check that ${tokenFile} holds a fresh token for ${entry.server.url} alone, and that ${aRule(audience)} matches it`;
    return withNext(error, next, 'forbidden');
  }
  if (error.code === 'forbidden') {
    return audience === ADMIN_AUDIENCE
      ? withNext(error, `ask your platform team for ${aRule(audience)}`)
      : withNext(error, 'ask your platform team to name the cluster in the workload’s rule');
  }
  if (error.code === 'upstream_unavailable') return withNext(error, 'try again in a moment, with the same token');
  return error;
}

const aRule = (audience: string | undefined): string =>
  audience === ADMIN_AUDIENCE ? 'a workload rule with the role for it' : 'a workload rule';

/** Returns the same error with another next step: a workload cannot sign in at a browser. */
function withNext(error: AppError, next: string, code: ErrorCode = error.code): AppError {
  const [what] = error.message.split('\n  Next: ');
  return cliError(code, what ?? error.message, next, { reason: error.reason, cause: error });
}

/**
 * Reads the workload's token. Kubernetes mounts it as a link that it moves, so links are followed here.
 * @throws AppError `bad_request`
 */
function readSubjectToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw cliError('bad_request', `The token file ${path} cannot be read.`, 'check --token-file', { cause });
  }
  if (!isTokenText(text))
    throw cliError('bad_request', `${path} does not hold exactly one token.`, 'check --token-file');
  return text;
}
