/**
 * What users cost a Redis (docs/sizing.md#redis): users who sign in by the protocol at a real server, refresh, send requests and ask for device
 * codes; revocations through the store's own code; and a replica that starts when the log is long. All figures are Redis' own or the kernel's.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { clusterAudience } from '../../../src/core/core.ts';
import { createRevocationGuard } from '../../../src/revocation/guard.ts';
import { createRedisStore } from '../../../src/store/redis/redis.ts';
import type { Appended, Store } from '../../../src/store/store.ts';
import type { DemoUser } from '../../../demo/demo.ts';
import { newClientKey, OAuthClient, type Answer, type SignedIn } from '../../support/oauth-client.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import { residentMegabytes, usedMegabytes } from '../stage/processes.ts';
import { keyFamilies, redisFigures } from '../stage/redis-figures.ts';
import { openReplicas, signInOnce, type ReplicaStage } from '../stage/replicas.ts';

const USERS = 500;
/** As a provider with nested groups reports them. */
const GROUPS = 30;
const REFRESHES = 200;
const DEVICES = 200;
const REVOCATIONS = 50_000;
/** Users at work, each with a few requests in every round. */
const AT_WORK = 100;
const ROUNDS = 12;
const REQUESTS_A_ROUND = 8;
/** A replica writes the recent requests of a session every five seconds. */
const ROUND_MS = 5500;
const IDLE_MS = 10_000;
const AT_ONCE = 8;
const ATTEMPTS = 20;
/** What has gone by then belongs to a sign-in, not to a user who has signed in. */
const LASTING_SECONDS = 900;

const DEVICE = { client_id: 'portcullis-cli', scope: 'kubernetes' };

/** For what is computed from the figures. */
const ACTIVE = 10_000;
const REFRESH_SECONDS = 300;
const COMMANDS_AN_HOUR = 40;

export async function* storeCapacity(): AsyncIterable<BenchResult> {
  const users = Array.from({ length: USERS }, (_, index) => aUser(index));
  const stage = await openReplicas(1, users);
  const client = new OAuthClient(stage.endpoints, await newClientKey());
  const bare = new Redis(stage.redis.url, { lazyConnect: true });
  try {
    await bare.connect();
    const first = await signInOnce(stage, client.key ?? (await newClientKey()), users[0]);
    const bench = new Bench(stage, bare, await idle(stage, bare));
    const signedIn = await bench.signIns(client, users.slice(1));
    let given = 0;
    for (const step of [
      () => bench.refreshes(client, signedIn.slice(0, REFRESHES)),
      () => bench.requests(client, [first, ...signedIn].slice(0, AT_WORK)),
      () => bench.deviceCodes(client),
      () => bench.revocations(users.slice(1, 1 + AT_WORK)),
      () => bench.log(),
    ]) {
      await step();
      yield* bench.results.slice(given);
      given = bench.results.length;
    }
    yield* bench.tenThousand();
  } finally {
    bare.disconnect();
    await client.close();
    await stage.stop();
  }
}

const aUser = (index: number): DemoUser => ({
  name: `user-${index}`,
  password: randomBytes(9).toString('base64url'),
  groups: Array.from({ length: GROUPS }, (_, group) => `platform-team-${String(index + group).padStart(5, '0')}`),
  role: 'a user of the benchmark',
});

/** What one replica costs Redis while no user does anything, by the millisecond. */
interface Idle {
  readonly requests: number;
  readonly cpuMicroseconds: number;
}

async function idle({ redis }: ReplicaStage, bare: Redis): Promise<Idle> {
  const before = await redisFigures(bare, redis.pid);
  await pause(IDLE_MS);
  const after = await redisFigures(bare, redis.pid);
  const ms = after.atMs - before.atMs;
  return {
    requests: (after.requests - before.requests) / ms,
    cpuMicroseconds: (after.cpuMicroseconds - before.cpuMicroseconds) / ms,
  };
}

