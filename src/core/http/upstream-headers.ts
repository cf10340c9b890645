/**
 * Headers for the API server, built from an allow-list and never copied and patched
 * (docs/architecture.md#invariant-4).
 *
 * Impersonation fails open at the API server: without `Impersonate-User` a request runs as the proxy itself, so an
 * identity without a name is an error here and never a request. The API server would obey an attacker's own
 * `Impersonate-*` under the proxy's token, so these are never copied. Joined `Impersonate-Group` lines would be
 * one group with a comma in its name, so each group has a separate line.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
 */
import { EXTRA_ACTOR, EXTRA_DELEGATED_SESSION, EXTRA_GRANT, EXTRA_ORIGINAL_USER, EXTRA_SESSION } from '../core.ts';
import { AppError } from '../errors.ts';
import { byHeaders } from './by-headers.ts';
import { constrainedMode, unconstrained } from './constrained-impersonation.ts';
import { isOwnExtraKey, isReservedExtraKey } from '../identity/extra-keys.ts';
import {
  asBytes,
  canonicalName,
  headerFilter,
  isFieldValue,
  isToken,
  pairs,
  valuesOf,
  type RawHeaders,
} from './header-names.ts';
import type { Identity } from '../identity/identity.ts';
import { withoutBearerProtocol } from '../credential/bearer-token.ts';

/** What `extra` has of a delegated session. */
export interface DelegatedExtras {
  /** Its id. */
  readonly session: string;
  /** `actorText` of its actors. */
  readonly actor: string;
}

export interface UpstreamHeadersInput {
  /** The client's headers: name, value, name, value, … */
  readonly raw: RawHeaders;
  /** The request is for a `…/proxy` subresource: its headers are for the pod or service behind it. */
  readonly belowProxy: boolean;
  /** WebSocket or SPDY. */
  readonly upgrade: boolean;
  /** The proxy's own token at this cluster. */
  readonly upstreamToken: string;
  /** The user. */
  readonly identity: Identity;
  /** The user that `identity` acts as, after every review has allowed it. */
  readonly actingAs?: Identity | undefined;
  /** The proxy may impersonate in a constrained mode only. Absent: it may not be so. */
  readonly constrained?: boolean;
  /** Of the user's own session, also if the request is of a delegated one. */
  readonly sessionId: string;
  readonly delegated?: DelegatedExtras | undefined;
  /** Ids of the grants that it is made with, separated by blanks. */
  readonly grantIds?: string | undefined;
  readonly auditId: string;
  /** The client's address as the proxy saw it. */
  readonly forwardedFor: string;
}

/** Headers for an API server, in the order of `repeated` and then `own`. Values are UTF-8 bytes, one character per byte. */
export interface UpstreamHeaders {
  /** Flat lists. The same objects return with later requests, so what is made of one is made once (`byHeaders`). */
  readonly repeated: readonly RawHeaders[];
  /** Flat list of what is this request's alone. */
  readonly own: RawHeaders;
}

/** Returns them as one flat list. */
export const flatHeaders = ({ repeated, own }: UpstreamHeaders): string[] => [...repeated.flat(), ...own];

const ALLOWED = new Set(['accept', 'range', 'user-agent', 'x-stream-protocol-version', 'traceparent']);
const ALLOWED_PREFIXES = ['accept-', 'content-', 'if-', 'kubectl-'];

const DENIED = new Set([
  'authorization',
  'cookie',
  'cookie2',
  'expect',
  'forwarded',
  'x-real-ip',
  'audit-id',
  // Set by the connection to the cluster, which alone frames a body.
  'host',
  'content-length',
]);
/** `impersonate` and `x-remote-` tell Kubernetes who a user is. */
const DENIED_PREFIXES = ['impersonate', 'x-remote-', 'x-forwarded-'];

/** @throws AppError `internal` if the identity has no usable name: such a request must never be sent */
export function buildUpstreamHeaders(input: UpstreamHeadersInput): UpstreamHeaders {
  const { upstreamToken, identity, actingAs, constrained = false } = input;
  if (actingAs === undefined) return withTrace(input, [sessionHeaders(input)]);
  const impersonation =
    constrained && constrainedMode(actingAs) === 'serviceaccount'
      ? serviceAccountHeaders(actingAs)
      : userImpersonationHeaders(actingAs, identity.username, input);
  return withTrace(input, [], [...bearer(upstreamToken, 'upstream token'), ...impersonation]);
}

/** Of each identity, what was built last, and for what. */
const built = new WeakMap<Identity, SessionOf & { readonly upstreamToken: string; readonly headers: RawHeaders }>();

/**
 * Returns the headers of every request of a session that acts as itself: the same list while nothing changes. Sessions
 * of one user may share an identity, so what is kept of one never goes with the request of another.
 */
