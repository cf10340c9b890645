/** Puts the parts of the room together behind the `Gate` interface. */
import { randomBytes } from 'node:crypto';
import type { Coverable, LogChange, LogEntry, LogPosition } from '../core/revocation.ts';
import { SILENT_LOGGER } from './dependencies.ts';
import type { GateOptions } from './dependencies.ts';
import { LogFollower } from './follower.ts';
import { Peers } from './peers.ts';
import { FlightRegistry } from './registry.ts';
import type { CutReason, Gate, GateRefusal } from './revocation.ts';
import { Revocations } from './revocations.ts';
import { View } from './view.ts';

/** A registry entry that has not moved for so long belongs to a process that is gone. */
const GONE_AFTER_MS = 60_000;

/** W of REVOCATION.md, in milliseconds: L, its drift, and a margin for timers. */
const waitFor = (leaseMs: number): number => leaseMs * 1.001 + 100;

/**
 * Makes this replica's gate. It refuses everything until `start` has resolved.
 *
 * @returns the gate; `revoke` throws `AppError` `store_unavailable` where nothing could be written
 * @see REVOCATION.md, whose words (lease, fence, receipt, join) are used throughout
 */
export function createGate(options: GateOptions): Gate {
  return new LeasedGate(options);
}

class LeasedGate implements Gate {
  readonly #options: GateOptions;
  readonly #view = new View();
  readonly #registry: FlightRegistry;
  readonly #peers: Peers;
  readonly #follower: LogFollower;
  readonly #revocations: Revocations;
  readonly #listeners: ((change: LogChange | undefined) => void)[] = [];
  /** A pod's name comes back after a restart; this does not. */
  readonly #incarnation = randomBytes(16).toString('hex');

  constructor(options: GateOptions) {
    this.#options = options;
    const { log, monotonic, replicaName } = options;
    const lengthMs = options.stalenessSeconds * 1000;
    this.#registry = new FlightRegistry(options.clock);
    this.#peers = new Peers(this.#incarnation, waitFor(lengthMs));
    this.#follower = new LogFollower({
      log,
      monotonic,
      lengthMs,
      incarnation: this.#incarnation,
      name: replicaName,
      logger: options.logger ?? SILENT_LOGGER,
      hooks: {
        joined: (live) => this.#joined(live),
        fence: (reason) => this.#fence(reason),
        apply: (entry) => this.#apply(entry),
        renewed: (replicas, now) => this.#renewed(replicas, now),
        streamsCut: () => this.#registry.cutTotal,
      },
    });
    this.#revocations = new Revocations({
      ...options,
      incarnation: this.#incarnation,
      waitMs: waitFor(lengthMs),
      registry: this.#registry,
      peers: this.#peers,
      position: () => this.#follower.position,
      wake: () => this.#follower.wake(),
      metrics: options.metrics,
    });
  }

  get position(): LogPosition | undefined {
    return this.#follower.position;
  }

  get fenced(): boolean {
    return !this.#follower.lease.holds(this.#options.monotonic());
  }

  get stalenessSeconds(): number {
    const { freshAt } = this.#follower.lease;
    return freshAt === undefined ? Number.POSITIVE_INFINITY : (this.#options.monotonic() - freshAt) / 1000;
  }

  get inFlight(): number {
    return this.#registry.size;
  }

  check(credential: Coverable & { readonly position: LogPosition }): GateRefusal | undefined {
    const position = this.#follower.position;
    if (position === undefined || this.fenced) return 'fenced';
    if (credential.position.epoch !== position.epoch) return 'epoch_changed';
    if (this.#revocations.ownGate.shutFor(credential)) return 'session_revoked';
    return this.#view.covers(credential, credential.position.number) ? 'session_revoked' : undefined;
  }

  register(...[flight]: Parameters<Gate['register']>): ReturnType<Gate['register']> {
    return this.#registry.register(flight);
  }

  onChange(listener: (change: LogChange | undefined) => void): void {
    this.#listeners.push(listener);
  }

  revoke(request: Parameters<Gate['revoke']>[0]): ReturnType<Gate['revoke']> {
    return this.#revocations.revoke(request);
  }

  answer(id: string): ReturnType<Gate['answer']> {
    return this.#revocations.answer(id);
  }

  start(): Promise<void> {
    return this.#follower.start();
  }

  async stop(): Promise<void> {
    this.#registry.cutAll('shutdown');
    this.#registry.stop();
    await this.#follower.stop();
    await this.#leave([this.#incarnation]);
  }

  #joined(live: readonly LogEntry[]): void {
    this.#view.reset(live);
    this.#tell(undefined);
  }

  #fence(reason: CutReason): void {
    this.#registry.cutAll(reason);
    this.#tell(undefined);
  }

  #apply(entry: LogEntry): void {
    this.#view.apply(entry);
    if (entry.change.kind === 'revoked') this.#registry.cut(entry.change.target, 'session_revoked', entry.number);
    this.#tell(entry.change);
  }

  #renewed(replicas: Parameters<Peers['observe']>[0], now: number): void {
    this.#peers.observe(replicas, now);
    this.#revocations.renewed();
    this.#view.prune(this.#options.clock.now() / 1000);
    void this.#leave(this.#peers.silent(now, GONE_AFTER_MS));
  }

  #tell(change: LogChange | undefined): void {
    for (const listener of this.#listeners) listener(change);
  }

  async #leave(incarnations: readonly string[]): Promise<void> {
    for (const incarnation of incarnations) {
      try {
        await this.#options.log.leave(incarnation);
      } catch (error) {
        // The entry stays in the registry and the next one to see it silent takes it out.
        (this.#options.logger ?? SILENT_LOGGER).info(
          { err: error },
          'a replica could not be taken out of the registry',
        );
      }
    }
  }
}
