/**
 * The admin API as programs use it: Bearer token with the admin audience, bound to the session's certificate.
 */
import { ADMIN_AUDIENCE } from '../../core/core.ts';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import { nextAfterProblem } from './admin-problems.ts';
import type { CacheEntry } from '../session/cache.ts';
import { clockFirst } from './clock-skew.ts';
import { fault } from '../errors.ts';
import { needsFreshSignIn, signInFreshly } from '../session/fresh-sign-in.ts';
import { ask, type Ask, type EventsAsk, type HttpAnswer } from './http-client.ts';
import { stringAt } from './json-shape.ts';
import type { CliContext } from '../context.ts';
import { plainText } from '../terminal/plain-text.ts';
import { renew } from '../session/renewal.ts';
import { isFresh, tokenId, type Binding, type Endpoints } from '../session/session.ts';

export interface AdminRequest {
  readonly method: Ask['method'];
  /** Below the admin API, for example `sessions?limit=100`. */
  readonly path: string;
  readonly json?: unknown;
  readonly events?: EventsAsk;
  /** Told when the person begins to sign in again for it, and when that is over. */
  readonly onSignIn?: (under: boolean) => void;
}

/**
 * Asks; where the server wants an admin to prove anew who they are, has them sign in and asks the very same again.
 * @returns the answer, with a status below 300
 * @throws AppError `forbidden` for somebody who is no admin, else by what the problem says
 */
export async function askAdmin(context: CliContext, entry: CacheEntry, request: AdminRequest): Promise<HttpAnswer> {
  const first = await askAsSignedIn(context, entry, request);
  // Once: a provider that does not say when somebody signed in must not send them there for ever.
  const answer = needsFreshSignIn(first) ? await askAfterSignIn(context, entry, request, first) : first;
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw problem(entry.server.url, answer, { signsIn: true });
}

async function askAfterSignIn(
  context: CliContext,
  entry: CacheEntry,
  request: AdminRequest,
  { body }: HttpAnswer,
): Promise<HttpAnswer> {
  request.onSignIn?.(true);
  try {
    await signInFreshly(context, entry, body);
  } finally {
    request.onSignIn?.(false);
  }
  return askAsSignedIn(context, entry, request);
}

async function askAsSignedIn(context: CliContext, entry: CacheEntry, request: AdminRequest): Promise<HttpAnswer> {
  const { answer, used } = await askOnce(context, entry, request, undefined);
  if (answer.status !== 401 || needsFreshSignIn(answer)) return answer;
  // The token may be of an earlier life of the store: once more with a new one.
  return (await askOnce(context, entry, request, used)).answer;
}

/** What proves to the admin API who asks. */
export interface AdminCredential {
  readonly endpoints: Pick<Endpoints, 'adminApi' | 'apiCa'>;
  readonly binding: Binding;
  /** With the admin audience. */
  readonly token: string;
}

/**
 * Asks with a credential that is not the laptop's session.
 * @param server for words
 * @param credential finds one; `refused`: a token that will not do
 * @returns, throws as `askAdmin`
 */
export async function askAdminAs(
  context: CliContext,
  server: string,
  credential: (refused?: string) => Promise<AdminCredential>,
  request: AdminRequest,
): Promise<HttpAnswer> {
  const first = await credential();
  const before = await send(context, first, request);
  // As above.
  const answer = before.status === 401 ? await send(context, await credential(first.token), request) : before;
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw problem(server, answer, { signsIn: false });
}

function send(context: CliContext, credential: AdminCredential, request: AdminRequest): Promise<HttpAnswer> {
  const { adminApi, apiCa } = credential.endpoints;
  context.detail(`${request.method} ${adminApi}/${request.path}`);
  return ask({
    method: request.method,
    url: `${adminApi}/${request.path}`,
    bearer: credential.token,
    binding: credential.binding,
    ...(apiCa === undefined ? {} : { ca: apiCa }),
    ...(request.json === undefined ? {} : { body: { json: request.json } }),
    ...(request.events === undefined ? {} : { events: request.events }),
  });
}

async function askOnce(
  context: CliContext,
  entry: CacheEntry,
  request: AdminRequest,
  refused: string | undefined,
): Promise<{ answer: HttpAnswer; used: string }> {
  const { session, token } = await renew(context, entry, {
    audience: ADMIN_AUDIENCE,
    accept: (cached) => isFresh(cached, context.now()) && tokenId(cached) !== refused,
  }).catch((error: unknown) => {
    throw error instanceof AppError && error.code === 'forbidden' ? noAdmin(entry, error) : error;
  });
  const { endpoints, binding } = session;
  const answer = await send(context, { endpoints, binding, token: token.token }, request);
  return { answer, used: tokenId(token) };
}

/** The token endpoint speaks of audiences; who may not have this one is no admin and no auditor. */
function noAdmin(entry: CacheEntry, cause: AppError): AppError {
  const { url } = entry.server;
  const next = `ask your platform team to make you one; if they just have: portcullis login --server ${url}`;
  return fault('forbidden', `You are neither an admin nor an auditor at ${url}.`, next, {
    reason: cause.reason,
    cause,
  });
}

/** RFC 9457: the server's own words, and the room's code for the exit. */
function problem(server: string, answer: HttpAnswer, { signsIn }: { readonly signsIn: boolean }): AppError {
  const code = plainText(stringAt(answer.body, 'code') ?? '', 60);
  const title = plainText(stringAt(answer.body, 'title') ?? '', 200);
  const detail = plainText(stringAt(answer.body, 'detail') ?? '');
  const what = [title || `${server} answered ${answer.status}`, detail].filter((part) => part !== '').join(': ');
  const next = signsIn || answer.status > 403 ? nextOf(server, answer, code) : undefined;
  const words = code === '' ? what : `${what} (${code})`;
  return fault(codeOfStatus(answer.status), words, next, { reason: code || 'admin_request_failed' });
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'forbidden';
  if (status === 400 || status === 422) return 'bad_request';
  if (status === 404) return 'not_found';
  if (status === 409) return 'conflict';
  return 'upstream_unavailable';
}

function nextOf(server: string, { status, clockSkewMs }: HttpAnswer, code: string): string | undefined {
  const own = nextAfterProblem(code);
  if (own !== undefined) return own;
  if (status === 401) return clockFirst(clockSkewMs, `portcullis login --server ${server}`);
  if (status === 403) return 'ask your platform team to make you an admin';
  return status >= 500 || status === 429 ? 'try again in a moment' : undefined;
}
