/**
 * One request on its way through the proxy, upgraded or not: what is known of it, whether bytes may pass, and its
 * end.
 *
 * It is the revocation guard's `Flight`: from the tick of its first check until both sides are closed, a revocation
 * or a fence can end it by a reset of both sides, at any moment.
 */
import type { Turns } from '../timing/timing.ts';
import type { ExchangeCutReason } from './request-audit.ts';
import type { RecentRequest } from '../core/audit/recent-request.ts';
import type { Caller } from '../core/credential/credential.ts';
import type { Identity } from '../core/identity/identity.ts';
import type { RequestInfo } from '../core/request/request-info.ts';
import type { CutReason, Flight, RevocationGuard, GuardRejection, Registration } from '../revocation/revocation.ts';
import type { ClientConnection } from './listener/connection.ts';
import { Progress } from './streams/progress.ts';
import type { RequestAudit } from './request-audit.ts';
import { cutRejection } from './rejections.ts';
import type { MessageContext } from './rejections.ts';
import type { Rejection } from './status.ts';

/** The client's side. */
export interface ClientSide {
  /** Responds with a Status, if there is no response yet and the client is still there. */
  reject(rejection: Rejection): void;
  /**
   * The same for a request that is cut: in this very tick, and as the last response of its connection. Does not wait
   * for a client that does not read.
   */
  rejectCut(rejection: Rejection): void;
  /** True when nothing can reach the client any more. */
  readonly gone: boolean;
  /** Bytes that have been written and that the client has not read. */
  readonly waiting: number;
  /** Drops what is queued for a client that is gone. Absent: nothing is. */
  discard?(): void;
  /**
   * Calls back when nothing of the API server's that was written lies in this process any more. Called when the client's
   * side has closed. Absent: nothing does then.
   */
  whenSent?(listener: () => void): void;
}

/** The API server's side, once there is one. */
export interface UpstreamSide {
  /** Resets it. Synchronous; nothing more is read from it. */
  abort(): void;
  /** Notes that the client's side has closed. */
  clientGone(): void;
  /** True when its connection is lost, whether or not an event announced that. */
  readonly gone: boolean;
  /** Its connection by its ends (`listener/system-buffers.ts`). Absent: it has none, or shares it with others. */
  readonly endpoints?: string | undefined;
  /** The request may have been sent, and changes something: the API server may have executed it. */
  readonly mayHaveExecuted: boolean;
  /**
   * Absent: its client is never late.
   * @param nowMs monotonic
   * @returns milliseconds by which the client is late
   */
  lateMs?(nowMs: number): number;
  /** Tells the client the reason for a cut, if that can be written in this very tick. */
  sendTerminationNotice?(reason: CutReason): void;
  /** Ends a request that can be ended without loss, such as a watch between two events. For a shutdown. */
  endCleanly?(): void;
}

export interface ExchangeFacts {
  readonly method: string;
  /** Request target as the client sent it. */
  readonly target: string;
  /** Name, value, name, value, … */
  readonly raw: readonly string[];
  readonly connection: ClientConnection;
}

export interface ExchangeOptions {
  readonly facts: ExchangeFacts;
  readonly guard: Pick<RevocationGuard, 'check' | 'fenced'>;
  readonly messages: MessageContext;
  /** RST of the client's side: its connection, or its stream if others share the connection. */
  readonly resetClient: (reason: ExchangeCutReason) => void;
  readonly auditId: string;
  readonly audit: RequestAudit;
  /** Turns over which the ends of many are shared, in which each one is audited. */
  readonly ends: Pick<Turns, 'do'>;
  /** Both sides are closed, and it is audited. Called once. */
  readonly onEnd: () => void;
}

/** How long a client may read nothing of what waits for it, in milliseconds. */
export interface UnreadLimits {
  /** For a whole response, and for an ordinary response that is still under way. */
  readonly responseMs: number;
  /**
   * For the rest of a stream whose API server has ended it. A stream that goes on may be left unread: its user has
   * stopped a pager.
   */
  readonly streamMs: number;
}

/** If an event announces the end a little later, that event ends it. */
const SWEEPS_UNTIL_GONE = 2;

export class Exchange implements Flight {
  readonly auditId: string;
  readonly facts: ExchangeFacts;
  readonly audit: RequestAudit;
  readonly #guard: Pick<RevocationGuard, 'check' | 'fenced'>;
  readonly #messages: MessageContext;
  readonly #resetClient: (reason: ExchangeCutReason) => void;
  readonly #ends: Pick<Turns, 'do'>;
  readonly #onEnd: () => void;
  #registration: Registration | undefined;
  #caller: Caller | undefined;
  /** True for a service account that passes with its own token. */
  #withoutSession = false;
  #release: (() => void) | undefined;
  #cutReason: ExchangeCutReason | undefined;
  #isReset = false;
  #upstream: UpstreamSide | undefined;
  #upstreamOpen = false;
  #client: Omit<ClientSide, 'reject'> | undefined;
  #clientOpen = true;
  /** The whole response has been written, however much of it the client has read. */
  #responded = false;
  #isAudited = false;
  #ended = false;
  /** It has ended, and some of its response may lie in this process. */
  #isSending = false;
  readonly #progress = new Progress();
  #sweepsGone = 0;