function sessionHeaders({ identity, upstreamToken, sessionId, delegated, grantIds }: UpstreamHeadersInput): RawHeaders {
  const last = built.get(identity);
  if (
    last?.upstreamToken === upstreamToken &&
    last.sessionId === sessionId &&
    last.delegated?.session === delegated?.session &&
    last.grantIds === grantIds
  ) {
    return last.headers;
  }
  const more = { delegated, grantIds };
  const headers = [...bearer(upstreamToken, 'upstream token'), ...impersonationHeaders(identity, sessionId, more)];
  built.set(identity, { upstreamToken, sessionId, ...more, headers });
  return headers;
}

const bearer = (token: string, what: string): readonly string[] => ['Authorization', `Bearer ${ownValue(token, what)}`];

/** The parts of the client's request that may pass, whatever the user. */
type ClientHeadersInput = Pick<UpstreamHeadersInput, 'raw' | 'belowProxy' | 'upgrade'>;

export interface PassthroughHeadersInput
  extends ClientHeadersInput, Pick<UpstreamHeadersInput, 'auditId' | 'forwardedFor'> {
  /**
   * The client's own token. With the proxy's, the request would run as the proxy, because there is no
   * `Impersonate-User` here.
   */
  readonly clientToken: string;
}

/**
 * Builds the headers for a service account that uses its own token: nothing states its identity, because the token
 * does.
 */
export function buildPassthroughHeaders(input: PassthroughHeadersInput): UpstreamHeaders {
  return withTrace(input, [], bearer(input.clientToken, 'client token'));
}

/** Adds the client's headers, and those that connect the request with its audit event and its address. */
function withTrace(
  input: ClientHeadersInput & Pick<UpstreamHeadersInput, 'auditId' | 'forwardedFor'>,
  repeated: readonly RawHeaders[],
  own: RawHeaders = [],
): UpstreamHeaders {
  const auditId = ownValue(input.auditId, 'audit id');
  const trace = ['Audit-ID', auditId, 'X-Forwarded-For', ownValue(input.forwardedFor, 'address')];
  return input.belowProxy || input.upgrade
    ? { repeated: [], own: [...passedHeaders(input), ...repeated.flat(), ...own, ...trace] }
    : { repeated: [plainHeaders(input.raw), ...repeated], own: [...own, ...trace] };
}

const plainHeaders = byHeaders((raw) => passedHeaders({ raw, belowProxy: false, upgrade: false }));

function passedHeaders(input: ClientHeadersInput): readonly string[] {
  const headers: string[] = [];
  const passes = headerFilter(input.raw, { names: DENIED, prefixes: DENIED_PREFIXES });
  for (const [name, value] of pairs(input.raw)) {
    if (!passes(name, value) || !isAllowed(name, input)) continue;
    if (canonicalName(name) !== 'sec-websocket-protocol') {
      headers.push(name, value);
      continue;
    }
    const others = withoutBearerProtocol(value);
    if (others !== '') headers.push(name, others);
  }
  if (input.upgrade) headers.push(...upgradeHeaders(input.raw));
  return headers;
}

function isAllowed(name: string, input: ClientHeadersInput): boolean {
  // A name with an underscore never matches the list; below …/proxy a header may have one.
  const lower = name.toLowerCase();
  if (lower.startsWith('sec-websocket-')) return input.upgrade;
  if (input.belowProxy) return true;
  return ALLOWED.has(lower) || ALLOWED_PREFIXES.some((prefix) => lower.startsWith(prefix));
}

function upgradeHeaders(raw: RawHeaders): string[] {
  const [protocol, ...others] = valuesOf(raw, 'upgrade').map((value) => value.trim());
  // If two protocols are offered, the proxy and the API server could choose differently.
  if (protocol === undefined || others.length > 0 || !/^(?:websocket|spdy\/3\.1)$/i.test(protocol)) return [];
  return ['Connection', 'Upgrade', 'Upgrade', protocol];
}

/**
 * Returns the only length of a request's body in bytes, or none if the body is chunked: two interpretations of where a
 * request ends are request smuggling (RFC 9112 §6.3).
 */
export function bodyLength(raw: RawHeaders): number | undefined {
  const [length, ...others] = valuesOf(raw, 'content-length').map((value) => value.trim());
  if (length === undefined || others.length > 0 || !/^\d{1,15}$/.test(length)) return undefined;
  return valuesOf(raw, 'transfer-encoding').length > 0 ? undefined : Number(length);
}

/**
 * Returns `Impersonate-*` for an identity, including its session in `extra`.
 * @param sessionId of the user's own session
 * @throws AppError `internal` if a name is empty, or HTTP would change it
 */
export function impersonationHeaders(
  identity: Identity,
  sessionId: string,
  more: Omit<SessionOf, 'sessionId'> = {},
): string[] {
  const headers = ['Impersonate-User', ownValue(identity.username, 'username')];
  headers.push('Impersonate-Uid', ownValue(identity.uid, 'uid'));
  headers.push(...groupsAndExtra(identity, isReservedExtraKey), ...sessionExtra({ sessionId, ...more }));
  return headers;
}

