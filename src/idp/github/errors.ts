/**
 * Turns GitHub's responses into the two outcomes of this module: the user was rejected, or GitHub is unavailable.
 * GitHub's own text goes into `cause`, for the log.
 */
import { AppError } from '../../core/errors.ts';

/** GitHub asks for at least a minute where it limits a user and does not say for how long. */
const DEFAULT_WAIT_MS = 60_000;
/** A reset that is over by our clock must still keep the next request back. */
const MIN_WAIT_MS = 1000;
/** Limits are reset hourly. A header with more is not trusted, else one response could lock a user out permanently. */
const MAX_WAIT_MS = 60 * 60 * 1000;
const MAX_MESSAGE_LENGTH = 200;

/** The parts of a response that are used. An error never has the whole body. */
export interface GithubResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export const unavailable = (provider: string, reason: string, cause?: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} cannot be reached, or its response cannot be trusted. Try again in a minute. If that does not help, tell your platform team.`,
    { reason, cause },
  );

export const rejected = (reason: string, message: string, cause?: unknown): AppError =>
  new AppError('sign_in_refused', message, { reason, cause });

export const refreshRejected = (provider: string, cause?: unknown): AppError =>
  rejected(
    'provider_refresh_refused',
    `Your identity provider no longer confirms your sign-in (${provider}). Sign in again.`,
    cause,
  );

/** @param until epoch milliseconds */
export function rateLimited(provider: string, until: number, cause?: unknown): AppError {
  const time = new Date(until).toISOString().slice(11, 16);
  const message = `${provider} has reached a rate limit for you, until ${time} UTC. Try again then.`;
  return new AppError('provider_unavailable', message, { reason: 'provider_rate_limited', cause });
}

/**
 * Returns until when GitHub does not accept another request.
 * @param nowMs epoch milliseconds
 * @returns epoch milliseconds; undefined where the response is about something else
 * @see https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
export function limitedUntil(response: GithubResponse, nowMs: number): number | undefined {
  if (response.status !== 403 && response.status !== 429) return undefined;
  const retryAfter = wholeNumber(response.headers.get('retry-after'));
  const reset = wholeNumber(response.headers.get('x-ratelimit-reset'));
  const exhausted = response.headers.get('x-ratelimit-remaining') === '0';
  let until: number | undefined;
  if (retryAfter !== undefined) until = nowMs + retryAfter * 1000;
  else if (exhausted && reset !== undefined) until = reset * 1000;
  // A secondary limit may come without either; only its text distinguishes it from "forbidden".
  else if (exhausted || response.status === 429 || /\brate limit\b/i.test(messageOf(response)))
    until = nowMs + DEFAULT_WAIT_MS;
  return until === undefined ? undefined : Math.min(Math.max(until, nowMs + MIN_WAIT_MS), nowMs + MAX_WAIT_MS);
}

/** The token is not authorised for the single sign-on of the organisation that was asked about. */
const needsSso = (response: GithubResponse): boolean => response.status === 403 && response.headers.has('x-github-sso');

/** The error of a response that is neither the requested one nor a limit. */
export function responseError(provider: string, path: string, response: GithubResponse): AppError {
  const cause = new Error(`${path} was answered ${response.status}: ${messageOf(response)}`);
  if (response.status === 401) return refreshRejected(provider, cause);
  if (needsSso(response)) return rejected('organization_sso_required', ssoMessage('an organisation of yours'), cause);
  // There is no code for it. If it were taken for an outage, the streams of a suspended user would stay open for
  // the whole grace.
  if (response.status === 403 && /\bsuspended\b/i.test(messageOf(response))) {
    return rejected('provider_account_suspended', `Your account at ${provider} is suspended.`, cause);
  }
  return unavailable(provider, response.status === 404 ? 'provider_not_found' : 'provider_error', cause);
}

export const ssoMessage = (organization: string, where?: string): string =>
  `This sign-in is not authorised for the single sign-on of ${organization}. ` +
  `${where === undefined ? 'Sign in to its single sign-on' : `Open ${where}`}, then sign in here again.`;

function messageOf({ text }: GithubResponse): string {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && 'message' in body)
      return String(body.message).slice(0, MAX_MESSAGE_LENGTH);
  } catch {
    return 'not JSON';
  }
  return 'without a message';
}

const wholeNumber = (value: string | null): number | undefined =>
  value !== null && /^\d{1,12}$/.test(value) ? Number(value) : undefined;
