/** The head of the API server's answer as the client gets it. */
import { filterResponseHeaders } from '../../core/http/response-headers.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import type { Admitted } from '../admission/admission.ts';
import { isMachinePath } from '../listener/http1-bridge.ts';
import { ownTokenRejection, redirectRejection } from '../rejections.ts';
import type { Rejection } from '../status.ts';
import { valuesOf } from '../raw-headers.ts';

/** Seconds before the end of a session in which kubectl is told. */
const WARN_SECONDS = 600;

export interface HeadContext {
  readonly admitted: Pick<Admitted, 'info' | 'prefix' | 'target' | 'impersonates' | 'sessionExpiresAt'>;
  /** `https://host:port` of the API server. */
  readonly origin: string;
  readonly auditId: string;
  /** Absent for a third-party client, whose user may not have the command that needs it. */
  readonly publicUrl: string | undefined;
  /** Epoch seconds. */
  readonly now: number;
}

/**
 * Filters, adds our own, and decides about two answers that are not for the client. A redirect is relayed while it stays on the cluster's own
 * paths and never followed, because the answer to it would be fetched with the gate's token. And a 401 to a request that the gate makes under
 * its own account is about the gate's token: relayed, it would have every kubectl throw away a good credential and open a browser.
 * @param raw the API server's headers, flat
 * @returns a flat list for the client
 */
export function responseHead(
  status: number,
  raw: readonly string[],
  context: HeadContext,
): Result<string[], Rejection> {
  const { info, impersonates } = context.admitted;
  const proxySubresource = info.subresource === 'proxy' || info.verb === 'proxy';
  // What stands behind a proxy subresource asks for credentials of its own.
  if (status === 401 && impersonates && !proxySubresource) return no(ownTokenRejection());
  const filtered = filterResponseHeaders(raw, { proxySubresource });
  const headers: string[] = [];
  for (let index = 0; index + 1 < filtered.length; index += 2) {
    const name = filtered[index] ?? '';
    const value = filtered[index + 1] ?? '';
    const lower = name.toLowerCase();
    // Ours, below. The API server answers with the same one, since we sent it.
    if (lower === 'audit-id') continue;
    if (lower === 'location') {
      const location = status >= 300 && status < 400 ? ownLocation(value, context) : value;
      if (location === undefined) return no(redirectRejection());
      headers.push(name, location);
    } else headers.push(name, value);
  }
  headers.push('Audit-Id', context.auditId);
  const warning = sessionWarning(context);
  if (warning !== undefined) headers.push('Warning', warning);
  return ok(headers);
}

/**
 * A redirect's target as the client gets it: path, query and fragment at the gate; undefined where it leads anywhere but to the cluster's own paths.
 *
 * Threat: what is relayed has lost its origin, so its path alone must say where it leads. A path that begins with two slashes is another host to
 * whoever reads it (RFC 3986 §4.2), and a pod gets one made by climbing out of its `…/proxy`: the client would follow it with its credential.
 * And the gate's own endpoints, where the host chose the cluster, are none of its paths: a 307 would take method and body there.
 */
function ownLocation(location: string, { origin, admitted }: HeadContext): string | undefined {
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
 * RFC 9111's `Warning` in the form that Kubernetes uses; kubectl prints its text.
 * @see https://kubernetes.io/blog/2020/09/03/warnings/
 */
function sessionWarning({ admitted, now, publicUrl }: HeadContext): string | undefined {
  const left = admitted.sessionExpiresAt - now;
  if (left > WARN_SECONDS || left <= 0) return undefined;
  const minutes = Math.max(1, Math.floor(left / 60));
  // Not the client's name: it comes from the configuration, and may have what no header may (RFC 9110 §5.5).
  const next = publicUrl === undefined ? 'sign in again then' : `run \`portcullis login --server ${publicUrl}\``;
  return `299 - "your session ends in ${minutes} min; ${next}"`;
}

/** True where the answer is a stream of JSON documents, one a line: an event of ours may be put between two. */
export function isJsonLines(raw: readonly string[]): boolean {
  const [type = ''] = valuesOf(raw, 'content-type');
  return /^application\/json\s*(;|$)/i.test(type) && valuesOf(raw, 'content-encoding').length === 0;
}
