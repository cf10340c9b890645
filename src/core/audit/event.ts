/**
 * The shape of an audit event: Kubernetes' own `audit.k8s.io/v1` Event at level Metadata, so that existing tools
 * read it. Actions of Portcullis itself (sign-in, refresh, rejection, revocation) have the same envelope and are
 * marked by the annotation `portcullis.dev/event`.
 *
 * More users read the audit log than may hold credentials, and an attacker may be among them. So no token, cookie,
 * code or body ever enters an event; `auditUri` removes query values that can carry a secret.
 *
 * @see https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
 */
import { AUDIT_FACTS, type AuditFact } from './annotations.ts';
import type { PortcullisEventName } from './catalogue.ts';
import { auditUri, isCutUri } from './uri.ts';
import { EXTRA_DOMAIN } from '../core.ts';
import type { Identity } from '../identity/identity.ts';
import type { RequestInfo } from '../request/request-info.ts';

export type { PortcullisEventName } from './catalogue.ts';
export { auditUri } from './uri.ts';

export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

export interface ObjectReference {
  readonly resource: string;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly apiGroup?: string | undefined;
  readonly apiVersion?: string | undefined;
  readonly subresource?: string | undefined;
}

/** The parts of a Kubernetes Status that the API server audits, except `details`. */
export interface ResponseStatus {
  /** Always empty; Kubernetes writes it all the same. */
  readonly metadata?: Readonly<Record<string, never>>;
  /** Only if Portcullis itself responded with a Status: the body of the API server's response is not read here. */
  readonly status?: 'Failure' | undefined;
  readonly message?: string | undefined;
  /** Kubernetes' term, such as `Forbidden`. */
  readonly reason?: string | undefined;
  readonly code: number;
}

/** As Kubernetes' UserInfo: without members that are empty. */
export type AuditedUser = { readonly [K in keyof Identity]?: Identity[K] | undefined };

export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: 'Metadata';
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  /** The user. Empty username if the client was not identified. */
  readonly user: AuditedUser;
  /** The user that `user` acts as, or wanted to act as if the request was rejected. */
  readonly impersonatedUser?: AuditedUser | undefined;
  readonly sourceIPs: readonly string[];
  readonly userAgent?: string | undefined;
  readonly objectRef?: ObjectReference | undefined;
  readonly responseStatus?: ResponseStatus | undefined;
  /** RFC 3339 with microseconds, as Kubernetes' MicroTime. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Facts that an event has by itself, so that no detail can contradict them. */
type OwnFact = 'account' | 'session' | 'provider' | 'reason' | 'event';

/** Further facts of an event, by their names in the catalogue. */
export type AuditFacts = { readonly [K in Exclude<AuditFact, OwnFact>]?: string };

export interface PortcullisEvent {
  readonly event: PortcullisEventName;
  readonly auditId: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly requestUri: string;
  readonly sourceIps: readonly string[];
  readonly userAgent?: string;
  /** HTTP status that the caller saw. Absent: the action is about to be done, and another event has its outcome. */
  readonly code?: number;
  readonly identity?: Identity;
  readonly account?: string;
  readonly session?: string;
  readonly provider?: string;
  /** Rule or rejection in snake_case, or the admin's own reason for a revocation. */
  readonly reason?: string;
  /** Further facts, each under `portcullis.dev/`. */
  readonly details?: AuditFacts;
}

