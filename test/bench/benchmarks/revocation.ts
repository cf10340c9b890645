/** Revocations: from the administrator's request to the proof that it is over on every replica, and the view that makes the check free. */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { ADMIN_AUDIENCE, clusterAudience } from '../../../src/core/core.ts';
import { accountKey, providerKey, sessionKey } from '../../../src/core/credential/revocation.ts';
import type { CoveringKeys } from '../../../src/core/credential/revocation.ts';
import { createRevocationGuard } from '../../../src/revocation/guard.ts';
import type { RevocationResult } from '../../../src/revocation/revocation.ts';
import { createRedisStore } from '../../../src/store/redis/redis.ts';
import { newClientKey, OAuthClient } from '../../support/oauth-client.ts';
import type { ClientKey } from '../../support/oauth-client.ts';
import { startRedis } from '../../support/redis.ts';
import { median } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { HOSTS, PATHS } from '../stage/peers.ts';
import { usedMegabytes } from '../stage/processes.ts';
import { openReplicas, signInOnce } from '../stage/replicas.ts';
import type { ReplicaStage } from '../stage/replicas.ts';

const REPLICAS = 3;
const WATCHES = 1000;
const SESSIONS = 500;
const REVOCATIONS = 100;
/** Before them, so that no process runs its cut for the first time; as the other benchmarks do. */
const WARM_UP = 20;

export async function revoke(): Promise<BenchResult[]> {
  const stage = await openReplicas(REPLICAS);
  try {
    const key = await newClientKey();
    const sessions = await signInMany(stage, key);
    const root = new OAuthClient(stage.endpoints, await newClientKey());
    const { accessToken } = await root.signIn('root', { resource: ADMIN_AUDIENCE });
    await openWatches(stage, key, sessions);
    const times: number[] = [];
    let cut = 0;
    let incomplete = 0;
    for (const { session } of sessions.slice(0, WARM_UP + REVOCATIONS)) {
      const begun = performance.now();
      const { body } = await root.postJson('/-/admin/api/v1/revocations', accessToken, { session, reason: 'bench' });
      times.push(performance.now() - begun);
      const answer = body as unknown as RevocationResult;
      if (!answer.complete) incomplete += 1;
      cut += answer.streamsClosed;
    }
    const { watches: left } = await stage.upstream.call('open', {});
    await root.close();
    return revokeResults(times.slice(WARM_UP), { cut, incomplete, left });
  } finally {
    await stage.stop();
  }
}

interface Signed {
  readonly session: string;
  readonly token: string;
}

async function signInMany(stage: ReplicaStage, key: ClientKey): Promise<readonly Signed[]> {
  const all = [await signInOnce(stage, key)];
  const client = new OAuthClient(stage.endpoints, key);
  while (all.length < SESSIONS) all.push(await client.signIn('alice', { resource: clusterAudience('live') }));
  await client.close();
  return all.map(({ session, accessToken }) => ({ session, token: accessToken }));
}

/** Each session has its watches in turns on every replica. */
async function openWatches(
  { load, ports, ca }: ReplicaStage,
  key: ClientKey,
  sessions: readonly Signed[],
): Promise<void> {
  const each = WATCHES / sessions.length;
  let next = 0;
  for (const { token } of sessions) {
    for (let watch = 0; watch < each; watch += 1) {
      const port = ports[next % ports.length] ?? 0;
      next += 1;
      const target = { port, host: HOSTS.live, token, ca, ...key };
      await load.call('openWatches', { target, path: PATHS.watch, count: 1, http2: false });
    }
  }
}

function revokeResults(
  times: readonly number[],
  { cut, incomplete, left }: { readonly cut: number; readonly incomplete: number; readonly left: number },
): BenchResult[] {
  const sorted = times.toSorted((a, b) => a - b);
  const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
  const complete = incomplete === 0 && cut === (WATCHES / SESSIONS) * (WARM_UP + REVOCATIONS);
  const load = `${times.length} sessions one after another, ${WATCHES / SESSIONS} watches each, at ${REPLICAS} replicas with ${WATCHES} watches on one Redis; ${incomplete} not complete, ${cut} streams cut, ${left} left at the API server`;
  const figure = (name: string, value: number, most: number): BenchResult => ({
    name,
    unit: 'ms',
    portcullis: value,
    peers: {},
    ratio: null,
    goal: `≤ ${most} ms, all complete`,
    ok: value <= most && complete,
    load: `${load}; request to answer at the admin API`,
  });
  return [figure('revoke-p50', median(times), 10), figure('revoke-p99', p99, 50)];
}

