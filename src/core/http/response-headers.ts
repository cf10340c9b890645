/**
 * Headers from the API server back to the client.
 *
 * Threat: what a pod or service answers below `…/proxy` is anybody's content under the gate's own origin. It may set no cookie there and
 * run no script.
 */
import {
  canonicalName,
  connectionNominated,
  isFieldValue,
  isHopByHop,
  isToken,
  pairs,
  type RawHeaders,
} from './header-names.ts';

export interface ResponseHeadersOptions {
  /** The response belongs to a `…/proxy` subresource. */
  readonly proxySubresource: boolean;
}

/**
 * Would speak for the server's origin: cookies, other places to find it, and where a browser reports to about every request there (Network Error
 * Logging, Reporting API): an attacker's pod would learn of them for as long as it says.
 */
const DENIED = new Set([
  'set-cookie',
  'set-cookie2',
  'alt-svc',
  'strict-transport-security',
  'public-key-pins',
  'nel',
  'report-to',
  'reporting-endpoints',
]);
const DENIED_BELOW_PROXY = new Set([
  'content-security-policy',
  'content-security-policy-report-only',
  'clear-site-data',
  'service-worker-allowed',
  'www-authenticate',
  'refresh',
]);

/** @returns a flat list for the client's response */
export function filterResponseHeaders(raw: RawHeaders, { proxySubresource }: ResponseHeadersOptions): string[] {
  const headers: string[] = [];
  const nominated = connectionNominated(raw);
  for (const [name, value] of pairs(raw)) {
    const canonical = canonicalName(name);
    if (!isToken(name) || !isFieldValue(value)) continue;
    if (isHopByHop(canonical) || nominated.has(canonical) || DENIED.has(canonical)) continue;
    if (proxySubresource && DENIED_BELOW_PROXY.has(canonical)) continue;
    headers.push(name, value);
  }
  if (proxySubresource) headers.push('Content-Security-Policy', 'sandbox');
  return headers;
}
