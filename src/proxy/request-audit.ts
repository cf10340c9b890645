/**
 * The audit events and metrics of one request: one event at its end, one more at the start of a long-running
 * request, and one before it goes to the API server if it may change something.
 */
import type { CutReason } from '../revocation/revocation.ts';
import type { Awaitable } from '../core/awaitable.ts';
import { requestEvent, type AuditEvent, type AuditStage } from '../core/audit/event.ts';
import { recentOf, type RecentRequest } from '../core/audit/recent-request.ts';
import { auditedByPolicy } from '../core/audit/policy.ts';
import { grantIds, ownSession, type Caller } from '../core/credential/credential.ts';
import { actorText } from '../core/delegation/delegation.ts';
import type { Identity } from '../core/identity/identity.ts';
import { requestInfo, type RequestInfo } from '../core/request/request-info.ts';
import { mayChange } from '../core/audit/write-ahead.ts';
import type { ApiListenerDeps } from './dependencies.ts';
import type { Rejection } from './status.ts';
import { effectiveVerb, isIntoPod, isRead, type VerbFacts } from '../core/delegation/effective-verb.ts';

/**
 * For the metrics only: the client left before there was a response. No HTTP status, so it is counted as `other`.
 */
const NOT_ANSWERED = 0;

export interface RequestAuditFacts {
  readonly auditId: string;
  readonly method: string;
  readonly target: string;
  readonly address: string;
  readonly userAgent: string | undefined;
  /** Trace id of the client's `traceparent`. */
  readonly trace?: string | undefined;
}

export class RequestAudit {
  caller: Caller | undefined;
  /** A service account that passes with its own token, if there is no caller of ours. */
  serviceAccount: Identity | undefined;
  /** The identity that the caller impersonates or asks to impersonate. */
  impersonated: Identity | undefined;
  cluster: string | undefined;
  /** Bytes of bodies or of a tunnel, from the client and to the client. */
  bytesIn = 0;
  bytesOut = 0;
  readonly #deps: Pick<ApiListenerDeps, 'audit' | 'auditPolicy' | 'metrics' | 'clock'>;
  readonly #facts: RequestAuditFacts;
  readonly #receivedAt: number;
  #info: RequestInfo | undefined;
  #status: { readonly code: number; readonly reason?: string; readonly message?: string } | undefined;
  #reason: string | undefined;
  #cutReason: string | undefined;
  #streamClosed: (() => void) | undefined;
  #stream: RecentRequest | undefined;
  #auditedUri: string | undefined;
  #writtenAhead = false;
  /** From here on the API server may get it. */
  #admitted = false;
  #ended = false;

  constructor(deps: Pick<ApiListenerDeps, 'audit' | 'auditPolicy' | 'metrics' | 'clock'>, facts: RequestAuditFacts) {
    this.#deps = deps;
    this.#facts = facts;
    this.#receivedAt = deps.clock.nowMs();
  }

