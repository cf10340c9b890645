/**
 * One request on its way through the gate, upgraded or not: what is known of it, whether bytes may pass, and its end.
 *
 * It is the gate's `Flight`: from the tick of its first check until both sides are closed, a revocation or a fence can end it by a reset of
 * both sides, at any moment.
 */
import type { ExchangeCutReason } from './request-audit.ts';
import { randomUUID } from 'node:crypto';
import type { Caller } from '../core/credential/credential.ts';
import type { Identity } from '../core/identity/identity.ts';
import type { RequestInfo } from '../core/request/request-info.ts';
import type { CutReason, Flight, RevocationGuard, GuardRejection, Registration } from '../revocation/revocation.ts';
import type { ClientConnection } from './listener/connection.ts';
import { Progress } from './streams/progress.ts';
import type { RequestAudit } from './request-audit.ts';
import type { Rejection } from './status.ts';

/** The client's half. */
export interface ClientSide {
  /** Answers with a Status, if nothing has been answered yet and somebody still listens. */
  refuse(rejection: Rejection): void;
  /** Nothing can reach the client any more. */
  readonly gone: boolean;
  /** Bytes that have been written and that the client has not taken. */
  readonly waiting: number;
}

/** The API server's half, once there is one. */
export interface UpstreamSide {
  /** Resets it. Synchronous; nothing more is taken from it. */
  abort(): void;
  /** The client's side has closed. */
  clientGone(): void;
  /** Its connection is lost, whether or not that was announced. */
  readonly gone: boolean;
  /** Says why to the client, if that can be written in this very tick. */
  farewell?(reason: CutReason): void;
  /** Ends what can be ended without loss, such as a watch between two events; for a shutdown. */
  endCleanly?(): void;
}

export interface ExchangeFacts {
  readonly method: string;
  /** Request target as it came. */
  readonly target: string;
  /** Name, value, name, value, … */
  readonly raw: readonly string[];
  readonly connection: ClientConnection;
}

/** How long a client may take nothing of what waits for it, in milliseconds. */
export interface UntakenLimits {
  /** Of a whole answer, and of an ordinary answer that is still under way. */
  readonly answerMs: number;
  /** Of what is left of a stream whose API server has ended it. A stream that goes on may be left unread: its user has stopped a pager. */
  readonly streamMs: number;
}

/** Reasons that are about the person, so that they are owed a word. */
const EXPLAINED: ReadonlySet<CutReason> = new Set([
  'session_revoked',
  'session_expired',
  'recheck_overdue',
  'identity_changed',
  'epoch_changed',
]);

/** An end that an event announces a little later is left to the event. */
const LOOKS_UNTIL_GONE = 2;

export class Exchange implements Flight {
  readonly auditId = randomUUID();
  readonly facts: ExchangeFacts;
  readonly record: RequestAudit;
  readonly #guard: Pick<RevocationGuard, 'check' | 'fenced'>;
  readonly #resetClient: () => void;
  readonly #onEnd: (exchange: Exchange) => void;
  #registration: Registration | undefined;
  #caller: Caller | undefined;
  /** A service account that passes with its own token. */
  #withoutSession = false;
  #release: (() => void) | undefined;
  #cutReason: ExchangeCutReason | undefined;
  #upstream: UpstreamSide | undefined;
  #upstreamOpen = false;
  #client: Pick<ClientSide, 'gone' | 'waiting'> | undefined;
  #clientOpen = true;
  /** All of the answer has been handed over, whatever the client takes of it. */
  #answered = false;
  #recorded = false;
  #ended = false;
  readonly #taking = new Progress();
  #looksGone = 0;

  constructor(options: {
    readonly facts: ExchangeFacts;
    readonly guard: Pick<RevocationGuard, 'check' | 'fenced'>;
    /** RST of the client's side: its connection, or its stream where others share the connection. */
    readonly resetClient: () => void;
    readonly record: (exchange: Exchange) => RequestAudit;
    readonly onEnd: (exchange: Exchange) => void;
  }) {
    this.facts = options.facts;
    this.#guard = options.guard;
    this.#resetClient = options.resetClient;
    this.record = options.record(this);
    this.#onEnd = options.onEnd;
  }

  get caller(): Caller | undefined {
    return this.#caller;
  }

  /** True while somebody is there to be answered. */
  get clientOpen(): boolean {
    return this.#clientOpen && this.#cutReason === undefined;
  }