/** Of one of a kind, without what an idle replica would have cost meanwhile. */
interface Cost {
  readonly bytes: number;
  readonly requests: number;
  readonly cpuMicroseconds: number;
}

class Bench {
  readonly results: BenchResult[] = [];
  readonly #stage: ReplicaStage;
  readonly #bare: Redis;
  readonly #idle: Idle;
  readonly #costs = new Map<string, Cost>();

  constructor(stage: ReplicaStage, bare: Redis, measured: Idle) {
    this.#stage = stage;
    this.#bare = bare;
    this.#idle = measured;
    const load = `one replica, and no user, for ${IDLE_MS / 1000} s`;
    this.#add('idle-requests', 'per second', measured.requests * 1000, load);
    this.#add('idle-cpu', 'ms per second', measured.cpuMicroseconds, load);
  }

  async signIns(client: OAuthClient, users: readonly DemoUser[]): Promise<readonly SignedIn[]> {
    const lasting = await keyFamilies(this.#bare, LASTING_SECONDS);
    const signedIn: SignedIn[] = [];
    const signIn = async (user: DemoUser): Promise<unknown> =>
      signedIn.push(await insist(() => client.signIn(user, { resource: clusterAudience('live') })));
    const cost = await this.#measure('sign-in', users.length, () => forEach(users, signIn));
    const grown = differences(lasting, await keyFamilies(this.#bare, LASTING_SECONDS), users.length);
    const load = `${users.length} users with ${GROUPS} groups sign in, ${AT_ONCE} at once, in a browser and for one cluster`;
    this.#add('sign-in-bytes', 'B', cost.bytes, `${load}; used_memory, with what expires within ten minutes`);
    this.#add(
      'user-bytes',
      'B',
      sum(grown),
      `${load}; keys that last longer than ${LASTING_SECONDS / 60} min: ${shown(grown)}`,
    );
    this.#work('sign-in', load);
    return signedIn;
  }

  /** As the plugin does every five minutes while kubectl is used. */
  async refreshes(client: OAuthClient, users: readonly SignedIn[]): Promise<void> {
    const refresh = ({ refreshToken }: SignedIn): Promise<void> =>
      insist(async () => worked(await client.refresh(refreshToken, { resource: clusterAudience('live') })));
    await this.#measure('refresh', users.length, () => forEach(users, refresh));
    this.#work('refresh', `${users.length} users get a new token, and are re-checked at their provider`);
  }

  async requests(client: OAuthClient, users: readonly SignedIn[]): Promise<void> {
    const before = await this.#recent();
    const send = async ({ accessToken }: SignedIn): Promise<void> => {
      for (let request = 0; request < REQUESTS_A_ROUND; request += 1) {
        await insist(async () => worked(await client.get(`/clusters/live${PATHS.get}`, accessToken)));
      }
    };
    await this.#measure('recent-requests', ROUNDS * users.length, async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        await forEach(users, send);
        await pause(ROUND_MS);
      }
    });
    const load = `${users.length} users, each ${REQUESTS_A_ROUND} requests in each of ${ROUNDS} intervals of ${ROUND_MS} ms`;
    this.#work('recent-requests', `${load}; of one user in one interval`);
    this.#add('recent-bytes', 'B', ((await this.#recent()) - before) / users.length, `${load}; of one session`);
  }

  async deviceCodes(client: OAuthClient): Promise<void> {
    const begin = (): Promise<void> => insist(async () => worked(await client.post('/-/oauth/device', DEVICE)));
    const before = await keyFamilies(this.#bare);
    await this.#measure('device-code', DEVICES, () => forEach(numbersTo(DEVICES), begin));
    const after = await keyFamilies(this.#bare);
    const grown = differences(before, after, DEVICES).filter(([name]) => name.includes('DeviceCode'));
    const load = `${DEVICES} devices ask for a code that no user has typed yet`;
    this.#add('device-code-bytes', 'B', sum(grown), `${load}; ${shown(grown)}`);
    this.#work('device-code', load);
  }

  /** Users with a session and its recent requests are revoked, which deletes both. */
  async revocations(users: readonly DemoUser[]): Promise<void> {
    const store = storeOn(this.#stage.redis.url);
    const revoke = async ({ name }: DemoUser): Promise<void> => {
      const { sessions } = await append(store, name);
      if (sessions < 1) throw new Error(`${name} had no session`);
    };
    await this.#measure('user-revocation', users.length, () => forEach(users, revoke));
    await store.close();
    this.#work('user-revocation', `${users.length} users with a session each are revoked`);
  }

  /** Revocations of accounts without sessions, written by the store; a replica joins before them and after. */
  async log(): Promise<void> {
    const empty = await this.#newReplica();
    const before = await keyFamilies(this.#bare);
    const store = storeOn(this.#stage.redis.url);
    const revoke = (number: number): Promise<unknown> => append(store, `gone-${number}`);
    const cost = await this.#measure('revocation', REVOCATIONS, () => forEach(numbersTo(REVOCATIONS), revoke));
    const grown = differences(before, await keyFamilies(this.#bare), REVOCATIONS);
    const load = `${REVOCATIONS} accounts revoked, ${AT_ONCE} at once; one replica follows`;
    this.#add('revocation-bytes', 'B', cost.bytes, `${load}; used_memory, of which in ${shown(grown)}`);
    this.#work('revocation', load);
    const { seconds, megabytes, number } = await joined(store);
    await store.close();
    const full = await this.#newReplica();
    const live = `${number} live entries`;
    this.#add('join', 's', seconds, `${live}; from nothing to the first lease, in one process`);
    this.#add('view-memory', 'MB', megabytes, `${live}; growth of the heap and of array buffers`);
    this.#add(
      'replica-start',
      's',
      full.seconds,
      `a server starts with ${live}, until it is ready; with none ${empty.seconds.toFixed(1)} s`,
    );
    this.#add(
      'replica-memory',
      'MB',
      full.megabytes,
      `a server that has just started with ${live}, resident; with none ${empty.megabytes.toFixed(0)} MB`,
    );
  }

  /** What 10,000 active users are, from the figures. */
  tenThousand(): readonly BenchResult[] {
    const refreshes = ACTIVE / REFRESH_SECONDS;
    const before = this.results.length;
    const each = this.#bytes('user') + this.#bytes('recent');
    this.#add(
      '10k-memory',
      'MB',
      (ACTIVE * each) / 1e6,
      `computed: ${ACTIVE} users, each with a session and its recent requests`,
    );
    for (const [name, intervals, how] of [
      ['kubectl', (ACTIVE * COMMANDS_AN_HOUR) / 3600, `${COMMANDS_AN_HOUR} commands an hour each`],
      ['dashboards', (ACTIVE * 1000) / 5000, 'requests in every interval of five seconds'],
    ] as const) {
      const load = `computed: ${ACTIVE} users, each a refresh every ${REFRESH_SECONDS} s, ${how}`;
      const per = (figure: 'requests' | 'cpuMicroseconds') =>
        refreshes * this.#cost('refresh')[figure] + intervals * this.#cost('recent-requests')[figure];
      this.#add(`10k-${name}-requests`, 'per second', per('requests'), load);
      this.#add(`10k-${name}-cpu`, 'ms per second', per('cpuMicroseconds') / 1000, load);
    }
    return this.results.splice(before);
  }

  async #newReplica(): Promise<{ readonly seconds: number; readonly megabytes: number }> {
    const begun = performance.now();
    const { pid, stop } = await this.#stage.startReplica();
    const seconds = (performance.now() - begun) / 1000;
    const megabytes = await residentMegabytes(pid);
    await stop();
    return { seconds, megabytes };
  }

  async #recent(): Promise<number> {
    return (await keyFamilies(this.#bare)).get('recent:*')?.bytes ?? 0;
  }

  /** Does some work, and keeps what one of `count` parts of it has cost. */
  async #measure(kind: string, count: number, work: () => Promise<unknown>): Promise<Cost> {
    const before = await redisFigures(this.#bare, this.#stage.redis.pid);
    await work();
    const after = await redisFigures(this.#bare, this.#stage.redis.pid);
    const ms = after.atMs - before.atMs;
    const cost = {
      bytes: (after.bytes - before.bytes) / count,
      requests: (after.requests - before.requests - ms * this.#idle.requests) / count,
      cpuMicroseconds: (after.cpuMicroseconds - before.cpuMicroseconds - ms * this.#idle.cpuMicroseconds) / count,
    };
    this.#costs.set(kind, cost);
    return cost;
  }

  #cost(kind: string): Cost {
    const cost = this.#costs.get(kind);
    if (cost === undefined) throw new Error(`${kind} has not been measured`);
    return cost;
  }

  #bytes(kind: string): number {
    return this.results.find(({ name }) => name === `store-${kind}-bytes`)?.portcullis ?? Number.NaN;
  }

  #work(kind: string, load: string): void {
    const { requests, cpuMicroseconds } = this.#cost(kind);
    this.#add(`${kind}-requests`, 'scripts', requests, load);
    this.#add(`${kind}-cpu`, 'µs CPU', cpuMicroseconds, `${load}; of the redis-server`);
  }

  #add(name: string, unit: string, portcullis: number, load: string): void {
    this.results.push({ name: `store-${name}`, unit, portcullis, peers: {}, ratio: null, goal: '-', ok: null, load });
  }
}

const numbersTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

/** A few at once, as from a few users. */
async function forEach<T>(items: readonly T[], one: (item: T) => Promise<unknown>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await one(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function worked({ status, body }: Answer): void {
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
}

/** Tries again: on a busy machine some replies of Redis take longer than a replica waits for them. */
async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await pause(100);
    }
  }
}

const append = (store: Store, subject: string): Promise<Appended> =>
  insist(() =>
    store.log.append({ requestId: `revokes-${subject}`, target: { kind: 'account', account: `bench/${subject}` } }),
  );

type Families = Awaited<ReturnType<typeof keyFamilies>>;

/** By how many bytes each family has grown, for each of `count`. */
const differences = (before: Families, after: Families, count: number): readonly (readonly [string, number])[] =>
  [...after]
    .map(([name, { bytes }]) => [name, (bytes - (before.get(name)?.bytes ?? 0)) / count] as const)
    .filter(([, bytes]) => bytes >= 1)
    .toSorted(([, a], [, b]) => b - a);

type Grown = ReturnType<typeof differences>;

const sum = (grown: Grown): number => grown.reduce((all, [, bytes]) => all + bytes, 0);
const shown = (grown: Grown): string => grown.map(([name, bytes]) => `${name} ${bytes.toFixed(0)}`).join(', ');

function storeOn(url: string): Store {
  const key = randomBytes(32);
  return createRedisStore({
    config: { url, prefix: 'portcullis' },
    sealingKeys: { current: { kid: 'k', key }, all: new Map([['k', key]]) },
    clock: { nowMs: Date.now },
  });
}

/** A replica's view of the log, from nothing to its first lease. */
async function joined(store: Store) {
  const before = usedMegabytes();
  const begun = performance.now();
  const guard = createRevocationGuard({
    log: store.log,
    sessions: store.sessions,
    stalenessSeconds: 2,
    longestTokenSeconds: 900,
    replicaName: 'bench',
    monotonicMs: () => performance.now(),
    clock: { nowMs: Date.now },
  });
  await guard.start();
  const seconds = (performance.now() - begun) / 1000;
  const megabytes = usedMegabytes() - before;
  const { number } = guard.position ?? { number: 0 };
  await guard.stop();
  return { seconds, megabytes, number };
}