  get info(): RequestInfo {
    // From the target as the client sent it, for requests that are rejected before anything better is known.
    return (this.#info ??= requestInfo(this.#facts.method, this.#facts.target));
  }

  set info(info: RequestInfo) {
    this.#info = info;
  }

  /** Milliseconds since the epoch. */
  get receivedAt(): number {
    return this.#receivedAt;
  }

  /** Notes that the proxy itself has responded. */
  rejected(rejection: Rejection): void {
    this.#status = { code: rejection.code, reason: rejection.reason, message: rejection.message };
    this.#reason = rejection.auditReason;
    this.#deps.metrics.rejection(rejection.auditReason);
  }

  /**
   * Notes that the request is admitted, and writes the event of a change before the API server gets it. Must be
   * awaited between admission and the API server. An attacker who can end this process (or a kernel that is out of memory) would otherwise have a change
   * executed of which no audit event is left, so the event is written before the change is sent.
   * @returns false if it could not be written, and the request must not go on
   */
  writeAhead({ upgrade }: { readonly upgrade: boolean }): Awaitable<boolean> {
    const { method } = this.#facts;
    this.#admitted = true;
    // Its client has left while it was admitted: it is audited already, and its dispatch is prevented by that end.
    if (this.#ended) return true;
    if (this.#deps.auditPolicy?.writeAhead === 'off' || !mayChange({ method, upgrade, info: this.info })) return true;
    this.#writtenAhead = true;
    return this.#deps.audit.recordAhead(this.#event('RequestReceived'));
  }

  /** Notes that the API server's response has started. */
  responseStarted(code: number): void {
    this.#status = { code };
    const sensitive = code < 400 ? sensitiveKind(this.info) : undefined;
    if (sensitive !== undefined) this.#deps.metrics.sensitiveRequest(sensitive);
    if (!this.info.longRunning) return;
    this.#streamClosed = this.#deps.metrics.streamOpened(this.info.subresource || this.info.verb);
    const event = this.#event('ResponseStarted');
    // An admin may ask for hundreds of streams at once, and as many may end at once.
    this.#stream = recentOf(event);
    this.#auditedUri = event.requestURI;
    // test seam: RESPONSE_STARTED
    this.#deps.audit.record(event);
  }

  /** What it is, while it is a stream that is open. */
  get openStream(): RecentRequest | undefined {
    return this.#ended ? undefined : this.#stream;
  }

  cut(reason: ExchangeCutReason): void {
    this.#cutReason = reason;
    this.#deps.metrics.cut(reason);
  }

  /** Notes that the response is whole, or that both sides are closed. */
  end(): void {
    this.#ended = true;
    this.#streamClosed?.();
    this.#reason ??= this.#cutReason ?? (this.#status === undefined ? 'client_gone' : undefined);
    const code = this.#status?.code ?? NOT_ANSWERED;
    const { verb, longRunning } = this.info;
    const seconds = (this.#deps.clock.nowMs() - this.#receivedAt) / 1000;
    const { auditId, trace: traceId } = this.#facts;
    const cluster = this.cluster ?? 'none';
    this.#deps.metrics.request(
      longRunning ? { cluster, verb, code } : { cluster, verb, code, seconds, auditId, traceId },
    );
    const identity = this.caller?.identity ?? this.serviceAccount;
    const judged = { info: this.info, code, identity };
    // A request that is audited as received is audited as complete too, whatever a rule leaves out.
    if (this.#writtenAhead || auditedByPolicy(judged, this.#deps.auditPolicy?.policy))
      this.#deps.audit.record(this.#event('ResponseComplete'));
  }

  #event(stage: Exclude<AuditStage, 'Panic'>): AuditEvent {
    const credential = this.caller?.credential;
    const delegation = this.caller?.delegation;
    const { auditId, target, address, userAgent, trace } = this.#facts;
    const at = this.#deps.clock.nowMs();
    const ended = stage === 'ResponseComplete' && this.info.longRunning;
    const identity = this.caller?.identity ?? this.serviceAccount;
    return requestEvent({
      auditId,
      stage,
      requestUri: target,
      auditedUri: this.#auditedUri,
      info: this.info,
      execCommands: this.#deps.auditPolicy?.execCommands ?? false,
      sourceIps: [address],
      receivedAt: this.#receivedAt,
      at,
      identity,
      impersonated: this.impersonated,
      userAgent,
      status: this.#status,
      details: {
        cluster: this.cluster,
        session: credential === undefined ? undefined : ownSession(credential),
        'delegated-session': delegation === undefined ? undefined : credential?.session,
        actor: delegation === undefined ? undefined : actorText(delegation),
        'grant-id': this.caller && grantIds(this.caller),
        account: credential?.account,
        provider: credential?.provider,
        passthrough: this.serviceAccount === undefined ? undefined : 'true',
        reason: this.#reason,
        admitted: this.#admitted && this.#status?.reason !== undefined ? 'true' : undefined,
        trace,
        'bytes-in': ended ? String(this.bytesIn) : undefined,
        'bytes-out': ended ? String(this.bytesOut) : undefined,
        'duration-ms': ended ? String(Math.round(at - this.#receivedAt)) : undefined,
      },
    });
  }
}

/** A client that does not read: this is no reason of the revocation guard's, and no client is told. */
export type ExchangeCutReason = CutReason | 'answer_not_taken';

/** @returns `exec` for a command, an attachment or a tunnel into a pod, `secrets` for a read of Secrets */
export function sensitiveKind(info: VerbFacts): 'exec' | 'secrets' | undefined {
  const verb = effectiveVerb(info);
  if (isIntoPod(info) && verb === 'create') return 'exec';
  const isSecrets = info.isResourceRequest && info.apiGroup === '' && info.resource === 'secrets';
  return isSecrets && info.subresource === '' && isRead(verb) ? 'secrets' : undefined;
}
