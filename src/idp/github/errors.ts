/**
 * From GitHub's answers to the two outcomes of this room: the person was refused, or GitHub is not to be had. GitHub's own words go into
 * `cause`, for the log.
 */
import { AppError } from '../../core/errors.ts';

/** GitHub asks for at least a minute where it limits somebody and does not say for how long. */
const MIN_WAIT_MS = 60_000;
/** Limits are reset hourly; a header that says more is not believed, else one answer could shut a person out for good. */
const MAX_WAIT_MS = 60 * 60 * 1000;
const MAX_MESSAGE_LENGTH = 200;

/** What is told of an answer: never its body whole. */
export interface GithubResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export const unavailable = (provider: string, reason: string, cause?: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} cannot be reached or gave an answer that cannot be trusted. Try again in a minute; if it stays, tell your platform team.`,
    { reason, cause },
  );

export const rejected = (reason: string, message: string, cause?: unknown): AppError =>
  new AppError('sign_in_refused', message, { reason, cause });

export const refreshRejected = (provider: string, cause?: unknown): AppError =>
  rejected(
    'provider_refresh_refused',
    `Your identity provider no longer vouches for you (${provider}). Sign in again.`,
    cause,
  );

/** @param until epoch milliseconds */
export function rateLimited(provider: string, until: number, cause?: unknown): AppError {
  const time = new Date(until).toISOString().slice(11, 16);
  const message = `${provider} limits how often it may be asked about you, until ${time} UTC. Try again then.`;
  return new AppError('provider_unavailable', message, { reason: 'provider_rate_limited', cause });
}

/**
 * Until when GitHub does not want to be asked again.
 * @param now epoch milliseconds
 * @returns epoch milliseconds; undefined where the answer is about something else
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
  // A secondary limit may come without either; only its words tell it from "forbidden".
  else if (exhausted || response.status === 429 || /\brate limit\b/i.test(messageOf(response)))
    until = nowMs + MIN_WAIT_MS;
  return until === undefined ? undefined : Math.min(Math.max(until, nowMs + 1000), nowMs + MAX_WAIT_MS);
}

/** GitHub's word that a token is not authorised for the single sign-on of the organisation that was asked about. */
const needsSso = (response: GithubResponse): boolean => response.status === 403 && response.headers.has('x-github-sso');

/** An answer that is neither what was asked for nor a limit. */
export function responseError(provider: string, path: string, response: GithubResponse): AppError {
  const cause = new Error(`${path} was answered ${response.status}: ${messageOf(response)}`);
  if (response.status === 401) return refreshRejected(provider, cause);
  if (needsSso(response)) return rejected('organization_sso_required', ssoMessage('an organisation of yours'), cause);
  // There is no code for it. Threat: taken for an outage, it would leave the streams of a suspended person open for the whole grace.
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
  return 'without words';
}

const wholeNumber = (value: string | null): number | undefined =>
  value !== null && /^\d{1,12}$/.test(value) ? Number(value) : undefined;