const LIVE = 1_000_000;
const CHECKS = 1_000_000;
const CREDENTIALS = 10_000;
const BATCH = 10_000;

export async function view(): Promise<BenchResult[]> {
  const redis = await startRedis();
  try {
    await fill(redis.url);
    return await measureView(redis.url);
  } finally {
    await redis.stop();
  }
}

function storeOn(url: string) {
  const key = randomBytes(32);
  return createRedisStore({
    config: { url, prefix: 'bench' },
    sealingKeys: { current: { kid: 'k', key }, all: new Map([['k', key]]) },
    clock: { nowMs: Date.now },
  });
}

const sessionOf = (index: number) => sessionKey(`session-${index}`);

/** A log in which a million entries are alive: the last is written by the script, the others as it would have written them. */
async function fill(url: string): Promise<void> {
  const store = storeOn(url);
  await untilUp(store);
  await store.log.position();
  const client = new Redis(url, { lazyConnect: true });
  await client.connect();
  await client.hset('{bench}:epoch', 'n', LIVE);
  const until = Math.floor(Date.now() / 1000) + 600;
  for (let first = 1; first <= LIVE; first += BATCH) {
    const rows: (string | number)[] = [];
    for (let n = first; n < first + BATCH; n += 1) rows.push(n, `${n} ${until} ${sessionOf(n)}`);
    await client.zadd('{bench}:idx', ...rows);
  }
  client.disconnect();
  await store.log.append({ requestId: 'last', target: { kind: 'session', session: 'last' } });
  await store.close();
}

async function untilUp(store: { ping(): Promise<void> }): Promise<void> {
  for (let look = 0; look < 100; look += 1) {
    const up = await store.ping().then(
      () => true,
      () => false,
    );
    if (up) return;
    await pause(20);
  }
}

async function measureView(url: string): Promise<BenchResult[]> {
  const store = storeOn(url);
  await untilUp(store);
  const before = usedMegabytes();
  const guard = createRevocationGuard({
    log: store.log,
    sessions: store.sessions,
    stalenessSeconds: 2,
    longestTokenSeconds: 300,
    replicaName: 'bench',
    monotonicMs: () => performance.now(),
    clock: { nowMs: Date.now },
  });
  const begun = performance.now();
  await guard.start();
  const seconds = (performance.now() - begun) / 1000;
  const megabytes = usedMegabytes() - before;
  const { microseconds, refused } = checks(guard);
  const { number } = guard.position ?? { number: 0 };
  await guard.stop();
  await store.close();
  // A view that admits every session, or none, would be as quick.
  if (refused !== CREDENTIALS / 2) throw new Error(`${refused} of ${CREDENTIALS} credentials were refused, not half`);
  const load = `${number} live entries, read from a redis-server`;
  const figure = (name: string, unit: string, value: number, most: number, how: string): BenchResult => ({
    name: `view-${name}`,
    unit,
    portcullis: value,
    peers: {},
    ratio: null,
    goal: `≤ ${most} ${unit}`,
    ok: value <= most && number > LIVE,
    load: `${load}; ${how}`,
  });
  return [
    figure('memory', 'MB', megabytes, 120, 'growth of the heap and of array buffers after a collection'),
    figure('load', 's', seconds, 2, 'from the start of the server to its first lease'),
    figure(
      'check',
      'µs',
      microseconds,
      1,
      `${CHECKS} checks of ${CREDENTIALS} credentials, ${refused} of them refused`,
    ),
  ];
}

/** Every other session is revoked. */
function checks(guard: Pick<ReturnType<typeof createRevocationGuard>, 'check' | 'position'>) {
  const epoch = guard.position?.epoch ?? '';
  const [account, provider] = [accountKey('corp/alice'), providerKey('corp')];
  const credentials = Array.from({ length: CREDENTIALS }, (_each, index) => {
    const keys: CoveringKeys = {
      session: sessionOf(index % 2 === 0 ? index * 50 + 1 : LIVE + index + 1),
      account,
      provider,
    };
    return { keys, position: { epoch, number: 0 } };
  });
  const round = (): number => {
    let refused = 0;
    for (const credential of credentials) if (guard.check(credential) !== undefined) refused += 1;
    return refused;
  };
  const refused = round();
  const begun = performance.now();
  for (let done = 0; done < CHECKS; done += credentials.length) round();
  return { microseconds: ((performance.now() - begun) * 1000) / CHECKS, refused };
}
