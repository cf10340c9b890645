/**
 * The shape of a line in the record: Kubernetes' own `audit.k8s.io/v1` Event at level Metadata, so that existing tools read it.
 * What the gate itself does (sign-in, refresh, refusal, revocation) stands in the same envelope, told apart by the annotation
 * `portcullis.dev/event`.
 *
 * Threat: the record is read by more people than may hold credentials. No token, cookie, code or body ever enters an event;
 * query values that can carry a secret are dropped by `auditUri`.
 *
 * @see https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
 */
import { auditUri } from './audit-uri.ts';
import { EXTRA_DOMAIN } from './core.ts';
import type { Identity } from './identity.ts';
import type { RequestInfo } from './request-info.ts';

export { auditUri } from './audit-uri.ts';

export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

export interface ObjectReference {
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly subresource?: string;
}

export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: 'Metadata';
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  /** The person. Empty username where nobody could be established. */
  readonly user: Partial<Identity>;
  /** Whom the person acts as, or wanted to act as where the request was refused. */
  readonly impersonatedUser?: Partial<Identity>;
  readonly sourceIPs: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: ObjectReference;
  readonly responseStatus?: { readonly code: number; readonly reason?: string; readonly message?: string };
  /** RFC 3339 with microseconds, as Kubernetes' MicroTime. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What the gate records about itself. One list, so that the reference page and the alerts cannot drift from the code. */
export type GateEventName =
  | 'sign-in'
  | 'sign-in-refused'
  | 'refresh'
  | 'refresh-refused'
  | 'identity-changed'
  | 'logout'
  | 'logout-refused'
  | 'revocation'
  | 'revocation-proven'
  | 'approval-asked'
  | 'lock'
  | 'unlock'
  | 'drill'
  | 'session-ended'
  | 'replica-fenced'
  | 'epoch-began'
  | 'workload-exchange'
  | 'workload-refused'
  | 'admin-read'
  | 'admin-refused'
  | 'console-entered'
  | 'console-refused'
  | 'malformed-request'
  | 'server-started'
  | 'server-stopped';

export interface GateEvent {
  readonly event: GateEventName;
  readonly auditId: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly requestUri: string;
  readonly sourceIps: readonly string[];
  readonly userAgent?: string;
  /** HTTP status that the caller saw. */
  readonly code: number;
  readonly identity?: Identity;
  readonly account?: string;
  readonly session?: string;
  readonly provider?: string;
  /** Rule or refusal in snake_case, or the admin's own reason for a revocation. */
  readonly reason?: string;
  /** Further facts, each under `portcullis.dev/`. */
  readonly details?: Readonly<Record<string, string>>;
}

export interface RequestEventInput {
  readonly auditId: string;
  readonly stage: 'ResponseStarted' | 'ResponseComplete';
  /** Request target as the client sent it; what must not be recorded is removed here. */
  readonly requestUri: string;
  readonly info: RequestInfo;
  /** Absent where nobody could be established. */
  readonly identity?: Identity;
  /** Whom `identity` acts as, by `kubectl --as`. */
  readonly impersonated?: Identity;
  readonly sourceIps: readonly string[];
  readonly userAgent?: string;
  /** Milliseconds since the epoch; fractions are kept to the microsecond. */
  readonly receivedAt: number;
  readonly at: number;
  /** What the client was answered; `reason` is Kubernetes' word, such as `Forbidden`. */
  readonly status?: { readonly code: number; readonly reason?: string; readonly message?: string };
  /** Facts of ours, each under `portcullis.dev/`: cluster, session, account, refusal, … Empty ones are left out. */
  readonly details?: Readonly<Record<string, string | undefined>>;
}

/** One line for a request. Optional fields that would be empty are absent, as Kubernetes writes them. */
export function requestEvent(input: RequestEventInput): AuditEvent {
  const objectRef = objectReference(input.info);
  return {
    ...envelope({ ...input, verb: input.info.verb }),
    ...(input.impersonated === undefined ? {} : { impersonatedUser: userInfo(input.impersonated) }),
    stage: input.stage,
    ...(objectRef === undefined ? {} : { objectRef }),
    ...(input.status === undefined ? {} : { responseStatus: input.status }),
    requestReceivedTimestamp: microTime(input.receivedAt),
    stageTimestamp: microTime(input.at),
    annotations: annotations(input.details ?? {}),
  };
}