  register(guard: Pick<RevocationGuard, 'register'>): void {
    // What has ended already would be registered for good.
    if (this.#ended) return;
    this.#registration = guard.register(this);
  }

  /** Says whose it is. The gate must be asked once more in the same tick: it may have been shut while the caller was established. */
  bind(caller: Caller): void {
    this.#caller = caller;
    this.#registration?.bind(caller.credential, { expiresAt: caller.sessionExpiresAt, idleAt: caller.sessionIdleAt });
    this.record.caller = caller;
  }

  /**
   * For a service account that passes with its own token. There is no session of ours behind it, so no revocation of ours covers it: only
   * the cluster can take the token back. A fence still ends it, and a shutdown.
   */
  bindServiceAccount(identity: Identity): void {
    this.#withoutSession = true;
    this.record.serviceAccount = identity;
  }

  /** Keeps a place that is given back with the end; at once where that has come already. */
  hold(release: () => void): void {
    if (this.#ended) release();
    else this.#release = release;
  }

  describe(info: RequestInfo, cluster: string | undefined): void {
    this.record.info = info;
    this.record.cluster = cluster;
  }

  /**
   * May a byte pass now? To be asked in the tick that hands it to a socket, in both directions. Where the gate is shut meanwhile (a
   * process that was stopped and goes on finds its lease lapsed before any timer has run) everything is cut here.
   */
  mayPass(): boolean {
    if (this.#cutReason !== undefined) return false;
    const rejection = this.#judge();
    if (rejection === 'nobody') return false;
    if (rejection !== undefined) this.cut(rejection);
    return rejection === undefined;
  }

  #judge(): GuardRejection | 'nobody' | undefined {
    if (this.#caller !== undefined) return this.#guard.check(this.#caller.credential);
    if (!this.#withoutSession) return 'nobody';
    return this.#guard.fenced ? 'fenced' : undefined;
  }

  /** Whom `lookAgain` looks at; what it closes with is told by `clientClosed`. */
  attachClient(client: Pick<ClientSide, 'gone' | 'waiting'>): void {
    this.#client = client;
  }

  /** From here on a cut resets the API server's side as well. */
  attach(upstream: UpstreamSide): void {
    this.#upstream = upstream;
    this.#upstreamOpen = true;
  }

  cut(reason: ExchangeCutReason): void {
    if (this.#cutReason !== undefined) return;
    this.#cutReason = reason;
    this.record.cut(reason);
    if (isExplained(reason)) attempt(() => this.#upstream?.farewell?.(reason));
    attempt(() => this.#resetClient());
    attempt(() => this.#upstream?.abort());
  }

  endCleanly(): void {
    this.#upstream?.endCleanly?.();
  }

  /**
   * The API server has answered, and all of it has been handed over. It is audited now.
   *
   * An attacker whose HTTP/2 window is 0 never takes the answer, so a request that was carried out would be audited whenever the attacker likes,
   * and never where this process is killed before. What is left until the client's side closes is only the delivery, which a cut still ends.
   */
  answered(): void {
    this.#answered = true;
    this.#record();
  }

  /** The proxy itself has answered. That ends the request: whether the client takes the refusal makes no difference to anything but the connection. */
  refused(rejection: Rejection): void {
    this.record.refused(rejection);
    this.clientClosed();
  }

  /** The client's side has closed: nobody is left to send to, so the API server need not go on. */
  clientClosed(): void {
    if (!this.#clientOpen) return;
    this.#clientOpen = false;
    if (this.#upstreamOpen) this.#upstream?.clientGone();
    this.#endIfDone();
  }

  upstreamClosed(): void {
    this.#upstreamOpen = false;
    this.#endIfDone();
  }

  /**
   * Looks at both sides, about once a second. No single event is trusted to tell that something has ended: Node drops some.
   * @param nowMs monotonic
   */
  lookAgain(nowMs: number, limits: UntakenLimits): void {
    if (this.#client?.gone === true || this.facts.connection.ended) this.clientClosed();
    this.#looksGone = this.#upstreamOpen && this.#upstream?.gone === true ? this.#looksGone + 1 : 0;
    if (this.#looksGone >= LOOKS_UNTIL_GONE) {
      attempt(() => this.#upstream?.abort());
      this.upstreamClosed();
    }
    if (this.#clientOpen) this.#judgeTaking(nowMs, limits);
  }

  /** An attacker holds what is queued, and a connection to the API server, by answers that it never reads. */
  #judgeTaking(nowMs: number, { answerMs, streamMs }: UntakenLimits): void {
    const waiting = this.#client?.waiting ?? 0;
    const { longRunning } = this.record.info;
    if (!this.#answered && (waiting === 0 || longRunning)) {
      this.#taking.reset();
      return;
    }
    const stalledMs = this.#taking.stalledMs(this.record.bytesOut - waiting, nowMs);
    if (stalledMs >= (longRunning ? streamMs : answerMs)) this.cut('answer_not_taken');
  }

  #record(): void {
    if (this.#recorded) return;
    this.#recorded = true;
    this.record.end();
  }

  #endIfDone(): void {
    // Closing one side may close the other from within.
    if (this.#clientOpen || this.#upstreamOpen || this.#ended) return;
    this.#ended = true;
    this.#registration?.close();
    this.#release?.();
    this.#record();
    this.#onEnd(this);
  }
}

function isExplained(reason: ExchangeCutReason): reason is CutReason {
  return (EXPLAINED as ReadonlySet<ExchangeCutReason>).has(reason);
}

/** A cut goes on to the other side whatever happens on this one. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // A socket that is already gone has nothing left to reset.
  }
}