export interface RequestEventInput {
  readonly auditId: string;
  readonly stage: Exclude<AuditStage, 'Panic'>;
  /** Request target as the client sent it; parts that must not be audited are removed here. */
  readonly requestUri: string;
  /** What an earlier event of the same request has of it: to look for secrets in a hostile one takes a millisecond. */
  readonly auditedUri?: string | undefined;
  readonly info: RequestInfo;
  /** Absent if the client was not identified. */
  readonly identity?: Identity | undefined;
  /** The values of exec's `command`, and of a kubelet's `cmd`, are shown; otherwise they are counted. */
  readonly execCommands?: boolean;
  /** The user that `identity` acts as, by `kubectl --as`. */
  readonly impersonated?: Identity | undefined;
  readonly sourceIps: readonly string[];
  readonly userAgent?: string | undefined;
  /** Milliseconds since the epoch; fractions are kept to the microsecond. */
  readonly receivedAt: number;
  readonly at: number;
  /** The response to the client; `reason` is Kubernetes' term, such as `Forbidden`. */
  readonly status?: { readonly code: number; readonly reason?: string; readonly message?: string } | undefined;
  /** Our facts, each under `portcullis.dev/`: cluster, session, account, reason, … Empty ones are omitted. */
  readonly details?: { readonly [K in AuditFact]?: string | undefined };
}

/** Returns the event of a request. */
export function requestEvent(input: RequestEventInput): AuditEvent {
  return envelope(input, {
    verb: input.info.verb,
    objectRef: objectReference(input.info),
    receivedAt: microTime(input.receivedAt),
    at: microTime(input.at),
    annotations: annotations(withCut(input)),
  });
}

/** Says what the client chose too long, with its length. */
function withCut({
  requestUri,
  userAgent = '',
  details = {},
}: RequestEventInput): NonNullable<RequestEventInput['details']> {
  const isCut = isCutUri(requestUri);
  if (!isCut && userAgent.length <= MAX_USER_AGENT) return details;
  const cut = [
    ...(isCut ? [`requestURI=${requestUri.length}`] : []),
    ...(userAgent.length > MAX_USER_AGENT ? [`userAgent=${userAgent.length}`] : []),
  ];
  return { cut: cut.join(' '), ...details };
}

/** Returns the event of an action of Portcullis itself; its verb is the event's name. */
export function portcullisEvent(event: PortcullisEvent): AuditEvent {
  const { auditId, requestUri, identity, sourceIps, userAgent, account, session, provider, reason } = event;
  const at = microTime(event.at);
  const { code } = event;
  const stage = code === undefined ? 'RequestReceived' : 'ResponseComplete';
  const status = code === undefined ? undefined : { code };
  return envelope(
    { auditId, stage, requestUri, identity, sourceIps, userAgent, status },
    {
      verb: event.event,
      objectRef: undefined,
      receivedAt: at,
      at,
      // The event's own facts come last, so that no detail can pass for another event.
      annotations: annotations({ ...event.details, account, session, provider, reason, event: event.event }),
    },
  );
}

type Required = 'auditId' | 'stage' | 'requestUri' | 'sourceIps';
type Optional = 'auditedUri' | 'execCommands' | 'identity' | 'impersonated' | 'userAgent' | 'status';
type EnvelopeInput = Pick<RequestEventInput, Required> & {
  readonly [K in Optional]?: RequestEventInput[K] | undefined;
};

interface Computed {
  readonly verb: string;
  readonly objectRef: ObjectReference | undefined;
  /** In the audit log's time format. */
  readonly receivedAt: string;
  readonly at: string;
  readonly annotations: AuditEvent['annotations'];
}

/**
 * Returns the members in the order in which Kubernetes writes them. An empty one is undefined, which JSON leaves out: so
 * all events have one shape, and none is composed of others, which on the path of every request costs several times as
 * much.
 */
function envelope(input: EnvelopeInput, { verb, objectRef, receivedAt, at, annotations: facts }: Computed): AuditEvent {
  const { identity, impersonated, userAgent = '', status } = input;
  const isOmittable = identity === undefined || status?.code === 401;
  const event: AuditEvent = {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: input.auditId,
    stage: input.stage,
    requestURI: isOmittable ? '' : uriOf(input),
    verb,
    user: identity === undefined ? {} : userInfo(identity),
    impersonatedUser: impersonated === undefined ? undefined : userInfo(impersonated),
    sourceIPs: input.sourceIps,
    userAgent: userAgent === '' ? undefined : asText(shortened(userAgent)),
    objectRef,
    responseStatus: status === undefined ? undefined : responseStatus(status),
    requestReceivedTimestamp: receivedAt,
    stageTimestamp: at,
    annotations: facts,
  };
  return isOmittable ? withLateUri(event, () => uriOf(input)) : event;
}

