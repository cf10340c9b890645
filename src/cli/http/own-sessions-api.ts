/** The client of the API for a user's own delegated sessions: a Bearer token with its audience, bound as every other. */
import { SELF_AUDIENCE } from '../../core/core.ts';
import type { CliContext } from '../context.ts';
import type { CacheEntry } from '../session/cache.ts';
import { renew, type Credential } from '../session/renewal.ts';
import { isFresh, tokenId } from '../session/session.ts';
import { problem } from './admin-api.ts';
import { sendRequest, type HttpResponse } from './http-client.ts';

const PATH = '/-/delegations';

export interface OwnSessionsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Id of a session; absent: all of them. */
  readonly id?: string;
  readonly json?: unknown;
}

/**
 * Returns the session with a fresh token for its own delegated sessions.
 * @throws AppError as `renew`; `forbidden` where the user may not delegate
 */
export function ownSession(context: CliContext, entry: CacheEntry, rejectedTokenId?: string): Promise<Credential> {
  return renew(context, entry, {
    audience: SELF_AUDIENCE,
    accept: (cached) => isFresh(cached, context.nowMs()) && tokenId(cached) !== rejectedTokenId,
  });
}

/**
 * Sends a request.
 * @returns the response, with a status below 300
 * @throws AppError as `ownSession`, otherwise by the problem document
 */
export async function sendForOwnSessions(
  context: CliContext,
  entry: CacheEntry,
  request: OwnSessionsRequest,
): Promise<HttpResponse> {
  const first = await ownSession(context, entry);
  const before = await send(context, first, request);
  // The token may be from an earlier primary generation of the store, so it is tried once more with a new one.
  const response =
    before.status === 401
      ? await send(context, await ownSession(context, entry, tokenId(first.token)), request)
      : before;
  if (response.status >= 200 && response.status < 300) return response;
  const busy = response.status >= 500 || response.status === 429;
  throw problem(entry.server.url, response, busy ? 'try again in a moment' : undefined);
}

function send(context: CliContext, { session, token }: Credential, request: OwnSessionsRequest): Promise<HttpResponse> {
  const { method, id, json } = request;
  const { endpoints, binding } = session;
  const path = id === undefined ? PATH : `${PATH}/${encodeURIComponent(id)}`;
  const { href } = new URL(path, endpoints.token);
  context.detail(`${method} ${href}`);
  const ca = endpoints.apiCa === undefined ? {} : { ca: endpoints.apiCa };
  const body = json === undefined ? {} : { body: { json } };
  return sendRequest({ method, url: href, bearer: token.token, binding, ...ca, ...body });
}
