/**
 * Replicas of a test: real guards on one memory store, each with its own network, on clocks that the test moves.
 */
import { vi } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import { coveringKeys } from '../../../src/core/credential/revocation.ts';
import type { LogPosition } from '../../../src/core/credential/revocation.ts';
import type { EndedSession, Fence, RevocationGuardOptions } from '../../../src/revocation/types.ts';
import { createRevocationGuard } from '../../../src/revocation/guard.ts';
import type { CutReason, RevocationGuard } from '../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { RenewOutcome, RevocationLog } from '../../../src/store/store.ts';

const OWNER = { session: 's1', account: 'corp/alice', provider: 'corp' } as const;
export const ALICE = { ...OWNER, keys: coveringKeys(OWNER) };
const away = (): AppError => new AppError('store_unavailable', 'away');

/** The log of the memory store behind a network that can be cut, slowed and falsified. */
export class TestLog implements RevocationLog {
  readonly settled = true;
  readonly inner: RevocationLog;
  away = false;
  /** Followers have not confirmed: what was written stays, and renewals grant nothing. */
  unconfirmed = false;
  /** Milliseconds that a reply is under way. */
  slow = 0;
  lie: ((outcome: RenewOutcome) => RenewOutcome) | undefined;
  /** The epoch with which the store beneath is asked, whatever epoch the guard has. */
  renewsAs: string | undefined;
  renewals = 0;
  readonly left: { readonly incarnation: string; readonly count: number | undefined }[] = [];

  constructor(inner: RevocationLog) {
    this.inner = inner;
  }
  async #pass<T>(call: () => Promise<T>): Promise<T> {
    if (this.away) throw away();
    const result = await call();
    if (this.slow > 0) await new Promise((resolve) => setTimeout(resolve, this.slow));
    return result;
  }
  position = (): Promise<LogPosition> => this.#pass(() => this.inner.position());
  join: RevocationLog['join'] = (seconds) => this.#pass(() => this.inner.join(seconds));
  renew: RevocationLog['renew'] = async (state, position) => {
    this.renewals += 1;
    const outcome = await this.#pass(() =>
      this.inner.renew(state, { ...position, epoch: this.renewsAs ?? position.epoch }),
    );
    if (this.unconfirmed) throw away();
    return this.lie?.(outcome) ?? outcome;
  };
  leave: RevocationLog['leave'] = async (incarnation, count) => {
    this.left.push({ incarnation, count });
    await this.#pass(() => this.inner.leave(incarnation, count));
  };
  append: RevocationLog['append'] = async (request) => {
    const appended = await this.#pass(() => this.inner.append(request));
    return this.unconfirmed ? { ...appended, acknowledged: false } : appended;
  };
  hasWritten: RevocationLog['hasWritten'] = (request) => this.#pass(() => this.inner.hasWritten(request));
  announceDrill: RevocationLog['announceDrill'] = (id) => this.#pass(() => this.inner.announceDrill(id));
  waitForEntry: RevocationLog['waitForEntry'] = async (number, signal) => {
    if (this.away) throw away();
    await this.inner.waitForEntry(number, signal);
  };
}

export interface Replica {
  readonly guard: RevocationGuard;
  readonly log: TestLog;
  readonly fences: Fence[];
  readonly ended: EndedSession[];
}

/** Must be created under fake timers. */
export function replicas() {
  const store = createMemoryStore({ clock: { nowMs: () => Date.now() } });
  const instances: RevocationGuard[] = [];
  const replica = (name = 'a', change: Partial<RevocationGuardOptions> = {}): Replica => {
    const log = new TestLog(store.log);
    const [fences, ended]: [Fence[], EndedSession[]] = [[], []];
    const guard = createRevocationGuard({
      log,
      sessions: store.sessions,
      stalenessSeconds: 2,
      replicaName: name,
      monotonicMs: () => performance.now(),
      clock: { nowMs: () => Date.now() },
      longestTokenSeconds: 300,
      isFirstGeneration: true,
      onFenced: (fence) => void fences.push(fence),
      onSessionEnded: (session) => void ended.push(session),
      ...change,
    });
    instances.push(guard);
    return { guard, log, fences, ended };
  };
  return {
    store,
    shared: store.log,
    replica,
    started: async (name?: string, change?: Partial<RevocationGuardOptions>): Promise<Replica> => {
      const made = replica(name, change);
      await made.guard.start();
      return made;
    },
    now: async (guard: RevocationGuard) => ({ ...ALICE, position: guard.position ?? (await store.log.position()) }),
    stop: async (): Promise<void> => {
      const stops = instances.splice(0).map((guard) => guard.stop());
      await pass(5_000);
      await Promise.all(stops);
    },
  };
}

export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** From here on every reply that this replica gets is of another primary generation than `old`. */
export function begin(log: TestLog, old: string): void {
  const join = log.join;
  log.lie = (outcome) => (outcome.ok ? { ...outcome, epoch: 'new', generation: 'new', entries: [] } : outcome);
  log.join = async (seconds) => ({ ...(await join(seconds)), position: { epoch: 'new', number: 0 } });
  log.renewsAs = old;
}

/** A flight of alice. @returns the reasons for which it was cut */
export function fly(
  guard: RevocationGuard,
  position: LogPosition,
  ends = { expiresAt: Date.now() / 1000 + 86_400, idleAt: Date.now() / 1000 + 86_400 },
): CutReason[] {
  const cuts: CutReason[] = [];
  const registration = guard.register({
    cut: (reason) => {
      cuts.push(reason);
      registration.close();
    },
  });
  registration.bind({ ...ALICE, position }, ends);
  return cuts;
}
