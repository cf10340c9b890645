/**
 * Two thousand watches of one user at one replica on Redis: all opened in one instant, and all cut by one revocation. Either keeps the process
 * busy for longer than a command of Redis may take, and neither may cost a lease or the response to the revocation.
 */
import { ADMIN_AUDIENCE } from '../../../src/core/core.ts';
import type { RevocationResult } from '../../../src/revocation/revocation.ts';
import { newClientKey, OAuthClient } from '../../support/oauth-client.ts';
import type { BenchResult } from '../report.ts';
import { HOSTS, PATHS } from '../stage/peers.ts';
import { openReplicas, signInOnce } from '../stage/replicas.ts';
import type { ReplicaStage } from '../stage/replicas.ts';

const COUNT = 2000;
/** A renewal of the lease waits for a turn of the event loop. */
const LONGEST_TURN_MS = 300;

/** A burst over HTTP/2 on open connections: 2,000 informers do this after a restart of everything behind one NAT. */
export const burst = (): Promise<BenchResult[]> => onOneReplica(openAtOnce);

/** The cut of all of them, as the admin sees it. */
export const cutRedis = (): Promise<BenchResult[]> => onOneReplica(cutAtOnce);

async function onOneReplica(measure: (stage: ReplicaStage) => Promise<BenchResult[]>): Promise<BenchResult[]> {
  const stage = await openReplicas(1);
  try {
    return await measure(stage);
  } finally {
    await stage.stop();
  }
}

async function target(stage: ReplicaStage, user: string) {
  const key = await newClientKey();
  const { accessToken } = await signInOnce(stage, key, user);
  return { port: stage.ports[0] ?? 0, host: HOSTS.live, token: accessToken, ca: stage.ca, ...key };
}

async function openAtOnce(stage: ReplicaStage): Promise<BenchResult[]> {
  const at = await target(stage, 'alice');
  await stage.longestTurnMs();
  const { ms, opened } = await stage.load.call('burstWatches', { target: at, path: PATHS.watch, count: COUNT });
  const turnMs = await stage.longestTurnMs();
  const fenced = await stage.cutByFences();
  return [
    {
      name: 'burst-h2',
      unit: 'ms',
      portcullis: ms,
      peers: {},
      ratio: null,
      goal: `all open, no fence, no turn over ${LONGEST_TURN_MS} ms`,
      ok: opened === COUNT && fenced === 0 && turnMs <= LONGEST_TURN_MS,
      load: `${COUNT} watches of one user, asked for in one instant over HTTP/2, 250 a connection, at one replica on Redis, until the last had its first event or was over; ${opened} opened, ${fenced} cut by a fence; the longest turn of the event loop took ${turnMs.toFixed(0)} ms`,
    },
  ];
}

async function cutAtOnce(stage: ReplicaStage): Promise<BenchResult[]> {
  const root = new OAuthClient(stage.endpoints, await newClientKey());
  const results: BenchResult[] = [];
  for (const [user, http2] of [
    ['alice', false],
    ['bob', true],
  ] as const) {
    const at = await target(stage, user);
    await stage.load.call('openWatches', { target: at, path: PATHS.watch, count: COUNT, http2 });
    const over = stage.load.call('allClosed', {});
    const { accessToken } = await root.signIn('root', { resource: ADMIN_AUDIENCE });
    const begun = performance.now();
    const { status, body } = await root.postJson('/-/admin/api/v1/revocations', accessToken, {
      account: `bench/${user}`,
      reason: 'bench',
    });
    const ms = performance.now() - begun;
    await over;
    await stage.load.call('closeWatches', {});
    const { complete, streamsClosed } = body as unknown as RevocationResult;
    const fenced = await stage.cutByFences();
    results.push({
      name: http2 ? 'cut-redis-h2' : 'cut-redis',
      unit: 'ms',
      portcullis: ms,
      peers: {},
      ratio: null,
      goal: 'complete, no fence',
      ok: status === 200 && complete && streamsClosed === COUNT && fenced === 0,
      load: `revocation of an account with ${COUNT} watches by ${http2 ? 'HTTP/2, 100 a connection' : 'HTTP/1.1'} at one replica on Redis, request to answer at the admin API; status ${status}, complete ${complete}, ${streamsClosed} streams cut, ${fenced} cut by a fence`,
    });
  }
  await root.close();
  return results;
}
