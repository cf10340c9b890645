/**
 * A vendor's own API in addition to OpenID Connect, from which groups are read: one fixed host, JSON, page after
 * page.
 */
import { AppError } from '../../core/errors.ts';
import { timeoutSignal } from '../../timing/timing.ts';
import type { Outbound } from '../outbound.ts';

/**
 * For all pages together: the user waits, and a session's claim to be re-checked does not last for ever
 * (milliseconds).
 */
const ALL_PAGES_MS = 12_000;
const MAX_PAGES = 60;

export interface Page<T> {
  readonly items: readonly T[];
  /** Absent on the last page. */
  readonly next?: string | undefined;
}

export interface PagesRequest<T> {
  readonly provider: string;
  readonly outbound: Outbound;
  readonly first: string;
  readonly accessToken: string;
  /** @throws where the body is not what the API's documentation says */
  readonly read: (body: unknown, url: URL) => Page<T>;
  readonly maxGroups: number;
  /** For the audit log: what could not be resolved. */
  readonly reason: string;
  /** The user's message where the API refuses to say. */
  readonly rejection: string;
}

/**
 * Reads all pages or fails: a part of a user's groups is not their groups.
 * @throws AppError `sign_in_refused` where the API rejects the request or there are too many,
 *   `provider_unavailable` where it is down or its response is invalid
 */
export async function allPages<T>(request: PagesRequest<T>): Promise<readonly T[]> {
  const { provider, maxGroups } = request;
  const origin = new URL(request.first).origin;
  const deadline = timeoutSignal(ALL_PAGES_MS);
  const found: T[] = [];
  let next: string | undefined = request.first;
  for (let page = 0; next !== undefined; page += 1) {
    if (page >= MAX_PAGES) throw unavailable(request, new Error(`more than ${MAX_PAGES} pages`));
    // An attacker who controls a response could send the user's token to another host, so every page is at this
    // origin.
    const url = URL.parse(next);
    if (url?.origin !== origin) throw unavailable(request, new Error('the next page is at another place'));
    const { items, next: following } = await onePage(request, url, deadline);
    found.push(...items);
    if (found.length > maxGroups) {
      throw new AppError(
        'sign_in_refused',
        `You have more than ${maxGroups} groups, which is the limit. Ask your platform team to limit the groups that ${provider} sends.`,
        { reason: 'groups_too_many' },
      );
    }
    next = following;
  }
  return found;
}

async function onePage<T>(request: PagesRequest<T>, url: URL, signal: AbortSignal): Promise<Page<T>> {
  const { outbound, accessToken } = request;
  const headers = { accept: 'application/json', authorization: `Bearer ${accessToken}` };
  let response: Response;
  try {
    response = await outbound(url.href, { method: 'GET', headers, signal });
  } catch (error) {
    throw unavailable(request, error);
  }
  const { status } = response;
  if (status >= 400 && status < 500 && !TRANSIENT.has(status)) {
    const cause = new Error(`${url.pathname} answered ${status}`);
    throw new AppError('sign_in_refused', request.rejection, { reason: request.reason, cause });
  }
  if (status !== 200) throw unavailable(request, new Error(`${url.pathname} answered ${status}`));
  try {
    return request.read(await response.json(), url);
  } catch (error) {
    throw unavailable(request, error);
  }
}

/** Request timeout and too many requests: not about this user. */
const TRANSIENT = new Set([408, 429]);

const unavailable = (
  { provider, reason }: Pick<PagesRequest<unknown>, 'provider' | 'reason'>,
  cause: unknown,
): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} could not return your groups. Try again in a minute. If that does not help, tell your platform team.`,
    { reason, cause },
  );
