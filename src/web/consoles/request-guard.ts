/**
 * Checks whether a request comes from the console's own page, or from a user who opened it.
 *
 * The proxy adds the user's token to each request that a browser sends here. A console whose own scripts sent the
 * token was protected from foreign sites by that, and is not any more: an attacker's page makes the browser send
 * requests that get the token. Consoles are siblings of each other and of our pages, and for `SameSite` siblings
 * are the same site. So the browser's own statement about the origin of a request decides, for every request.
 */
import type { IncomingHttpHeaders } from 'node:http';

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

export type RequestRejection = 'foreign_origin' | 'foreign_site';

export interface GuardedRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly upgrade: boolean;
}

/**
 * Whether the user opened a page, by a link or by typing. Such a request may come from anywhere, and may be
 * redirected to the sign-in.
 */
export function isNavigation({ method, headers }: Pick<GuardedRequest, 'method' | 'headers'>): boolean {
  if (method !== 'GET') return false;
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': dest, accept = '' } = headers;
  // Browsers without fetch metadata state in `Accept` what they load.
  if (mode === undefined && dest === undefined) return accept.includes('text/html');
  return mode === 'navigate' && dest === 'document';
}

/**
 * Judges a request by fetch metadata (W3C Fetch Metadata Request Headers) and `Origin` (RFC 6454 §7). Where a
 * browser sends neither, only a safe method passes.
 *
 * @param origin the console's own
 * @returns undefined where it may pass
 */
export function judgeRequest(request: GuardedRequest, origin: string): RequestRejection | undefined {
  const { method, headers, upgrade } = request;
  // The same-origin policy does not cover WebSockets: the server must check Origin itself (RFC 6455 §10.2).
  const mustTell = upgrade || !SAFE_METHODS.has(method);
  if (headers.origin === undefined ? mustTell : headers.origin !== origin) return 'foreign_origin';
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined;
  return isNavigation(request) && !upgrade ? undefined : 'foreign_site';
}
