import type { Identity } from '../../src/core/identity/identity.ts';
import type { LogPosition } from '../../src/core/credential/revocation.ts';
import type { NewSession, ReplicaState, Store } from '../../src/store/store.ts';

/** A store to be tried, fresh and empty, with the clock that it judges by. */
export interface StoreUnderTest {
  readonly store: Store;
  readonly clock: TestClock;
}

/** @param options as the stores have them */
export type OpenStore = () => Promise<StoreUnderTest>;

export interface TestClock {
  nowMs(): number;
  /** Epoch seconds. */
  seconds(): number;
  advance(seconds: number): void;
}

/** Begins far from the machine's own time, so that a store that looked at that instead would be found out. */
export function testClock(): TestClock {
  let milliseconds = Date.UTC(2031, 0, 1);
  return {
    nowMs: () => milliseconds,
    seconds: () => Math.floor(milliseconds / 1000),
    advance: (seconds) => {
      milliseconds += seconds * 1000;
    },
  };
}

export const alice: Identity = {
  username: 'corp:alice@example.com',
  uid: 'corp/1',
  groups: ['corp:developers'],
  extra: {},
};

export function newSession(clock: TestClock, startedAt: LogPosition, change: Partial<NewSession> = {}): NewSession {
  return {
    id: 'session-1',
    account: 'corp/1',
    provider: 'corp',
    subject: '1',
    client: 'portcullis-cli',
    identity: alice,
    createdAt: clock.seconds(),
    expiresAt: clock.seconds() + 86_400,
    idleSeconds: 3600,
    address: '192.0.2.7',
    userAgent: 'kubectl/v1.35.0',
    startedAt,
    ...change,
  };
}

/** Opens a session that starts now, and says its id. */
export async function openNow({ store, clock }: StoreUnderTest, change: Partial<NewSession> = {}): Promise<string> {
  const session = newSession(clock, await store.log.position(), change);
  const outcome = await store.sessions.open(session, { refreshToken: `refresh-of-${session.id}` });
  if (!outcome.ok) throw new Error(`the session was not opened: ${outcome.reason}`);
  return session.id;
}

/** L of the replicas of these tests. Nothing waits for it: their monotonic clock is moved. */
export const LEASE_MS = 2000;

export const replica = (change: Partial<ReplicaState> = {}): ReplicaState => ({
  incarnation: 'incarnation-a',
  name: 'portcullis-0',
  count: 1,
  number: 0,
  streamsCut: 0,
  leaseMs: LEASE_MS,
  ...change,
});

/** Runs the same thing at once, many times over. */
export const parallel = <T>(times: number, run: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: times }, (_, index) => run(index)));
