/**
 * Decides which requests are accepted: plain data in, a decision out.
 *
 * An accepted request acts as the user. Attackers are other users of this machine, and web pages in the user's
 * browser; programs may also mistake this listener for an ordinary proxy.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { bearerToken } from '../../core/credential/bearer-token.ts';
import { connectionNominated, valuesOf, type RawHeaders } from '../../core/http/header-names.ts';
import { localResponse, type LocalResponse } from './status.ts';

/** What the listener accepts. */
export interface GuardPolicy {
  /** Values of `Host` that mean this listener. */
  readonly hosts: ReadonlySet<string>;
  /** Values of `Origin` that mean this listener. */
  readonly origins: ReadonlySet<string>;
  /** Absent on a Unix socket, whose folder keeps other users out. */
  readonly secret?: string;
}

export interface RequestHead {
  readonly method: string;
  /** The request target, unchanged. */
  readonly target: string;
  readonly headers: RawHeaders;
}

/** @returns why the request is rejected, or undefined where it is accepted */
export function rejectionOf({ method, target, headers }: RequestHead, policy: GuardPolicy): LocalResponse | undefined {
  if (method === 'CONNECT' || method === 'TRACE') {
    // TRACE would show a page the credential that it may not read; CONNECT would make this a proxy to every
    // address.
    return localResponse('MethodNotAllowed', `${method} is not served here`);
  }
  // An absolute form names its own host, which a later reader may believe instead of `Host` (RFC 9112 §3.2.2).
  if (!target.startsWith('/'))
    return localResponse('BadRequest', 'the target must be a path: this is not a proxy for other addresses');
  // An attacker's page can resolve its name to 127.0.0.1 (DNS rebinding) to share an origin with this listener, so
  // its name in `Host` is rejected.
  const [host = '', ...otherHosts] = valuesOf(headers, 'host');
  if (otherHosts.length > 0 || !policy.hosts.has(host.toLowerCase())) {
    return localResponse('Forbidden', 'Host is not the address of this listener');
  }
  // An attacker's page can send requests to this port as the user, so requests whose `Origin` is another site are
  // rejected.
  if (valuesOf(headers, 'origin').some((origin) => !policy.origins.has(origin.toLowerCase()))) {
    return localResponse('Forbidden', 'requests from web pages are rejected');
  }
  return secretRejection(headers, policy.secret) ?? impersonationRejection(headers);
}

/**
 * Any program of any user of this machine can connect to a loopback port, so a secret is required that only readers
 * of the kubeconfig know.
 */
function secretRejection(headers: RawHeaders, secret: string | undefined): LocalResponse | undefined {
  const presented = bearerToken(headers);
  // A secret in a WebSocket subprotocol would be sent on to the server: it is the one credential header that is not
  // replaced.
  const inProtocol = valuesOf(headers, 'sec-websocket-protocol').some((value) => /bearer\.authorization/i.test(value));
  if (inProtocol) return localResponse('BadRequest', 'the token belongs into Authorization, not into a subprotocol');
  if (secret === undefined) return undefined;
  if (presented.ok && presented.value !== undefined && isSame(presented.value, secret)) return undefined;
  return localResponse('Unauthorized', 'the token of this run’s kubeconfig is missing or wrong');
}

/**
 * Compares in constant time, also in the length: an attacker must not learn from the response time how much of a
 * guess is right.
 */
function isSame(presented: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(presented), digest(secret));
}

/**
 * An attacker could send `Connection: Impersonate-User` to have the header dropped on the way, and the request
 * would run with all rights of the user, so it is rejected.
 */
function impersonationRejection(headers: RawHeaders): LocalResponse | undefined {
  const nominated = [...connectionNominated(headers)].some((name) => name.startsWith('impersonate'));
  return nominated ? localResponse('BadRequest', 'Connection must not name Impersonate-* headers') : undefined;
}
