/** The client of the admin API: a Bearer token with the admin audience, bound to the session's certificate. */
import { ADMIN_AUDIENCE } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { nextStepFor } from './admin-problems.ts';
import type { CacheEntry } from '../session/cache.ts';
import { clockFirst } from './clock-skew.ts';
import { cliError } from '../errors.ts';
import { needsFreshSignIn } from '../session/fresh-sign-in.ts';
import { LIMITS, sendRequest, type HttpRequest, type EventStreamRequest, type HttpResponse } from './http-client.ts';
import type { CliContext } from '../context.ts';
import { readNetwork } from '../environment.ts';
import { codeOfProblem, problem } from './problem-response.ts';
import { renew } from '../session/renewal.ts';
import { isFresh, tokenId, type Binding, type Endpoints } from '../session/session.ts';
import { defined } from '../../core/defined.ts';

export interface AdminRequest {
  readonly method: HttpRequest['method'];
  /** The path below the admin API, for example `/sessions?limit=100`. */
  readonly path: string;
  readonly json?: unknown;
  readonly events?: EventStreamRequest;
  /** The longest wait for its response; absent: as for any request. */
  readonly timeoutMs?: number;
  /** Called when the user begins to authenticate again for the request, and when that ends. */
  readonly onSignIn?: (under: boolean) => void;
}

/**
 * Sends a request. Where the server requires a fresh sign-in, the user authenticates again, and the same request is sent
 * again. The session stays, with what was granted to it.
 * @returns the response, with a status below 300
 * @throws AppError `forbidden` for a user who is no admin, otherwise by the problem document
 */
export async function sendAdminRequest(
  context: CliContext,
  entry: CacheEntry,
  request: AdminRequest,
): Promise<HttpResponse> {
  const first = await sendWithSession(context, entry, request);
  // Only once: a provider that does not report the time of the sign-in must not cause an endless loop.
  const response = needsFreshSignIn(first) ? await sendAfterProof(context, entry, request, first) : first;
  if (response.status >= 200 && response.status < 300) return response;
  throw problem(entry.server.url, response, nextOf(entry.server.url, response));
}

async function sendAfterProof(
  context: CliContext,
  entry: CacheEntry,
  request: AdminRequest,
  { body }: HttpResponse,
): Promise<HttpResponse> {
  request.onSignIn?.(true);
  try {
    const { proveFreshly } = await import('../session/step-up.ts');
    await proveFreshly(context, entry, body, 'admins');
  } finally {
    request.onSignIn?.(false);
  }
  return sendWithSession(context, entry, request);
}

async function sendWithSession(context: CliContext, entry: CacheEntry, request: AdminRequest): Promise<HttpResponse> {
  const { response, used } = await sendOnce(context, entry, request, undefined);
  if (response.status !== 401 || needsFreshSignIn(response)) return response;
  // The token may be from an earlier primary generation of the store, so it is tried once more with a new one.
  return (await sendOnce(context, entry, request, used)).response;
}

/** The credential for the admin API. */
export interface AdminCredential {
  readonly endpoints: Pick<Endpoints, 'adminApi' | 'apiCa'>;
  readonly binding: Binding;
  /** A token with the admin audience. */
  readonly token: string;
}

/**
 * Sends a request with a credential other than the cached session.
 * @param server for messages
 * @param credential returns one; it is given a token that was rejected, if any
 * @returns, throws as `sendAdminRequest`
 */
export async function sendAdminRequestAs(
  context: CliContext,
  server: string,
  credential: (rejectedToken?: string) => Promise<AdminCredential>,
  request: AdminRequest,
): Promise<HttpResponse> {
  const first = await credential();
  const before = await send(context, first, request);
  // As above.
  const response = before.status === 401 ? await send(context, await credential(first.token), request) : before;
  if (response.status >= 200 && response.status < 300) return response;
  throw problem(server, response, response.status > 403 ? nextOf(server, response) : undefined);
}

function send(context: CliContext, credential: AdminCredential, request: AdminRequest): Promise<HttpResponse> {
  const { adminApi, apiCa } = credential.endpoints;
  context.detail(`${request.method} ${adminApi}${request.path}`);
  const sent = {
    method: request.method,
    url: `${adminApi}${request.path}`,
    bearer: credential.token,
    binding: credential.binding,
    ...defined({ ca: apiCa }),
    ...(request.json === undefined ? {} : { body: { json: request.json } }),
    ...defined({ events: request.events }),
  };
  return sendRequest(sent, readNetwork(), { ...LIMITS, ...defined({ timeoutMs: request.timeoutMs }) });
}

/**
 * Returns the session with a fresh token for the admin API.
 * @throws AppError `forbidden` for a user who is no admin
 */
export function adminSession(
  context: CliContext,
  entry: CacheEntry,
  rejectedTokenId?: string,
): ReturnType<typeof renew> {
  return renew(context, entry, {
    audience: ADMIN_AUDIENCE,
    accept: (cached) => isFresh(cached, context.nowMs()) && tokenId(cached) !== rejectedTokenId,
  }).catch((error: unknown) => {
    throw error instanceof AppError && error.code === 'forbidden' ? noAdmin(entry, error) : error;
  });
}

async function sendOnce(
  context: CliContext,
  entry: CacheEntry,
  request: AdminRequest,
  rejectedTokenId: string | undefined,
): Promise<{ response: HttpResponse; used: string }> {
  const { session, token } = await adminSession(context, entry, rejectedTokenId);
  const { endpoints, binding } = session;
  const response = await send(context, { endpoints, binding, token: token.token }, request);
  return { response, used: tokenId(token) };
}

/**
 * The token endpoint's error is about audiences. A user who may not have this one is neither an admin nor an
 * auditor.
 */
function noAdmin(entry: CacheEntry, cause: AppError): AppError {
  const { url, delegated } = entry.server;
  if (delegated !== undefined) {
    const what = 'A delegated session does not administer, also beneath that of an admin.';
    return cliError('forbidden', what, 'do it in your own session', { reason: cause.reason, cause });
  }
  const next = `portcullis sessions lists your own, also at ${url}/me, and portcullis delegations those that you delegated. To see others, ask your platform team; if they just made you an admin: portcullis login --server ${url}`;
  return cliError('forbidden', `You are neither an admin nor an auditor at ${url}.`, next, {
    reason: cause.reason,
    cause,
  });
}

function nextOf(server: string, response: HttpResponse): string | undefined {
  const { status, clockSkewMs } = response;
  const known = nextStepFor(codeOfProblem(response));
  if (known !== undefined) return known;
  if (status === 401) return clockFirst(clockSkewMs, `portcullis login --server ${server}`);
  if (status === 403) return 'ask your platform team to make you an admin';
  return status >= 500 || status === 429 ? 'try again in a moment' : undefined;
}
