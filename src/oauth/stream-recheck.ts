/**
 * The re-check of users with open streams (docs/architecture.md#invariant-10). A kubectl that watches does not
 * refresh, so its provider would not be asked for as long as the session lives. The replica that holds the stream
 * asks instead.
 *
 * Rejected: the session is revoked, in the same way as by an admin. Changed: streams under the old identity are
 * cut, on every replica that receives the change through the log. Provider unavailable for longer than the grace:
 * the session's streams here are cut and it may open no long-lived ones, but it is not revoked, and goes on once
 * the provider is back.
 */
import type { Clock } from '../contracts/clock.ts';
import type { AuditTrail } from '../audit/audit.ts';
import { isCoveredBy } from '../core/credential/revocation.ts';
import { AppError } from '../core/errors.ts';
import { isMalformed } from '../core/identity/claims.ts';
import type { CutReason, RevocationGuard } from '../revocation/revocation.ts';
import type { SessionRecord, SessionStore } from '../store/store.ts';
import { ProviderCircuitBreaker } from './provider-circuit-breaker.ts';
import { settleRecheck } from './recheck-outcome.ts';
import type { Recheck } from './recheck.ts';

/** How many sessions are read from the store at once. */
const MAX_CONCURRENT_READS = 16;
/**
 * Checks begin up to this share of the interval early, so that sessions that began together are not all checked at
 * once.
 */
const SPREAD = 0.1;
const LONGEST_ROUND_MS = 15_000;
const SHORTEST_ROUND_MS = 500;
/** A check without a result is tried again after this share of the interval. */
const RETRY_SHARE = 0.2;
/** Rounds in one interval: how exactly the interval is kept. */
const ROUNDS = 20;
/** The identity under which a stream was opened is no longer the user's. */
const CHANGED: CutReason = 'identity_changed';

export interface StreamRecheckDeps {
  readonly guard: Pick<RevocationGuard, 'sessionsInFlight' | 'cutSession' | 'revoke' | 'onChange' | 'fenced'>;
  readonly sessions: Pick<SessionStore, 'read' | 'readSecret'>;
  readonly recheck: Recheck;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead'>;
  readonly log: { info(fields: object, message: string): void; error(fields: object, message: string): void };
  /** `sessions.recheck` and `sessions.recheckGrace`. */
  readonly everySeconds: number;
  readonly graceSeconds: number;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
}

export interface StreamRecheck {
  start(): void;
  /** Checks the sessions that are in flight here once. Resolves when every check that it began has ended. */
  checkOnce(): Promise<void>;
  stop(): void;
}

interface Watched {
  /** Epoch milliseconds at which the store is asked for the time of the last check. */
  dueAt: number;
  /** The check that waits or runs. */
  checking: Promise<void> | undefined;
}

export function createStreamRecheck(deps: StreamRecheckDeps): StreamRecheck {
  return new StreamRechecker(deps);
}

