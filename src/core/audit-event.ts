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
import type { Identity } from './identity.ts';

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
  | 'revocation'
  | 'admin-read'
  | 'admin-refused'
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
