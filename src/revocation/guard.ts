/** Assembles the parts of the module behind the `RevocationGuard` interface. */
import { randomBytes } from 'node:crypto';
import type { Logger } from '../contracts/logger.ts';
import { waitFor } from '../core/credential/lease.ts';
import {
  accountKey,
  sessionKey,
  type LogChange,
  type LogEntry,
  type LogPosition,
  type RevocationTarget,
  type TargetKey,
} from '../core/credential/revocation.ts';
import type { Account } from '../core/identity/identity.ts';
import type { DrillPart, Joined, ReplicaState } from '../store/store.ts';
import type { EndedSession, RevocationGuardOptions } from './types.ts';
import { LogFollower } from './follower.ts';
import { Peers } from './peers.ts';
import { GrantEndings } from './grant-endings.ts';
import { FlightRegistry } from './registry.ts';
import type { UnbrokenLease } from './proof.ts';
import { replicaViews } from './replicas.ts';
import type {
  OpenStream,
  CheckedCredential,
  CutReason,
  Flight,
  RevocationGuard,
  GuardRejection,
  Registration,
  ReplicaView,
  RevocationOrder,
  RevocationResult,
  SessionInFlight,
} from './types.ts';
import { Revocations } from './revocations.ts';
import { SessionEndings } from './session-endings.ts';
import { View } from './view.ts';

const SILENT_LOGGER: Pick<Logger, 'info' | 'warn'> = { info: () => undefined, warn: () => undefined };

/** A registry entry that has not moved for so long belongs to a process that is gone. */
const REMOVED_AFTER_MS = 60_000;

/**
 * Creates the guard of this replica. It rejects everything until `start` has resolved.
 *
 * @returns the guard; `revoke` throws `AppError` `store_unavailable` if nothing could be written
 * @see docs/revocation-protocol.md, whose terms (lease, fence, receipt, join) are used throughout
 */
export function createRevocationGuard(options: RevocationGuardOptions): RevocationGuard {
  return new LeasedGuard(options);
}

class LeasedGuard implements RevocationGuard {
  readonly #options: RevocationGuardOptions;
  readonly #view = new View();
  readonly #registry: FlightRegistry;
  readonly #sessionEndings: SessionEndings;
  readonly #grantEndings: GrantEndings;
  readonly #peers: Peers;
  readonly #follower: LogFollower;
  readonly #revocations: Revocations;
  readonly #listeners: ((change: LogChange | undefined) => void)[] = [];
  /** The name of a pod comes back after a restart; this id does not. */
  // safeguard: INCARNATION
  readonly incarnation = randomBytes(16).toString('hex');
  #drill: DrillPart | undefined;
  #cutThroughNumber = 0;