/** One line for what the gate itself did; its verb is the event's name. */
export function gateEvent(event: GateEvent): AuditEvent {
  const at = microTime(event.at);
  return {
    ...envelope({ ...event, verb: event.event }),
    stage: 'ResponseComplete',
    responseStatus: { code: event.code },
    requestReceivedTimestamp: at,
    stageTimestamp: at,
    // The event's own facts come last: no detail may stand for another event.
    annotations: annotations({
      ...event.details,
      account: event.account,
      session: event.session,
      provider: event.provider,
      reason: event.reason,
      event: event.event,
    }),
  };
}

interface Envelope {
  readonly auditId: string;
  readonly requestUri: string;
  readonly verb: string;
  readonly identity?: Identity;
  readonly sourceIps: readonly string[];
  readonly userAgent?: string;
}

type EnvelopeFields =
  | 'kind'
  | 'apiVersion'
  | 'level'
  | 'auditID'
  | 'requestURI'
  | 'verb'
  | 'user'
  | 'sourceIPs'
  | 'userAgent';

function envelope({
  auditId,
  requestUri,
  verb,
  identity,
  sourceIps,
  userAgent,
}: Envelope): Pick<AuditEvent, EnvelopeFields> {
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: auditId,
    requestURI: auditUri(requestUri),
    verb,
    user: identity === undefined ? {} : userInfo(identity),
    sourceIPs: sourceIps,
    ...(userAgent === undefined || userAgent === '' ? {} : { userAgent: shortened(userAgent) }),
  };
}

function userInfo({ username, uid, groups, extra }: Identity): Partial<Identity> {
  return {
    username,
    ...(uid === '' ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function objectReference(info: RequestInfo): ObjectReference | undefined {
  if (!info.isResourceRequest || info.resource === '') return undefined;
  return {
    resource: info.resource,
    ...(info.namespace === '' ? {} : { namespace: info.namespace }),
    ...(info.name === '' ? {} : { name: info.name }),
    ...(info.apiGroup === '' ? {} : { apiGroup: info.apiGroup }),
    apiVersion: info.apiVersion,
    ...(info.subresource === '' ? {} : { subresource: info.subresource }),
  };
}

function annotations(details: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const named: Record<string, string> = {};
  for (const key of Object.keys(details)) {
    const value = details[key];
    if (value !== undefined && value !== '') named[`${EXTRA_DOMAIN}/${key}`] = value;
  }
  return named;
}

/** Characters; Kubernetes cuts there as well. The header is the client's own and may be as long as the header limit. */
const MAX_USER_AGENT = 1024;

const shortened = (userAgent: string): string =>
  userAgent.length <= MAX_USER_AGENT ? userAgent : `${userAgent.slice(0, MAX_USER_AGENT)}...TRUNCATED`;

/** Kubernetes' MicroTime: RFC 3339 in UTC with six digits. */
function microTime(milliseconds: number): string {
  const micros = Math.round(milliseconds * 1000);
  const whole = Math.floor(micros / 1000);
  const rest = String(micros - whole * 1000).padStart(3, '0');
  return `${new Date(whole).toISOString().slice(0, -1)}${rest}Z`;
}

/** Paths that probes and every kubectl ask for all day; a read of theirs that was allowed says nothing about anybody. */
const QUIET = /^\/(?:livez|readyz|version|openapi)(?:\/|$)/;

/**
 * Level None for allowed reads of `/livez`, `/readyz`, `/version`, `/openapi`, and for nothing else.
 * @param code HTTP status that the client saw
 */
export function auditedByPolicy(info: RequestInfo, code: number): boolean {
  const read = !info.isResourceRequest && (info.verb === 'get' || info.verb === 'head');
  return !(read && code >= 200 && code < 400 && QUIET.test(info.path));
}
