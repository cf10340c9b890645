/**
 * The latest requests of a session, as a user or an admin sees them: a short extract of the audit log, which has
 * the rest under the same audit id.
 */
import type { AuditEvent } from './event.ts';
import { EXTRA_DOMAIN } from '../core.ts';

export interface RecentRequest {
  /** When it arrived: milliseconds since the epoch. */
  readonly at: number;
  readonly auditId: string;
  readonly cluster: string;
  readonly verb: string;
  /** As in the audit log, so without secrets, and no longer than 512 characters. */
  readonly uri: string;
  /** `pods`, or `pods/exec`. Absent if the request is about no resource. */
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** Username of the user that the session's user acted as, or wanted to (`kubectl --as`). Absent in older records. */
  readonly impersonatedUser?: string;
  /** HTTP status; 0 if the client disconnected before a response. */
  readonly code: number;
  /** A stream that has begun, and of whose end nothing is known. Absent in older records. */
  readonly open?: true;
  /** Why Portcullis itself rejected or cut it, in snake_case. */
  readonly reason?: string;
  /** The client's address. */
  readonly address: string;
}

const SESSION = `${EXTRA_DOMAIN}/session`;
const DELEGATED_SESSION = `${EXTRA_DOMAIN}/delegated-session`;
const PORTCULLIS_EVENT = `${EXTRA_DOMAIN}/event`;
const CLUSTER = `${EXTRA_DOMAIN}/cluster`;
const REASON = `${EXTRA_DOMAIN}/reason`;

/** Characters. The client chooses how long its target is. */
const MOST_URI = 512;
/** Kubernetes' own names have at most 253; a path may contain anything. */
const MOST_NAME = 256;

/**
 * @returns the session whose request this event is about, which may be a delegated one; undefined for actions of Portcullis itself, for clients
 * without a session of ours, and for stages before a response
 */
export function sessionOf({ annotations, stage }: AuditEvent): string | undefined {
  if (stage !== 'ResponseComplete' && stage !== 'ResponseStarted') return undefined;
  if (annotations[PORTCULLIS_EVENT] !== undefined) return undefined;
  return annotations[DELEGATED_SESSION] ?? annotations[SESSION];
}

/** @returns the extract of the request; undefined if `sessionOf` returns no session */
export function recentOf(event: AuditEvent): RecentRequest | undefined {
  if (sessionOf(event) === undefined) return undefined;
  const { annotations, objectRef, responseStatus } = event;
  const impersonated = event.impersonatedUser?.username;
  const reason = annotations[REASON];
  return {
    at: Date.parse(event.requestReceivedTimestamp),
    auditId: event.auditID,
    cluster: annotations[CLUSTER] ?? '',
    verb: shortened(event.verb, MOST_NAME),
    uri: shortened(event.requestURI, MOST_URI),
    ...about(objectRef),
    ...(impersonated === undefined ? {} : { impersonatedUser: shortened(impersonated, MOST_NAME) }),
    code: responseStatus?.code ?? 0,
    ...(event.stage === 'ResponseStarted' ? { open: true } : {}),
    ...(reason === undefined ? {} : { reason: shortened(reason, MOST_NAME) }),
    address: event.sourceIPs[0] ?? '',
  };
}

function about(objectRef: AuditEvent['objectRef']): Pick<RecentRequest, 'resource' | 'namespace' | 'name'> {
  if (objectRef === undefined) return {};
  const { resource, subresource, namespace, name } = objectRef;
  return {
    resource: shortened(subresource === undefined ? resource : `${resource}/${subresource}`, MOST_NAME),
    ...(namespace === undefined ? {} : { namespace: shortened(namespace, MOST_NAME) }),
    ...(name === undefined ? {} : { name: shortened(name, MOST_NAME) }),
  };
}

const CUT = '...TRUNCATED';

const shortened = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - CUT.length)}${CUT}`;
