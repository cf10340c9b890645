/**
 * The exec credential plugin for a workload: no sign-in and no browser; the token that its issuer left in a file is exchanged (RFC 8693),
 * and the file is read anew at each call, because Kubernetes puts a newer token there in time.
 *
 * A token is good for one key, so that key is on disk before the token is sent: a job that is stopped half-way can go on with it.
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
import { fault } from '../errors.ts';
import { takeTurn, type HeldLock } from '../session/file-lock.ts';
import type { CliContext } from '../context.ts';
import { forgetOthers, handOut } from './rejected-token.ts';
import { isAlive, isFresh, isTokenText, toldExpiry, tokenId } from '../session/session.ts';
import type { Binding, CachedToken, ReachableCluster } from '../session/session.ts';
import { exchange, type TokenAnswer } from '../session/token-endpoint.ts';
import { locateWorkload, readKept, writeKept, type KeptWorkload } from './workload-cache.ts';

export interface WorkloadPlace {
  readonly server: Server;
  /** Absolute path of the workload's own token. */
  readonly tokenFile: string;
}

interface Workload {
  readonly entry: CacheEntry;
  readonly tokenFile: string;
  /** Never kept, never shown. */
  readonly subjectToken: string;
}

interface Wanted extends Workload {
  readonly audience: string;
}

interface Credential {
  readonly token: CachedToken;
  readonly binding: Binding;
}

/** Longer than an exchange that times out. */
const PATIENCE_MS = 60_000;

/**
 * Prints the credential.
 * @throws AppError `bad_request` for a file that holds no token, `forbidden` where the token or the cluster is refused, `upstream_unavailable`;
 *   nothing has been written to stdout then
 */
export async function getWorkloadToken(
  context: CliContext,
  request: WorkloadPlace & { readonly cluster: string },
): Promise<void> {
  const wanted = { ...workloadAt(context, request), audience: clusterAudience(request.cluster) };
  const { entry } = wanted;
  const cached = kept(wanted);
  const fresh = cached !== undefined && isFresh(cached.token, context.now());
  if (fresh && handOut(entry, cached.token, context.parent, context.startedAt)) return print(context, cached);
  const refused = fresh ? tokenId(cached.token) : undefined;
  // Another token in the file, or another cluster, is another question.
  const question = createHash('sha256').update(`${wanted.audience} ${wanted.subjectToken}`).digest('hex');
  const asker = `${context.parent}-${question.slice(0, 16)}`;
  const remembered = failureOfParent(entry, asker, context.now());
  if (remembered !== undefined) throw remembered;
  try {
    const accept = (token: CachedToken): boolean => isFresh(token, context.now()) && tokenId(token) !== refused;
    const renewed = await renew(context, wanted, accept);
    handOut(entry, renewed.token, context.parent, context.startedAt);
    return print(context, renewed);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'forbidden') rememberForParent(entry, asker, error, context.now());
    if (error.code !== 'upstream_unavailable' || cached === undefined || !stillGood(context, entry, cached.token)) {
      throw error;
    }
    context.say(`${error.message}\n  Going on with the present token, which is good for a moment.`);
    return print(context, cached);
  }
}

/**
 * What `drill` shows to the admin API as a workload of role drill. A probe comes every few minutes and finds the same token in the file for
 * an hour; so its key is kept as kubectl's is.
 * @param refused a token that will not do
 * @throws AppError as `getWorkloadToken`
 */
export async function adminCredential(
  context: CliContext,
  place: WorkloadPlace,
  refused?: string,
): Promise<AdminCredential> {
  const wanted = { ...workloadAt(context, place), audience: ADMIN_AUDIENCE };
  const accept = (token: CachedToken): boolean => isFresh(token, context.now()) && token.token !== refused;
  const cached = kept(wanted);
  const { token, binding } =
    cached !== undefined && accept(cached.token) ? cached : await renew(context, wanted, accept);
  const { endpoints } = await discover(wanted.entry, readPins(wanted.entry));
  return { endpoints, binding, token: token.token };
}

/**
 * The clusters that the workload may use, as the server says now; for a kubeconfig.
 * @throws AppError as `getWorkloadToken`
 */
export async function clustersOfWorkload(
  context: CliContext,
  place: WorkloadPlace,
): Promise<readonly ReachableCluster[]> {
  const workload = workloadAt(context, place);
  ensureEntry(workload.entry);
  const { person } = await takeTurn({
    path: workload.entry.lockPath,
    patienceMs: PATIENCE_MS,
    meanwhile: () => undefined,
    work: async (lock) => (await exchangeNow(context, workload, lock)).answer,
  });
  return person?.clusters ?? [];
}

const workloadAt = (context: CliContext, { server, tokenFile }: WorkloadPlace): Workload => ({
  entry: locateWorkload(context.environment.cacheDir, server, tokenFile),
  tokenFile,
  subjectToken: readSubjectToken(tokenFile),
});

