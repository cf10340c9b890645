/** A vendor's own API beside OpenID Connect, from which groups are read: one fixed host, JSON, page after page. */
import { AppError } from '../../core/errors.ts';
import { timeoutSignal } from '../../timing/timing.ts';
import type { Outbound } from '../outbound.ts';

/** For all pages together: the person waits, and a session's claim to be re-checked does not last for ever (milliseconds). */
const ALL_PAGES_MS = 12_000;
const MAX_PAGES = 60;

export interface Page<T> {
  readonly items: readonly T[];
  /** Absent: this was the last. */
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
  /** For the record: what could not be worked out. */
  readonly reason: string;
  /** What the person is told where the API says that it will not tell. */
  readonly rejection: string;
}

/**
 * Reads all pages or fails: some of a person's groups are not their groups.
 * @throws AppError `sign_in_refused` where the API refuses or there are too many, `provider_unavailable` where it is down or answers nonsense
 */
export async function allPages<T>(request: PagesRequest<T>): Promise<readonly T[]> {
  const { provider, maxGroups } = request;
  const origin = new URL(request.first).origin;
  const deadline = timeoutSignal(ALL_PAGES_MS);
  const found: T[] = [];
  let next: string | undefined = request.first;
  for (let page = 0; next !== undefined; page += 1) {
    if (page >= MAX_PAGES) throw unavailable(request, new Error(`more than ${MAX_PAGES} pages`));
    // Threat: a next page elsewhere would take the person's token there.
    const url = URL.parse(next);
    if (url?.origin !== origin) throw unavailable(request, new Error('the next page is at another place'));
    const { items, next: following } = await onePage(request, url, deadline);
    found.push(...items);
    if (found.length > maxGroups) {
      throw new AppError(
        'sign_in_refused',
        `You have more than ${maxGroups} groups, which is the most that can be used. Ask your platform team to limit the groups that ${provider} sends.`,
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

/** Request timeout and too many requests: not about this person. */
const TRANSIENT = new Set([408, 429]);

const unavailable = (
  { provider, reason }: Pick<PagesRequest<unknown>, 'provider' | 'reason'>,
  cause: unknown,
): AppError =>
  new AppError(
    'provider_unavailable',
    `${provider} could not say which groups you are in. Try again in a minute; if it stays, tell your platform team.`,
    { reason, cause },
  );
