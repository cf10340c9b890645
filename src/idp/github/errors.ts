/**
 * From GitHub's answers to the two outcomes of this room: the person was refused, or GitHub is not to be had. GitHub's own words go into
 * `cause`, for the log.
 */
import { AppError } from '../../core/errors.ts';

/** GitHub asks for at least a minute where it limits somebody and does not say for how long. */
const LEAST_WAIT_MS = 60_000;
/** Limits are reset hourly; a header that says more is not believed, else one answer could shut a person out for good. */
const MOST_WAIT_MS = 60 * 60 * 1000;
const MOST_WORDS = 200;

/** What is told of an answer: never its body whole. */
export interface GithubAnswer {
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

export const refused = (reason: string, message: string, cause?: unknown): AppError =>
  new AppError('sign_in_refused', message, { reason, cause });

export const noLongerVouches = (provider: string, cause?: unknown): AppError =>
  refused(
    'provider_refresh_refused',
    `Your identity provider no longer vouches for you (${provider}). Sign in again.`,
    cause,
  );

/** @param until epoch milliseconds */
export function rateLimited(provider: string, until: number, cause?: unknown): AppError {
  const time = new Date(until).toISOString().slice(11, 16);
  const words = `${provider} limits how often it may be asked about you, until ${time} UTC. Try again then.`;
  return new AppError('provider_unavailable', words, { reason: 'provider_rate_limited', cause });
}

/**
 * Until when GitHub does not want to be asked again.
 * @param now epoch milliseconds
 * @returns epoch milliseconds; undefined where the answer is about something else
 * @see https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 */
export function limitedUntil(answer: GithubAnswer, now: number): number | undefined {
  if (answer.status !== 403 && answer.status !== 429) return undefined;
  const retryAfter = wholeNumber(answer.headers.get('retry-after'));
  const reset = wholeNumber(answer.headers.get('x-ratelimit-reset'));
  const exhausted = answer.headers.get('x-ratelimit-remaining') === '0';
  let until: number | undefined;
  if (retryAfter !== undefined) until = now + retryAfter * 1000;
  else if (exhausted && reset !== undefined) until = reset * 1000;
  // A secondary limit may come without either; only its words tell it from "forbidden".
  else if (exhausted || answer.status === 429 || /\brate limit\b/i.test(wordsOf(answer))) until = now + LEAST_WAIT_MS;
  return until === undefined ? undefined : Math.min(Math.max(until, now + 1000), now + MOST_WAIT_MS);
}

/** GitHub's word that a token is not authorised for the single sign-on of the organisation that was asked about. */
const needsSso = (answer: GithubAnswer): boolean => answer.status === 403 && answer.headers.has('x-github-sso');

/** An answer that is neither what was asked for nor a limit. */
export function answerFault(provider: string, path: string, answer: GithubAnswer): AppError {
  const cause = new Error(`${path} was answered ${answer.status}: ${wordsOf(answer)}`);
  if (answer.status === 401) return noLongerVouches(provider, cause);
  if (needsSso(answer)) return refused('organization_sso_required', ssoWords('an organisation of yours'), cause);
  // There is no code for it. Threat: taken for an outage, it would leave the streams of a suspended person open for the whole grace.
  if (answer.status === 403 && /\bsuspended\b/i.test(wordsOf(answer))) {
    return refused('provider_account_suspended', `Your account at ${provider} is suspended.`, cause);
  }
  return unavailable(provider, answer.status === 404 ? 'provider_not_found' : 'provider_error', cause);
}

export const ssoWords = (organization: string, where?: string): string =>
  `This sign-in is not authorised for the single sign-on of ${organization}. ` +
  `${where === undefined ? 'Sign in to its single sign-on' : `Open ${where}`}, then sign in here again.`;

function wordsOf({ text }: GithubAnswer): string {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && 'message' in body)
      return String(body.message).slice(0, MOST_WORDS);
  } catch {
    return 'not JSON';
  }
  return 'without words';
}

const wholeNumber = (value: string | null): number | undefined =>
  value !== null && /^\d{1,12}$/.test(value) ? Number(value) : undefined;