  constructor(options: ExchangeOptions) {
    this.facts = options.facts;
    this.#guard = options.guard;
    this.#messages = options.messages;
    this.#resetClient = options.resetClient;
    this.auditId = options.auditId;
    this.audit = options.audit;
    this.#ends = options.ends;
    this.#onEnd = options.onEnd;
  }

  get caller(): Caller | undefined {
    return this.#caller;
  }

  /** Whom a denial of the API server is about. */
  get denied(): { readonly caller: Caller | undefined; readonly impersonates: boolean } {
    return { caller: this.#caller, impersonates: this.audit.impersonated !== undefined };
  }

  /** True while there is a client to respond to. */
  get clientOpen(): boolean {
    return this.#clientOpen && this.#cutReason === undefined;
  }

  /** It has one of its account's places in flight. */
  get inFlight(): boolean {
    return this.#release !== undefined && !this.#ended;
  }

  /**
   * @param nowMs monotonic
   * @returns milliseconds by which its client is late with what is in flight
   */
  lateMs(nowMs: number): number {
    return (this.#upstreamOpen ? this.#upstream?.lateMs?.(nowMs) : undefined) ?? 0;
  }

  /** The connection to the API server that carries nothing else, by its ends; undefined: there is none. */
  get upstreamEndpoints(): string | undefined {
    return this.#upstreamOpen ? this.#upstream?.endpoints : undefined;
  }

  register(guard: Pick<RevocationGuard, 'register'>): void {
    // A request that has ended already would stay registered permanently.
    if (this.#ended) return;
    this.#registration = guard.register(this);
  }

  /**
   * States whose request it is. The guard must be checked once more in the same tick: it may have started to reject
   * while the caller was established.
   */
  bind(caller: Caller): void {
    this.#caller = caller;
    this.#registration?.bind(caller.credential, { expiresAt: caller.sessionExpiresAt, idleAt: caller.sessionIdleAt });
    this.audit.caller = caller;
  }

  /**
   * Binds a service account that passes with its own token. It has no session of ours, so no revocation of ours
   * covers it: only the cluster can invalidate the token. A fence still ends it, and so does a shutdown.
   */
  bindServiceAccount(identity: Identity): void {
    this.#withoutSession = true;
    this.audit.serviceAccount = identity;
  }

  /**
   * Keeps a connection slot that is released with the end of the request, or immediately if that has come already.
   */
  hold(release: () => void): void {
    if (this.#ended) release();
    else this.#release = release;
  }

  describe(info: RequestInfo, cluster: string | undefined): void {
    this.audit.info = info;
    this.audit.cluster = cluster;
  }

  /**
   * True if a byte may pass now. Must be called in the tick that writes the byte to a socket, in both directions.
   * If the guard rejects meanwhile (a process that was stopped and goes on finds its lease lapsed before any timer
   * has run), everything is cut here.
   */
  mayPass(): boolean {
    // A hold that is released again must not let it go on: nothing cuts a flight twice.
    if (this.#cutReason !== undefined) return false;
    const rejection = this.#judge();
    if (rejection === 'unbound') return false;
    if (rejection !== undefined) this.cut(rejection);
    return rejection === undefined;
  }

  #judge(): GuardRejection | 'unbound' | undefined {
    if (this.#caller !== undefined) return this.#guard.check(this.#caller.credential);
    if (!this.#withoutSession) return 'unbound';
    return this.#guard.fenced ? 'fenced' : undefined;
  }

  /** Sets the side that `sweep` checks and a cut responds to. `clientClosed` reports when it closes. */
  attachClient(client: Omit<ClientSide, 'reject'>): void {
    this.#client = client;
  }

  /** Sets the API server's side, so that a cut resets it as well from here on. */
  attach(upstream: UpstreamSide): void {
    this.#upstream = upstream;
    this.#upstreamOpen = true;
  }

  /**
   * Tells the client why, in this tick, by the one write after the guard has rejected. A fenced replica may not pass a
   * byte of the API server's, which a revocation that it does not know of may cover, but may pass a Status of ours. It
   * ends the request where there is no response yet. A response that has begun gets a notice, if there is space.
   */
  announce(reason: ExchangeCutReason): void {
    if (this.#cutReason !== undefined || this.#ended) return;
    this.#cutReason = reason;
    this.audit.cut(reason);
    if (reason === 'answer_not_taken') return;
    attempt(() => this.#client?.rejectCut(this.#cutRejection(reason)));
    if (this.#clientOpen) attempt(() => this.#upstream?.sendTerminationNotice?.(reason));
  }

  #cutRejection(reason: CutReason): Rejection {
    const mayHaveExecuted = this.#upstream?.mayHaveExecuted === true;
    return cutRejection(reason, { mayHaveExecuted, context: this.#messages, holder: this.#caller?.credential });
  }

  /** Resets both sides, unless `announce` has responded already: then it is over. */
  cut(reason: ExchangeCutReason): void {
    // Its connection may carry another request by now. Where it still carries bytes of this one, they must not go out.
    if (this.#ended && this.#isSending) attempt(() => this.#resetClient(reason));
    if (this.#isReset || this.#ended) return;
    this.announce(reason);
    if (this.#isEnded()) return;
    this.#isReset = true;
    attempt(() => this.#resetClient(reason));
    attempt(() => this.#upstream?.abort());
  }

  endCleanly(): void {
    if (!this.#ended) this.#upstream?.endCleanly?.();
  }

  stream(): RecentRequest | undefined {
    return this.audit.openStream;
  }

  /**
   * Notes that the API server has responded and the whole response has been written. The request is audited now.
   *
   * An attacker whose HTTP/2 window is 0 never reads the response, so a request that was executed would be audited
   * whenever the attacker likes, and never if this process is killed before. Only the delivery is left until the
   * client's side closes, and a cut still ends it.
   */
  responded(): void {
    this.#responded = true;
    this.#writeAudit();
  }

  /**
   * Notes that the proxy itself has responded. That ends the request: whether the client reads the rejection
   * matters only to the connection.
   */
  rejected(rejection: Rejection): void {
    this.audit.rejected(rejection);
    this.clientClosed();
  }

  /** Notes that the client's side has closed. There is no one left to send to, so the API server need not go on. */
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
   * Checks both sides, about once a second. No single event is trusted to report an end, because Node drops some.
   * @param nowMs monotonic
   */
  sweep(nowMs: number, limits: UnreadLimits): void {
    if (this.#client?.gone === true || this.facts.connection.ended) {
      attempt(() => this.#client?.discard?.());
      this.clientClosed();
    }
    this.#sweepsGone = this.#upstreamOpen && this.#upstream?.gone === true ? this.#sweepsGone + 1 : 0;
    if (this.#sweepsGone >= SWEEPS_UNTIL_GONE) {
      attempt(() => this.#upstream?.abort());
      this.upstreamClosed();
    }
    if (this.#clientOpen) this.#checkProgress(nowMs, limits);
  }

  /**
   * An attacker holds queued data, and a connection to the API server, by responses that are never read, so
   * progress is required.
   */
  #checkProgress(nowMs: number, { responseMs, streamMs }: UnreadLimits): void {
    const waiting = this.#client?.waiting ?? 0;
    const { longRunning } = this.audit.info;
    if (!this.#responded && (waiting === 0 || longRunning)) {
      this.#progress.reset();
      return;
    }
    const stalledMs = this.#progress.stalledMs(this.audit.bytesOut - waiting, nowMs);
    if (stalledMs >= (longRunning ? streamMs : responseMs)) this.cut('answer_not_taken');
  }

  /** What the client has not taken is in flight although the request is over, so a revocation still cuts it. */
  #closeWhenSent(): void {
    const registration = this.#registration;
    if (registration === undefined) return;
    if (this.#client?.whenSent === undefined) return registration.close();
    this.#isSending = true;
    this.#client.whenSent(() => {
      this.#isSending = false;
      registration.close();
    });
  }

  /** A method, because the compiler takes a field for unchanged by a call. */
  #isEnded(): boolean {
    return this.#ended;
  }

  #writeAudit(): void {
    if (this.#isAudited) return;
    this.#isAudited = true;
    this.audit.end();
  }

  #endIfDone(): void {
    // Closing one side may close the other from within.
    if (this.#clientOpen || this.#upstreamOpen || this.#ended) return;
    this.#ended = true;
    this.#closeWhenSent();
    this.#release?.();
    if (this.#isAudited) return this.#onEnd();
    // A user closes connections with hundreds of watches in one instant: to audit all of their ends in that turn takes as
    // long as a lease.
    this.#ends.do(() => {
      this.#writeAudit();
      this.#onEnd();
    });
  }
}

/** Runs a step of a cut. The cut goes on to the other side whatever happens on this one. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // A socket that is already gone has nothing left to reset.
  }
}
