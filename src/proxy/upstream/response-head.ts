/** The head of the API server's response as the client gets it. */
import { filterResponseHeaders } from '../../core/http/response-headers.ts';
import { no, ok } from '../../core/result.ts';
import { isBelowProxy, type RequestInfo } from '../../core/request/request-info.ts';
import type { Result } from '../../core/result.ts';
import type { Admitted } from '../admission/admission.ts';
import { isMachinePath } from '../listener/http1-bridge.ts';
import { proxyTokenRejection, redirectRejection } from '../upstream-rejections.ts';
import type { Rejection } from '../status.ts';
import { valuesOf } from '../raw-headers.ts';

/** kubectl is warned in the last seconds of a session. */
const WARN_SECONDS = 600;

export interface HeadContext {
  readonly admitted: Pick<Admitted, 'info' | 'prefix' | 'target' | 'impersonates' | 'sessionExpiresAt' | 'delegated'>;
  /** `https://host:port` of the API server. */
  readonly origin: string;
  readonly auditId: string;
  /** Absent for a third-party client, whose user may not have the command that needs it. */
  readonly publicUrl: string | undefined;
  /** Of a 403: `accessHint`. */
  readonly hint?: string | undefined;
  /** Epoch seconds. */
  readonly nowSeconds: number;
}

/**
 * Filters the headers, adds our own, and decides about two responses that are not for the client. A redirect is
 * relayed while it stays on the cluster's own paths, and never followed, because the response to it would be
 * fetched with the proxy's token. And a 401 to a request that the proxy makes under its own account is about the
 * proxy's token: relayed, it would have every kubectl throw away a good credential and open a browser.
 * @param raw the API server's headers, flat
 * @returns a flat list for the client
 */
export function responseHead(
  status: number,
  raw: readonly string[],
  context: HeadContext,
): Result<string[], Rejection> {
  const { info, impersonates } = context.admitted;
  const proxySubresource = isBelowProxy(info);
  // A server behind a proxy subresource asks for its own credentials.
  if (status === 401 && impersonates && !proxySubresource) return no(proxyTokenRejection());
  const headers = filterResponseHeaders(raw, { proxySubresource });
  if (status >= 300 && status < 400 && !relayLocations(headers, context)) return no(redirectRejection());
  headers.push('Audit-Id', context.auditId);
  const warning = sessionWarning(context);
  if (warning !== undefined) headers.push('Warning', warning);
  const narrower = context.admitted.delegated?.warning;
  if (narrower !== undefined) headers.push('Warning', `299 - "${narrower}"`);
  if (context.hint !== undefined) headers.push('Warning', `299 - "${context.hint}"`);
  return ok(headers);
}

/** @returns false if one of them may not be relayed */
function relayLocations(headers: string[], context: HeadContext): boolean {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() !== 'location') continue;
    const location = relayedLocation(headers[index + 1] ?? '', context);
    if (location === undefined) return false;
    headers[index + 1] = location;
  }
  return true;
}

/**
 * Returns the target of a redirect as the client gets it: path, query and fragment at the proxy. Undefined if it
 * leads anywhere but to the cluster's own paths.
 *
 * A relayed target has lost its origin, so its path alone must show where it leads. An attacker's pod sends a path
 * that begins with two slashes, made by climbing out of its `…/proxy`, which is another host to its reader (RFC
 * 3986 §4.2), and the client would follow it with its credential; so such a path is not relayed. Our own endpoints,
 * where the host chose the cluster, are none of its paths either: a 307 would take method and body there.
 */
function relayedLocation(location: string, { origin, admitted }: HeadContext): string | undefined {
  let url: URL;
  try {
    url = new URL(location, origin + admitted.target);
  } catch {
    return undefined;
  }
  if (url.origin !== origin || url.username !== '' || url.password !== '') return undefined;
  if (url.pathname.startsWith('//')) return undefined;
  const path = admitted.prefix + url.pathname;
  return isMachinePath(path) ? undefined : `${path}${url.search}${url.hash}`;
}

/**
 * Returns RFC 9111's `Warning` in the form that Kubernetes uses; kubectl prints its text.
 * @see https://kubernetes.io/blog/2020/09/03/warnings/
 */
function sessionWarning({ admitted, nowSeconds, publicUrl }: HeadContext): string | undefined {
  const left = admitted.sessionExpiresAt - nowSeconds;
  if (left > WARN_SECONDS || left <= 0) return undefined;
  const minutes = Math.max(1, Math.floor(left / 60));
  // Does not contain the client's name, which comes from the configuration and may have characters that no header
  // may have (RFC 9110 §5.5).
  const actor = admitted.delegated?.actor;
  if (actor !== undefined) {
    return `299 - "the session delegated to ${actor} ends in ${minutes} min; its user has to delegate again"`;
  }
  const next = publicUrl === undefined ? 'sign in again then' : `run \`portcullis login --server ${publicUrl}\``;
  return `299 - "your session ends in ${minutes} min; ${next}"`;
}

/** Streams that have space for a termination notice: between two events of a watch, and after a line of a log. */
export type LineFormat = 'events' | 'log';

/**
 * Returns the format of a stream that is text line by line. A watch in protobuf may contain the byte of a newline
 * anywhere, so nothing of ours may be put into it.
 */
export function lineFormat(info: RequestInfo, raw: readonly string[]): LineFormat | undefined {
  if (!info.longRunning || valuesOf(raw, 'content-encoding').length > 0) return undefined;
  // A cut response must not look whole, and a notice could fill it up to its length.
  if (valuesOf(raw, 'content-length').length > 0) return undefined;
  const type = valuesOf(raw, 'content-type')[0]?.split(';')[0]?.trim().toLowerCase();
  if (info.verb === 'watch' && type === 'application/json') return 'events';
  return info.subresource === 'log' && type === 'text/plain' ? 'log' : undefined;
}