class StreamRechecker implements StreamRecheck {
  readonly #deps: StreamRecheckDeps;
  readonly #watched = new Map<string, Watched>();
  /** One for each provider: one that hangs does not delay the others. */
  readonly #breakers = new Map<string, ProviderCircuitBreaker>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(deps: StreamRecheckDeps) {
    this.#deps = deps;
    deps.guard.onChange((change) => {
      if (change?.kind !== 'identity-changed') return;
      for (const { session, keys } of deps.guard.sessionsInFlight()) {
        if (isCoveredBy(keys, change.key)) deps.guard.cutSession(session, CHANGED);
      }
    });
  }

  start(): void {
    const roundMs = Math.min(LONGEST_ROUND_MS, Math.max(SHORTEST_ROUND_MS, Math.floor(this.#everyMs / ROUNDS)));
    const round = (): void => {
      this.checkOnce().catch((error: unknown) =>
        this.#deps.log.error({ err: error }, 'open streams could not be checked'),
      );
      if (!this.#stopped) this.#timer = setTimeout(round, roundMs).unref();
    };
    this.#timer = setTimeout(round, roundMs).unref();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async checkOnce(): Promise<void> {
    // A fenced replica has cut everything, and can write nothing.
    if (this.#deps.guard.fenced) return;
    const now = this.#deps.clock.nowMs();
    // A script watches for hours in a delegated session, so the provider is asked about its user's own session.
    const here = new Set(this.#deps.guard.sessionsInFlight().map(({ own }) => own));
    for (const session of this.#watched.keys()) if (!here.has(session)) this.#watched.delete(session);
    const due: string[] = [];
    for (const session of here) {
      const watched = this.#watched.get(session) ?? { dueAt: now, checking: undefined };
      this.#watched.set(session, watched);
      // Later than any check can be due: the clock was set back.
      if (watched.dueAt <= now || watched.dueAt > now + this.#everyMs) due.push(session);
    }
    const queue = due.values();
    await Promise.all(
      Array.from({ length: MAX_CONCURRENT_READS }, async () => {
        for (const session of queue) await this.#checkIfDue(session);
      }),
    );
    await Promise.all([...this.#watched.values()].flatMap(({ checking }) => checking ?? []));
  }

  /** Asks the store how long ago the last check was, on any replica, and checks if one is due. */
  async #checkIfDue(session: string): Promise<void> {
    const [record, secret] = await Promise.all([
      this.#deps.sessions.read(session),
      this.#deps.sessions.readSecret(session),
    ]);
    const watched = this.#watched.get(session);
    if (record === undefined || watched === undefined) return;
    const now = this.#deps.clock.nowMs();
    // A workload, or a user whose provider gave no refresh token: no provider can be asked, and their sessions are
    // short.
    if (secret?.refreshToken === undefined) {
      watched.dueAt = now + this.#everyMs;
      return;
    }
    const ageMs = now - record.checkedAt * 1000;
    const dueMs = this.#everyMs * (1 - SPREAD * this.#deps.random());
    // A time of the last check in the future means nothing: the clock was set back.
    if (ageMs >= 0 && ageMs < dueMs) {
      watched.dueAt = now + dueMs - ageMs;
      return;
    }
    const breaker = this.#breakerOf(record.provider);
    if (breaker.failing && ageMs >= this.#graceMs) this.#cutOverdue(record);
    // This applies until a check has succeeded.
    watched.dueAt = this.#retryAt(record);
    watched.checking ??= breaker
      .run(() => this.#check(record, watched, breaker))
      .finally(() => (watched.checking = undefined));
  }

  /** Never rejects. */
  async #check(record: SessionRecord, watched: Watched, breaker: ProviderCircuitBreaker): Promise<void> {
    const { log, clock } = this.#deps;
    if (breaker.isOpen(clock.nowMs())) return;
    try {
      await settleRecheck(this.#deps, await this.#deps.recheck(record.id));
      if (breaker.recordSuccess()) log.info({ provider: record.provider }, 'identity provider available again');
      watched.dueAt = clock.nowMs() + this.#everyMs * (1 - SPREAD * this.#deps.random());
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'provider_unavailable') {
        log.error({ err: error, session: record.id }, 're-check of an open stream failed');
        return;
      }
      // Another replica is asking.
      if (error.reason === 'recheck_busy') return;
      // Malformed claims are one user's. With such claims, that user would have the others checked too late.
      if (!isMalformed(error.reason) && breaker.recordFailure(clock.nowMs()))
        log.error({ err: error, provider: record.provider }, 'identity provider unavailable');
      if (clock.nowMs() - record.checkedAt * 1000 >= this.#graceMs) this.#cutOverdue(record);
    }
  }

  /** Returns a time soon, but not after the end of the grace. */
  #retryAt(record: SessionRecord): number {
    const now = this.#deps.clock.nowMs();
    const graceEndsAt = record.checkedAt * 1000 + this.#graceMs;
    const again = now + this.#everyMs * RETRY_SHARE * (1 - SPREAD * this.#deps.random());
    return graceEndsAt > now ? Math.min(again, graceEndsAt) : again;
  }

  #cutOverdue(record: SessionRecord): void {
    // Its token may live for minutes yet: streams that it opens are checked in the next round.
    this.#watched.delete(record.id);
    if (this.#deps.guard.cutSession(record.id, 'recheck_overdue') === 0) return;
    const { id: session, provider } = record;
    this.#deps.log.info({ session, provider }, 'streams ended: no re-check for too long');
  }

  #breakerOf(provider: string): ProviderCircuitBreaker {
    const breaker = this.#breakers.get(provider) ?? new ProviderCircuitBreaker();
    this.#breakers.set(provider, breaker);
    return breaker;
  }

  get #everyMs(): number {
    return this.#deps.everySeconds * 1000;
  }

  get #graceMs(): number {
    return this.#deps.graceSeconds * 1000;
  }
}
