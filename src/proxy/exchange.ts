/**
 * One request on its way through the gate, upgraded or not: what is known of it, whether bytes may pass, and its end.
 *
 * It is the gate's `Flight`: from the tick of its first check until both sides are closed, a revocation or a fence can end it by a reset of
 * both sides, at any moment.
 */
import { randomUUID } from 'node:crypto';
import type { Caller } from '../core/credential.ts';
import type { Identity } from '../core/identity.ts';
import type { RequestInfo } from '../core/request-info.ts';
import type { CutReason, Flight, Gate, GateRefusal, Registration } from '../revocation/revocation.ts';
import type { ClientConnection } from './connection.ts';
import type { RequestRecord } from './request-record.ts';
import type { Refusal } from './status.ts';

/** The client's half. */
export interface ClientSide {
  /** Answers with a Status, if nothing has been answered yet and somebody still listens. */
  refuse(refusal: Refusal): void;
}

/** The API server's half, once there is one. */
export interface UpstreamSide {
  /** Resets it. Synchronous; nothing more is taken from it. */
  abort(): void;
  /** The client's side has closed. */
  clientGone(): void;
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

/** Reasons that are about the person, so that they are owed a word. */
const EXPLAINED: ReadonlySet<CutReason> = new Set([
  'session_revoked',
  'session_expired',
  'recheck_overdue',
  'identity_changed',
  'epoch_changed',
]);

export class Exchange implements Flight {
  readonly auditId = randomUUID();
  readonly facts: ExchangeFacts;
  readonly record: RequestRecord;
  readonly #gate: Pick<Gate, 'check' | 'fenced'>;
  readonly #resetClient: () => void;
  readonly #onEnd: (exchange: Exchange) => void;
  #registration: Registration | undefined;
  #caller: Caller | undefined;
  /** A service account that passes with its own token. */
  #withoutSession = false;
  #release: (() => void) | undefined;
  #cutReason: CutReason | undefined;
  #upstream: UpstreamSide | undefined;
  #upstreamOpen = false;
  #clientOpen = true;
  #ended = false;

  constructor(options: {
    readonly facts: ExchangeFacts;
    readonly gate: Pick<Gate, 'check' | 'fenced'>;
    /** RST of the client's side: its connection, or its stream where others share the connection. */
    readonly resetClient: () => void;
    readonly record: (exchange: Exchange) => RequestRecord;
    readonly onEnd: (exchange: Exchange) => void;
  }) {
    this.facts = options.facts;
    this.#gate = options.gate;
    this.#resetClient = options.resetClient;
    this.record = options.record(this);
    this.#onEnd = options.onEnd;
    this.facts.connection.exchangeOpened();
  }

  get caller(): Caller | undefined {
    return this.#caller;
  }

  /** True while somebody is there to be answered. */
  get clientOpen(): boolean {
    return this.#clientOpen && this.#cutReason === undefined;
  }

  register(gate: Pick<Gate, 'register'>): void {
    this.#registration = gate.register(this);
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
    const refusal = this.#judge();
    if (refusal === 'nobody') return false;
    if (refusal !== undefined) this.cut(refusal);
    return refusal === undefined;
  }

  #judge(): GateRefusal | 'nobody' | undefined {
    if (this.#caller !== undefined) return this.#gate.check(this.#caller.credential);
    if (!this.#withoutSession) return 'nobody';
    return this.#gate.fenced ? 'fenced' : undefined;
  }

  /** From here on a cut resets the API server's side as well. */
  attach(upstream: UpstreamSide): void {
    this.#upstream = upstream;
    this.#upstreamOpen = true;
  }

  cut(reason: CutReason): void {
    if (this.#cutReason !== undefined) return;
    this.#cutReason = reason;
    this.record.cutReason = reason;
    if (EXPLAINED.has(reason)) attempt(() => this.#upstream?.farewell?.(reason));
    attempt(() => this.#resetClient());
    attempt(() => this.#upstream?.abort());
  }

  endCleanly(): void {
    this.#upstream?.endCleanly?.();
  }

  /** The client's side has closed: nobody is left to send to, so the API server need not go on. */
  clientClosed(): void {
    if (!this.#clientOpen) return;
    this.#clientOpen = false;
    this.facts.connection.exchangeClosed();
    if (this.#upstreamOpen) this.#upstream?.clientGone();
    this.#endIfDone();
  }

  upstreamClosed(): void {
    this.#upstreamOpen = false;
    this.#endIfDone();
  }

  #endIfDone(): void {
    // Closing one side may close the other from within.
    if (this.#clientOpen || this.#upstreamOpen || this.#ended) return;
    this.#ended = true;
    this.#registration?.close();
    this.#release?.();
    this.record.end();
    this.#onEnd(this);
  }
}

/** A cut goes on to the other side whatever happens on this one. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // A socket that is already gone has nothing left to reset.
  }
}