  constructor(options: RevocationGuardOptions) {
    this.#options = options;
    this.#sessionEndings = new SessionEndings({
      clock: options.clock,
      sessions: options.sessions,
      cut: (session) => this.#registry.cut(session, 'session_expired'),
      ended: (session) => void this.#sessionEnded(session),
    });
    this.#registry = new FlightRegistry({
      monotonicMs: options.monotonicMs,
      bound: (credential, ends) => {
        this.#sessionEndings.watch(credential, ends);
        if (credential.grantsEndAtMs !== undefined) this.#grantEndings.checkAt(credential.grantsEndAtMs);
      },
      empty: (session) => this.#sessionEndings.forget(session),
      allCut: () => this.#allCut(),
    });
    this.#grantEndings = new GrantEndings({
      monotonicMs: options.monotonicMs,
      cutEnded: (nowMs) => this.#registry.cutEndedGrants(nowMs),
    });
    this.#peers = new Peers(this.incarnation);
    this.#follower = this.#makeFollower();
    this.#revocations = new Revocations({
      ...options,
      waitMs: waitFor(options.stalenessSeconds * 1000),
      registry: this.#registry,
      peers: this.#peers,
      position: () => this.#follower.position,
      unbrokenLease: () => this.#unbrokenLease(),
      wake: () => this.#follower.wake(),
      metrics: options.metrics,
    });
  }

  get position(): LogPosition | undefined {
    return this.#follower.position;
  }

  get fenced(): boolean {
    // safeguard: LEASE
    return !this.#follower.lease.holds(this.#options.monotonicMs());
  }

  get stalenessSeconds(): number {
    const { freshAtMs } = this.#follower.lease;
    return freshAtMs === undefined ? Number.POSITIVE_INFINITY : (this.#options.monotonicMs() - freshAtMs) / 1000;
  }

  get inFlight(): number {
    return this.#registry.size;
  }

  get clockOff(): boolean {
    return this.#follower.clockOff;
  }

  get replicas(): readonly ReplicaView[] {
    const { monotonicMs, replicaName } = this.#options;
    const local = {
      id: replicaName,
      incarnation: this.incarnation,
      fenced: this.fenced,
      freshAtMs: this.#follower.lease.freshAtMs,
      number: this.position?.number ?? 0,
      streamsCut: this.#registry.cutTotal,
      drill: this.#drill,
    };
    return replicaViews(local, this.#peers.all(), monotonicMs());
  }

  check({ keys, position: at, grantsEndAtMs }: CheckedCredential): GuardRejection | undefined {
    const position = this.#follower.position;
    if (position === undefined || this.fenced) return 'fenced';
    // safeguard: EPOCH
    if (at.epoch !== position.epoch) return 'epoch_changed';
    if (this.#revocations.localGuard.rejects(keys)) return 'session_revoked';
    // safeguard: DENY_LIST
    if (this.#view.covers(keys, at.number)) return 'session_revoked';
    return keys.grants === undefined || this.#areActive(keys.grants, grantsEndAtMs) ? undefined : 'grant_ended';
  }

  /** @param endAtMs monotonic milliseconds; without them nothing is active, because no one would end it */
  #areActive(grants: readonly TargetKey[], endAtMs = Number.NEGATIVE_INFINITY): boolean {
    const { localGuard } = this.#revocations;
    // safeguard: GRANT_DEADLINE
    if (!(this.#options.monotonicMs() < endAtMs)) return false;
    // safeguard: GRANT_ENTRY
    return !grants.some((key) => localGuard.holds(key) || this.#view.endsGrant(key));
  }

  register(flight: Flight): Registration {
    return this.#registry.register(flight);
  }

  onChange(listener: (change: LogChange | undefined) => void): void {
    this.#listeners.push(listener);
  }

  revoke(order: RevocationOrder): Promise<RevocationResult> {
    return this.#revocations.revoke(order);
  }

  hold(target: RevocationTarget, seconds: number): number {
    return this.#revocations.hold(target, seconds);
  }

  result(id: string): RevocationResult | undefined {
    return this.#revocations.result(id);
  }

  onResult(listener: (result: RevocationResult) => void): void {
    this.#revocations.onResult(listener);
  }

  sessionsInFlight(): readonly SessionInFlight[] {
    return this.#registry.sessions();
  }

  cutSession(session: string, reason: CutReason): number {
    return this.#registry.cut(sessionKey(session), reason);
  }

  openStreams(account: Account): readonly OpenStream[] {
    return this.#registry.streams(accountKey(account));
  }

  cutStream(account: Account, auditId: string): boolean {
    return this.#registry.cutStream(accountKey(account), auditId);
  }

  reportDrill(part: DrillPart): void {
    this.#drill = part;
    void this.#follower.wake();
  }

  refresh(): Promise<void> {
    return this.#follower.wake();
  }

  start(): Promise<void> {
    return this.#follower.start();
  }

  async stop(): Promise<void> {
    this.#registry.cutAll('shutdown');
    this.#sessionEndings.stop();
    this.#grantEndings.stop();
    await this.#follower.stop();
    await this.#leave([{ incarnation: this.incarnation }]);
  }

  #makeFollower(): LogFollower {
    const { log, monotonicMs, clock, uptimeMs, replicaName, longestTokenSeconds, stalenessSeconds, logger } =
      this.#options;
    const { servesNothing = false } = this.#options;
    return new LogFollower({
      log,
      monotonicMs,
      clock,
      uptimeMs,
      longestTokenSeconds,
      lengthMs: stalenessSeconds * 1000,
      incarnation: this.incarnation,
      name: replicaName,
      servesNothing,
      logger: logger ?? SILENT_LOGGER,
      hooks: {
        joined: (joined) => this.#joined(joined),
        fence: (reason) => this.#fence(reason),
        apply: (entry) => this.#apply(entry),
        renewed: (replicas, nowMs) => this.#renewed(replicas, nowMs),
        streamsCut: () => this.#registry.cutTotal,
        drill: () => this.#drill,
        keys: () => this.#options.keys?.registered(),
        cutThrough: (number) => this.#cutThrough(number),
        served: (fence) => this.#options.onFenced?.(fence),
      },
    });
  }

  #unbrokenLease(): UnbrokenLease | undefined {
    const { unbrokenLease } = this.#follower;
    // There is no generation before the first, so no replica can hold a lease of it.
    if (unbrokenLease === undefined || this.#options.isFirstGeneration !== true) return unbrokenLease;
    return { ...unbrokenLease, sinceMs: Number.NEGATIVE_INFINITY };
  }

  #joined({ position, live }: Joined): void {
    const { localGuard } = this.#revocations;
    // safeguard: IDX
    this.#view.reset(live);
    localGuard.joined(position);
    for (const entry of live) localGuard.applied(entry);
    this.#peers.clear();
    this.#options.keys?.unseen();
    this.#notify(undefined);
  }

  #fence(reason: CutReason): void {
    this.#registry.cutAll(reason);
    this.#options.keys?.unseen();
    this.#notify(undefined);
  }

  #apply(entry: LogEntry): void {
    this.#view.apply(entry);
    this.#revocations.localGuard.applied(entry);
    if (entry.change.kind === 'revoked') this.#registry.cut(entry.change.key, 'session_revoked', entry.number);
    this.#notify(entry.change);
  }

  /** Returns the last entry that is applied here with all its cuts: the receipt that other replicas wait for. */
  #cutThrough(number: number): number {
    if (!this.#registry.isCutting) this.#cutThroughNumber = number;
    return Math.min(this.#cutThroughNumber, number);
  }

  #allCut(): void {
    this.#revocations.renewed();
    void this.#follower.wake();
  }

  #renewed(replicas: readonly ReplicaState[], nowMs: number): void {
    this.#peers.observe(replicas, nowMs);
    this.#seeKeys(nowMs);
    this.#revocations.renewed();
    this.#view.prune(this.#options.clock.nowMs() / 1000);
    void this.#leave(this.#peers.gone(nowMs, REMOVED_AFTER_MS));
  }

  /** Before an epoch is settled, a replica that holds an older lease may not have come to it yet. */
  #seeKeys(nowMs: number): void {
    const { log, keys } = this.#options;
    if (!log.settled || keys === undefined) return;
    const live = this.#peers.all().filter(({ silent }) => !silent);
    keys.seen(
      live.map(({ state }) => state),
      nowMs,
    );
  }

  /**
   * Writes the end of a session, so that other replicas drop what they have cached of it, as with every other end.
   * The id is the same on each replica: one entry for all.
   */
  async #sessionEnded(ended: EndedSession): Promise<void> {
    this.#options.onSessionEnded?.(ended);
    const { session } = ended;
    const key: TargetKey = sessionKey(session);
    try {
      await this.#options.log.append({ requestId: `ended ${key}`, target: { kind: 'session', session }, ended: true });
    } catch (error) {
      (this.#options.logger ?? SILENT_LOGGER).info({ err: error }, 'session end not written');
    }
  }

  #notify(change: LogChange | undefined): void {
    for (const listener of this.#listeners) listener(change);
  }

  async #leave(
    replicas: readonly (Pick<ReplicaState, 'incarnation'> & Partial<Pick<ReplicaState, 'count'>>)[],
  ): Promise<void> {
    for (const { incarnation, count } of replicas) {
      try {
        await this.#options.log.leave(incarnation, count);
      } catch (error) {
        // The entry stays in the registry, and the next replica that sees it silent removes it.
        (this.#options.logger ?? SILENT_LOGGER).info({ err: error }, 'replica not removed from the registry');
      }
    }
  }
}
