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
import { AUDIT_FACTS, type AuditFact, type PortcullisEventName } from './catalogue.ts';
import { auditUri } from './uri.ts';
import { EXTRA_DOMAIN } from '../core.ts';
import type { Identity } from '../identity/identity.ts';
import type { RequestInfo } from '../request/request-info.ts';

export type { PortcullisEventName } from './catalogue.ts';
export { auditUri } from './uri.ts';

export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

export interface ObjectReference {
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly subresource?: string;
}

/** Of a Kubernetes Status what the API server puts on record, but for `details`. */
export interface ResponseStatus {
  /** Always empty; Kubernetes writes it all the same. */
  readonly metadata?: Readonly<Record<string, never>>;
  /** Only where the gate itself answered with a Status: what the API server says in its body is not read here. */
  readonly status?: 'Failure';
  readonly message?: string;
  /** Kubernetes' word, such as `Forbidden`. */
  readonly reason?: string;
  readonly code: number;
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
  readonly responseStatus?: ResponseStatus;
  /** RFC 3339 with microseconds, as Kubernetes' MicroTime. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** What stands in an event by itself, so that no detail can say something else. */
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
  /** HTTP status that the caller saw. */
  readonly code: number;
  readonly identity?: Identity;
  readonly account?: string;
  readonly session?: string;
  readonly provider?: string;
  /** Rule or refusal in snake_case, or the admin's own reason for a revocation. */
  readonly reason?: string;
  /** Further facts, each under `portcullis.dev/`. */
  readonly details?: AuditFacts;
}

export interface RequestEventInput {
  readonly auditId: string;
  readonly stage: Exclude<AuditStage, 'Panic'>;
  /** Request target as the client sent it; what must not be recorded is removed here. */
  readonly requestUri: string;
  readonly info: RequestInfo;
  /** Absent where nobody could be established. */
  readonly identity?: Identity;
  /** The values of exec's `command` are shown; they are counted otherwise. */
  readonly execCommands?: boolean;
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
  readonly details?: { readonly [K in AuditFact]?: string | undefined };
}

/** One line for a request. */
export function requestEvent(input: RequestEventInput): AuditEvent {
  return envelope(input, {
    verb: input.info.verb,
    objectRef: objectReference(input.info),
    receivedAt: microTime(input.receivedAt),
    at: microTime(input.at),
    annotations: annotations(input.details ?? {}),
  });
}

/** One line for what the gate itself did; its verb is the event's name. */
export function portcullisEvent(event: PortcullisEvent): AuditEvent {
  const { auditId, requestUri, identity, sourceIps, userAgent, account, session, provider, reason } = event;
  const at = microTime(event.at);
  const status = { code: event.code };
  return envelope(
    { auditId, stage: 'ResponseComplete', requestUri, identity, sourceIps, userAgent, status },
    {
      verb: event.event,
      objectRef: undefined,
      receivedAt: at,
      at,
      // The event's own facts come last: no detail may stand for another event.
      annotations: annotations({ ...event.details, account, session, provider, reason, event: event.event }),
    },
  );
}

type Given = 'auditId' | 'stage' | 'requestUri' | 'sourceIps';
type MayBeGiven = 'execCommands' | 'identity' | 'impersonated' | 'userAgent' | 'status';
type Told = Pick<RequestEventInput, Given> & { readonly [K in MayBeGiven]?: RequestEventInput[K] | undefined };

interface Made {
  readonly verb: string;
  readonly objectRef: ObjectReference | undefined;
  /** As the record writes time. */
  readonly receivedAt: string;
  readonly at: string;
  readonly annotations: AuditEvent['annotations'];
}

/**
 * The members in the order in which Kubernetes writes them; those that would be empty are absent. It is one literal, as this is on the way of
 * every request: one that is put together of other objects costs half as much again.
 */
function envelope(told: Told, { verb, objectRef, receivedAt, at, annotations: facts }: Made): AuditEvent {
  const { identity, impersonated, userAgent = '', status } = told;
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: told.auditId,
    stage: told.stage,
    requestURI: auditUri(told.requestUri, { commands: told.execCommands === true }),
    verb,
    user: identity === undefined ? {} : userInfo(identity),
    ...(impersonated === undefined ? {} : { impersonatedUser: userInfo(impersonated) }),
    sourceIPs: told.sourceIps,
    ...(userAgent === '' ? {} : { userAgent: asText(shortened(userAgent)) }),
    ...(objectRef === undefined ? {} : { objectRef }),
    ...(status === undefined ? {} : { responseStatus: responseStatus(status) }),
    requestReceivedTimestamp: receivedAt,
    stageTimestamp: at,
    annotations: facts,
  };
}

/** Kubernetes sets `status` where it answers with a Status of its own; so does this. */
const responseStatus = ({ code, reason, message }: NonNullable<RequestEventInput['status']>): ResponseStatus => ({
  metadata: {},
  ...(reason === undefined ? {} : { status: 'Failure' }),
  ...(message === undefined ? {} : { message }),
  ...(reason === undefined ? {} : { reason }),
  code,
});

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

/** Every name whole: to put one together for each line costs as much as the rest of the event. */
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

/** Characters; Kubernetes cuts there as well. The header is the client's own and may be as long as the header limit. */
const MAX_USER_AGENT = 1024;

const shortened = (userAgent: string): string =>
  userAgent.length <= MAX_USER_AGENT ? userAgent : `${userAgent.slice(0, MAX_USER_AGENT)}...TRUNCATED`;

/** As Kubernetes reads a header: UTF-8, and U+FFFD for what is none. Node hands it over with one character a byte. */
function asText(header: string): string {
  const bytes = /[\u0080-\u00ff]/.test(header) && !/[^\0-\u00ff]/.test(header);
  return bytes ? Buffer.from(header, 'latin1').toString() : header;
}

/** The second of the last time and how it is written: events come many to a second, and a Date costs as much as the rest of an event. */
let written = { second: Number.NaN, words: '' };

/** Kubernetes' MicroTime: RFC 3339 in UTC with six digits. @param milliseconds since the epoch */
function microTime(milliseconds: number): string {
  const micros = Math.round(milliseconds * 1000);
  const second = Math.floor(micros / 1_000_000);
  if (second !== written.second) {
    written = { second, words: new Date(second * 1000).toISOString().slice(0, -'000Z'.length) };
  }
  return `${written.words}${String(micros - second * 1_000_000).padStart(6, '0')}Z`;
}