const uriOf = ({ requestUri, auditedUri, execCommands = false }: EnvelopeInput): string =>
  auditedUri ?? auditUri(requestUri, execCommands ? COMMANDS_SHOWN : COMMANDS_COUNTED);

/**
 * Most of the events that a client without a valid credential causes are only counted (`audit/rejections`). So the target of
 * one that may be is looked at when it is written: an attacker repeats a long one by 13 bytes.
 */
const withLateUri = (event: AuditEvent, uri: () => string): AuditEvent => {
  let written: string | undefined;
  return Object.defineProperty(event, 'requestURI', { enumerable: true, get: () => (written ??= uri()) });
};

const COMMANDS_SHOWN = { commands: true };
const COMMANDS_COUNTED = { commands: false };

/** Kubernetes sets `status` if it responds with a Status of its own; so does this. */
const responseStatus = ({ code, reason, message }: NonNullable<RequestEventInput['status']>): ResponseStatus => ({
  metadata: {},
  status: reason === undefined ? undefined : 'Failure',
  message,
  reason,
  code,
});

const userInfo = ({ username, uid, groups, extra }: Identity): AuditedUser => ({
  username,
  uid: uid === '' ? undefined : uid,
  groups: groups.length === 0 ? undefined : groups,
  extra: Object.keys(extra).length === 0 ? undefined : extra,
});

function objectReference(info: RequestInfo): ObjectReference | undefined {
  if (!info.isResourceRequest || info.resource === '') return undefined;
  return {
    resource: info.resource,
    namespace: info.namespace === '' ? undefined : info.namespace,
    name: info.name === '' ? undefined : info.name,
    apiGroup: info.apiGroup === '' ? undefined : info.apiGroup,
    apiVersion: info.apiVersion,
    subresource: info.subresource === '' ? undefined : info.subresource,
  };
}

/** Complete names, because composing a name for each event costs as much as the rest of the event. */
const ANNOTATIONS: ReadonlyMap<string, string> = new Map(
  Object.keys(AUDIT_FACTS).map((fact) => [fact, `${EXTRA_DOMAIN}/${fact}`]),
);

function annotations(details: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const named: Record<string, string> = {};
  for (const key of Object.keys(details)) {
    const value = details[key];
    if (value !== undefined && value !== '') named[ANNOTATIONS.get(key) ?? `${EXTRA_DOMAIN}/${key}`] = value;
  }
  return named;
}

/** Characters; Kubernetes cuts there as well. The client chooses the header, up to the header limit. */
const MAX_USER_AGENT = 1024;

const shortened = (userAgent: string): string =>
  userAgent.length <= MAX_USER_AGENT ? userAgent : `${userAgent.slice(0, MAX_USER_AGENT)}...TRUNCATED`;

/**
 * Decodes a header as Kubernetes does: UTF-8, and U+FFFD for anything else. Node passes it with one character per
 * byte.
 */
function asText(header: string): string {
  const bytes = /[\u0080-\u00ff]/.test(header) && !/[^\0-\u00ff]/.test(header);
  return bytes ? Buffer.from(header, 'latin1').toString() : header;
}

/**
 * The second of the last time and its text: there are many events per second, and a Date costs as much as the rest
 * of an event.
 */
let written = { second: Number.NaN, text: '' };

/**
 * Returns Kubernetes' MicroTime: RFC 3339 in UTC with six digits.
 * @param milliseconds since the epoch
 */
function microTime(milliseconds: number): string {
  const micros = Math.round(milliseconds * 1000);
  const second = Math.floor(micros / 1_000_000);
  if (second !== written.second) {
    written = { second, text: new Date(second * 1000).toISOString().slice(0, -'000Z'.length) };
  }
  return `${written.text}${String(micros - second * 1_000_000).padStart(6, '0')}Z`;
}