/** Without a uid if none was requested. `extra` may include Kubernetes' own keys: RBAC has allowed them by name. */
function userImpersonationHeaders(requested: Identity, originalUser: string, session: SessionOf): string[] {
  const headers = ['Impersonate-User', ownValue(requested.username, 'username')];
  if (requested.uid !== '') headers.push('Impersonate-Uid', ownValue(requested.uid, 'uid'));
  headers.push(...groupsAndExtra(requested, isOwnExtraKey), ...sessionExtra(session));
  headers.push(ORIGINAL_USER_HEADER, ownValue(originalUser, 'username'));
  return headers;
}

/**
 * A service account's name alone: the constrained mode of service accounts takes nothing else, not even the session and
 * the original user. The audit logs join by `Audit-ID`.
 * @throws AppError `internal` for a service account with anything else, which must not be dropped silently
 */
function serviceAccountHeaders(requested: Identity): string[] {
  if (unconstrained(requested) !== undefined) throw unusable('service account');
  return ['Impersonate-User', ownValue(requested.username, 'username')];
}

type SessionOf = Pick<UpstreamHeadersInput, 'sessionId' | 'delegated' | 'grantIds'>;

function sessionExtra({ sessionId, delegated, grantIds }: SessionOf): string[] {
  const headers = [SESSION_HEADER, ownValue(sessionId, 'session id')];
  if (grantIds !== undefined) headers.push(GRANT_HEADER, ownValue(grantIds, 'grant id'));
  if (delegated === undefined) return headers;
  headers.push(DELEGATED_SESSION_HEADER, ownValue(delegated.session, 'session id'));
  headers.push(ACTOR_HEADER, ownValue(delegated.actor, 'actor'));
  return headers;
}

function groupsAndExtra(identity: Identity, isForbidden: (key: string) => boolean): string[] {
  const headers: string[] = [];
  for (const group of identity.groups) headers.push('Impersonate-Group', ownValue(group, 'group'));
  for (const [key, values] of Object.entries(identity.extra)) {
    if (isForbidden(key) || key === '' || key !== key.toLowerCase()) throw unusable('extra key');
    for (const value of values) headers.push(`Impersonate-Extra-${escapeKey(key)}`, ownValue(value, 'extra value'));
  }
  return headers;
}

/** Percent-encodes bytes that a header name cannot contain, and the percent sign itself, as client-go does. */
const escapeKey = (key: string): string =>
  Array.from(asBytes(key), (byte) =>
    isToken(byte) && byte !== '%' ? byte : `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');

const headerOf = (key: string): string => `Impersonate-Extra-${escapeKey(key)}`;
const SESSION_HEADER = headerOf(EXTRA_SESSION);
const DELEGATED_SESSION_HEADER = headerOf(EXTRA_DELEGATED_SESSION);
const ACTOR_HEADER = headerOf(EXTRA_ACTOR);
const GRANT_HEADER = headerOf(EXTRA_GRANT);
const ORIGINAL_USER_HEADER = headerOf(EXTRA_ORIGINAL_USER);

/** The form of nearly every name, which needs no further check: printable ASCII without spaces at either end. */
const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;

function ownValue(text: string, what: string): string {
  if (PLAIN.test(text)) return text;
  const bytes = asBytes(text);
  // HTTP trims white space at either end: the API server would see another user.
  if (text === '' || text !== text.trim() || !text.isWellFormed() || !isFieldValue(bytes) || bytes.includes('\t')) {
    throw unusable(what);
  }
  return bytes;
}

const unusable = (what: string): AppError =>
  new AppError(
    'internal',
    'Portcullis could not pass your identity to the cluster, so nothing was sent. Tell your platform team.',
    {
      reason: `unusable_${what.replaceAll(' ', '_')}`,
    },
  );

/** A cluster's `impersonate` setting. */
interface ImpersonateSetting {
  readonly groups: '*' | readonly string[];
  readonly extra: readonly string[];
}

/** Of each identity, the last setting and what it left. */
const limited = new WeakMap<Identity, { readonly impersonate: ImpersonateSetting; readonly identity: Identity }>();

/**
 * Returns the identity limited by a cluster's `impersonate` setting: groups and extra keys that it does not list
 * are omitted, which can only remove permissions.
 */
export function limitIdentity(identity: Identity, impersonate: ImpersonateSetting): Identity {
  const last = limited.get(identity);
  if (last?.impersonate === impersonate) return last.identity;
  const { groups } = impersonate;
  const result = {
    ...identity,
    groups: groups === '*' ? identity.groups : identity.groups.filter((group) => groups.includes(group)),
    extra: Object.fromEntries(Object.entries(identity.extra).filter(([key]) => impersonate.extra.includes(key))),
  };
  limited.set(identity, { impersonate, identity: result });
  return result;
}