function kept({ entry, subjectToken, audience }: Wanted): Credential | undefined {
  const found = readKept(entry, subjectToken);
  const token = found?.tokens[audience];
  return found === undefined || token === undefined ? undefined : { token, binding: found.binding };
}

const print = (context: CliContext, { token, binding }: Credential): void =>
  context.print(execCredential(token, binding, context.environment.execVersion));

/** In its last minute, and not for a parent that has had it and asks before it was told to: there it was refused. */
function stillGood(context: CliContext, entry: CacheEntry, token: CachedToken): boolean {
  const now = context.now();
  if (!isAlive(token, now)) return false;
  return handOut(entry, token, context.parent, context.startedAt) || now >= toldExpiry(token);
}

/** A token that will do: of somebody who asked at the same time, or by an exchange. */
function renew(context: CliContext, wanted: Wanted, accept: (token: CachedToken) => boolean): Promise<Credential> {
  const { entry } = wanted;
  ensureEntry(entry);
  const since = context.now();
  const settled = (): Credential | undefined => {
    const found = kept(wanted);
    if (found !== undefined && accept(found.token)) return found;
    const failure = failureSince(entry, 'refresh', since, context.now());
    if (failure !== undefined) throw failure;
    return undefined;
  };
  return takeTurn({
    path: entry.lockPath,
    patienceMs: PATIENCE_MS,
    meanwhile: settled,
    work: async (lock) => settled() ?? (await exchangeNow(context, wanted, lock)),
  });
}

/** @param workload without an audience it is the first that the workload may have */
async function exchangeNow(
  context: CliContext,
  workload: Workload & Partial<Wanted>,
  lock: HeldLock,
): Promise<Credential & { readonly answer: TokenAnswer }> {
  const { entry, subjectToken, audience } = workload;
  try {
    const { endpoints, pins } = await discover(entry, readPins(entry));
    const before = readKept(entry, subjectToken) ?? { binding: await newBinding(context), tokens: {} };
    if (lock.lost) throw fault('upstream_timeout', 'Another portcullis exchanges this token just now.', 'try again');
    const { binding } = before;
    writePins(entry, pins);
    writeKept(entry, subjectToken, before);
    context.detail(`exchanging the workload’s token at ${endpoints.token}`);
    const answer = await exchange({ server: entry.server.url, endpoints, binding }, subjectToken, audience);
    const { token } = answer;
    const tokens = { ...living(before, context.now()), ...(audience === undefined ? {} : { [audience]: token }) };
    if (!lock.lost) {
      writeKept(entry, subjectToken, { binding, tokens });
      forgetOthers(entry, Object.values(tokens));
    }
    return { token, binding, answer };
  } catch (error) {
    const said = error instanceof AppError ? inWords(error, workload) : error;
    if (said instanceof AppError && said.code === 'upstream_unavailable' && !lock.lost) {
      shareFailure(entry, 'refresh', said, context.now());
    }
    throw said;
  }
}

async function newBinding(context: CliContext): Promise<Binding> {
  const { createBinding } = await import('../session/binding.ts');
  return createBinding(context.now());
}

const living = ({ tokens }: KeptWorkload, now: number): KeptWorkload['tokens'] =>
  Object.fromEntries(Object.entries(tokens).filter(([, token]) => token.expiresAt > now));

/** What went wrong as the log of a job should say it: nobody there can sign in. */
function inWords(error: AppError, { entry, tokenFile, audience }: Workload & Partial<Wanted>): AppError {
  const { reason } = error;
  if (reason === 'discovery_refused') {
    return withNext(error, `ask your platform team whether the host has moved; if so: rm -r ${entry.dir}`);
  }
  if (reason === 'server_untrusted') return withNext(error, 'install the authority that signed it, or give --ca-file');
  if (error.code === 'unauthenticated' || reason === 'token_request_refused') {
    const next = `see that ${tokenFile} holds a fresh token for ${entry.server.url} alone, and that ${aRule(audience)} matches it`;
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
  audience === ADMIN_AUDIENCE ? 'a workload rule of role drill' : 'a workload rule';

/** The same fault with another next step: a workload cannot sign in at a browser. */
function withNext(error: AppError, next: string, code: ErrorCode = error.code): AppError {
  const [what] = error.message.split('\n  Next: ');
  return fault(code, what ?? error.message, next, { reason: error.reason, cause: error });
}

/**
 * Kubernetes mounts such a token as a link that it moves, so links are followed here.
 * @throws AppError `bad_request`
 */
function readSubjectToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw fault('bad_request', `The token file ${path} cannot be read.`, 'check --token-file', { cause });
  }
  if (!isTokenText(text)) throw fault('bad_request', `${path} does not hold one token.`, 'check --token-file');
  return text;
}
