/**
 * May this request have come from the console's own page, or from a person who opened it?
 *
 * Threat: the gate adds the person's token to what a browser sends here, so a console whose own pages sent the token by script, and were
 * safe from foreign sites by that, is not any more. Consoles are siblings of each other and of our pages, and for `SameSite` siblings are
 * the same site. So the browser's own word about where a request comes from decides, for every request.
 */
import type { IncomingHttpHeaders } from 'node:http';

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

export type RequestRejection = 'foreign_origin' | 'foreign_site';

export interface GuardedRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly upgrade: boolean;
}

/** A page that the person opened, by a link or by typing: what may be sent to sign in, and may come from anywhere. */
export function isNavigation({ method, headers }: Pick<GuardedRequest, 'method' | 'headers'>): boolean {
  if (method !== 'GET') return false;
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': dest, accept = '' } = headers;
  // Browsers without fetch metadata say by `Accept` what they want.
  if (mode === undefined && dest === undefined) return accept.includes('text/html');
  return mode === 'navigate' && dest === 'document';
}

/**
 * Fetch metadata (W3C Fetch Metadata Request Headers) and `Origin` (RFC 6454 §7). Where a browser tells neither, only a safe method passes.
 * @param origin the console's own
 * @returns undefined where it may pass
 */
export function judgeRequest(request: GuardedRequest, origin: string): RequestRejection | undefined {
  const { method, headers, upgrade } = request;
  // WebSockets know no same-origin policy: whoever answers must look at Origin himself (RFC 6455 §10.2).
  const mustTell = upgrade || !SAFE_METHODS.has(method);
  if (headers.origin === undefined ? mustTell : headers.origin !== origin) return 'foreign_origin';
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined;
  return isNavigation(request) && !upgrade ? undefined : 'foreign_site';
}
