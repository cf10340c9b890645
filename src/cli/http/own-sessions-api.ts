/**
 * The client of the APIs for a user's own sessions: those delegated from it, access requests and step-up. A Bearer token
 * with their audience, bound as every other.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { SELF_AUDIENCE } from '../../core/core.ts';
import type { CliContext } from '../context.ts';
import { readNetwork } from '../environment.ts';
import type { CacheEntry } from '../session/cache.ts';
import { needsFreshSignIn } from '../session/fresh-sign-in.ts';
import { renew, type Credential } from '../session/renewal.ts';
import { isFresh, tokenId } from '../session/session.ts';
import { LIMITS, sendRequest, type HttpResponse } from './http-client.ts';
import { stringAt, type JsonRecord } from './json-shape.ts';
import { problem } from './problem-response.ts';
import { defined } from '../../core/defined.ts';

export interface OwnSessionsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** On the api host, such as `/-/delegations`. */
  readonly path: string;
  readonly json?: unknown;
  /** Seconds that the server may wait before it responds. */
  readonly waits?: number;
}

/** What a caller does about a problem of the server. */
export interface OwnSessionsOptions {
  /** The next step of the user, by the code of the problem. */
  readonly nextSteps?: ReadonlyMap<string, string>;
  /** Has the user authenticate again, where the server requires it. The request is then sent again. */
  readonly proveFreshly?: (problem: JsonRecord) => Promise<void>;
}

/**
 * Returns the session with a fresh token for its own API.
 * @throws AppError as `renew`
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
  { nextSteps, proveFreshly }: OwnSessionsOptions = {},
): Promise<HttpResponse> {
  const before = await sendWithSession(context, entry, request);
  let response = before;
  // Only once: a provider that does not report the time of the sign-in must not cause an endless loop.
  if (proveFreshly !== undefined && needsFreshSignIn(before)) {
    await proveFreshly(before.body);
    response = await sendWithSession(context, entry, request);
  }
  if (response.status >= 200 && response.status < 300) return response;
  const busy = response.status >= 500 || response.status === 429;
  const next = nextSteps?.get(stringAt(response.body, 'code') ?? '');
  throw problem(entry.server.url, response, next ?? (busy ? 'try again in a moment' : undefined));
}

async function sendWithSession(
  context: CliContext,
  entry: CacheEntry,
  request: OwnSessionsRequest,
): Promise<HttpResponse> {
  const first = await ownSession(context, entry);
  const response = await sendInTurn(context, first, request);
  if (response.status !== 401 || needsFreshSignIn(response)) return response;
  // The token may be from an earlier primary generation of the store, so it is tried once more with a new one.
  return sendInTurn(context, await ownSession(context, entry, tokenId(first.token)), request);
}

/** How often a request is sent again, and how long a command waits for that at most. */
const AGAIN = 5;
const LONGEST_PAUSE_SECONDS = 3;

/** The server does one thing after the other for each account, so several commands of one user wait for each other. */
async function sendInTurn(
  context: CliContext,
  credential: Credential,
  request: OwnSessionsRequest,
): Promise<HttpResponse> {
  for (let again = AGAIN; ; again -= 1) {
    const response = await send(context, credential, request);
    const { status, retryAfterSeconds = Number.POSITIVE_INFINITY } = response;
    if (status !== 429 || again === 0 || retryAfterSeconds > LONGEST_PAUSE_SECONDS) return response;
    // Not all of them at the same moment again.
    await pause(retryAfterSeconds * 1000 * (1 + Math.random()));
  }
}

function send(context: CliContext, { session, token }: Credential, request: OwnSessionsRequest): Promise<HttpResponse> {
  const { method, path, json, waits = 0 } = request;
  const { endpoints, binding } = session;
  const { href } = new URL(path, endpoints.token);
  context.detail(`${method} ${href}`);
  const ca = defined({ ca: endpoints.apiCa });
  const body = json === undefined ? {} : { body: { json } };
  const limits = { ...LIMITS, timeoutMs: LIMITS.timeoutMs + waits * 1000 };
  return sendRequest({ method, url: href, bearer: token.token, binding, ...ca, ...body }, readNetwork(), limits);
}
