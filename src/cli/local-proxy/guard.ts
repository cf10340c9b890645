/**
 * Which requests are taken at all: plain data in, a decision out.
 *
 * Whoever is let through acts as the user. Who knocks: other users of this machine, web pages in the user's browser, and programs that
 * mistake this for a proxy of the ordinary kind.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { bearerToken } from '../../core/credential/bearer-token.ts';
import { connectionNominated, valuesOf, type RawHeaders } from '../../core/http/header-names.ts';
import { localResponse, type LocalResponse } from './status.ts';

/** What is listened on. */
export interface GuardPolicy {
  /** Values of `Host` that mean this listener. */
  readonly hosts: ReadonlySet<string>;
  /** Values of `Origin` that mean it. */
  readonly origins: ReadonlySet<string>;
  /** Absent on a Unix socket, whose folder lets nobody else in. */
  readonly secret?: string;
}

export interface RequestHead {
  readonly method: string;
  /** The request target as it came. */
  readonly target: string;
  readonly headers: RawHeaders;
}

/** @returns why the request is refused, or undefined where it may go on */
export function rejectionOf({ method, target, headers }: RequestHead, policy: GuardPolicy): LocalResponse | undefined {
  if (method === 'CONNECT' || method === 'TRACE') {
    // TRACE would show a page the credential that it may not read; CONNECT would make this a way to everywhere.
    return localResponse('MethodNotAllowed', `${method} is not served here`);
  }
  // An absolute form names a host of its own, which a reader further on may believe instead of `Host` (RFC 9112 §3.2.2).
  if (!target.startsWith('/'))
    return localResponse('BadRequest', 'the target must be a path: this is no proxy for other addresses');
  // A page of another site has its name point to 127.0.0.1 (DNS rebinding) to be of one origin with this listener: its name stands here.
  const [host = '', ...otherHosts] = valuesOf(headers, 'host');
  if (otherHosts.length > 0 || !policy.hosts.has(host.toLowerCase())) {
    return localResponse('Forbidden', 'Host is not the address that is listened on');
  }
  // A page of another site sends requests to this port in the user's name; browsers say where from.
  if (valuesOf(headers, 'origin').some((origin) => !policy.origins.has(origin.toLowerCase()))) {
    return localResponse('Forbidden', 'requests of web pages are not served');
  }
  return secretRejection(headers, policy.secret) ?? impersonationRejection(headers);
}

/** Any program of any user of this machine can connect to a loopback port; only who can read the kubeconfig knows the secret. */
function secretRejection(headers: RawHeaders, secret: string | undefined): LocalResponse | undefined {
  const presented = bearerToken(headers);
  // A secret in a WebSocket subprotocol would go on to the gate: it is the one credential header that is not replaced.
  const inProtocol = valuesOf(headers, 'sec-websocket-protocol').some((value) => /bearer\.authorization/i.test(value));
  if (inProtocol) return localResponse('BadRequest', 'the token goes into Authorization, not into a subprotocol');
  if (secret === undefined) return undefined;
  if (presented.ok && presented.value !== undefined && isSame(presented.value, secret)) return undefined;
  return localResponse('Unauthorized', 'the token of the kubeconfig that this run has written is missing or wrong');
}

/** In constant time, also in the length: how much of a guess is right must not be told by the time that the answer takes. */
function isSame(presented: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(presented), digest(secret));
}

/** `Connection: Impersonate-User` would have the header dropped on the way, and the request be done with all the user's own rights. */
function impersonationRejection(headers: RawHeaders): LocalResponse | undefined {
  const nominated = [...connectionNominated(headers)].some((name) => name.startsWith('impersonate'));
  return nominated ? localResponse('BadRequest', 'Connection must not name Impersonate-* headers') : undefined;
}
