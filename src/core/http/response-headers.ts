/**
 * Filters headers from the API server back to the client.
 *
 * An attacker controls a pod or service below `…/proxy`, and its responses appear under the proxy's own origin. So
 * they may set no cookie there and run no script.
 */
import { headerFilter, type RawHeaders } from './header-names.ts';

export interface ResponseHeadersOptions {
  /** The response belongs to a `…/proxy` subresource. */
  readonly proxySubresource: boolean;
}

/**
 * Headers that would act for the server's origin: cookies, alternative services, HSTS and pins, and reporting
 * endpoints (Network Error Logging, Reporting API), through which an attacker's pod would learn of every request there
 * for as long as it chooses.
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
  // The response gets our own. The API server returns the same one, because we sent it.
  'audit-id',
]);
const DENIED_BELOW_PROXY = new Set([
  ...DENIED,
  'content-security-policy',
  'content-security-policy-report-only',
  'clear-site-data',
  // It would let a script there see requests of other paths.
  'service-worker-allowed',
  // kubectl would ask for a password.
  'www-authenticate',
  // It leaves the page without any script.
  'refresh',
  // kubectl prints it like one of ours: "your session ends; run …".
  'warning',
]);

/** @returns a flat list for the client's response */
export function filterResponseHeaders(raw: RawHeaders, { proxySubresource }: ResponseHeadersOptions): string[] {
  const passes = headerFilter(raw, { names: proxySubresource ? DENIED_BELOW_PROXY : DENIED });
  const headers: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    if (passes(name, value)) headers.push(name, value);
  }
  if (proxySubresource) headers.push('Content-Security-Policy', 'sandbox');
  return headers;
}
