/** Several `serve` processes on one real redis-server, with an identity provider and an upstream that holds watches. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { clusterAudience } from '../../../src/core/core.ts';
import { generateKeys } from '../../../src/config/keys.ts';
import { USERS, type DemoUser } from '../../../demo/demo.ts';
import { makeCertificates } from '../../../demo/certificates.ts';
import { startIdentityProvider } from '../../../demo/idp/provider.ts';
import { metric } from '../../support/metric.ts';
import { OAuthClient } from '../../support/oauth-client.ts';
import type { ClientKey, SignedIn } from '../../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../../support/redis.ts';
import { staged, type Stops } from '../../support/staged.ts';
import type { LoadWorker } from '../load/worker.ts';
import { Remote } from '../rpc.ts';
import type { LiveUpstream } from '../upstream.ts';
import { startInstanceProcess } from './server-process.ts';
import { configuration } from './server.ts';
import type { Started } from './processes.ts';
import { HOSTS } from './peers.ts';
import { freePort } from '../../../demo/ports.ts';

export interface ReplicaStage {
  readonly load: Remote<LoadWorker>;
  readonly upstream: Remote<LiveUpstream>;
  readonly ca: string;
  /** Of the web listener and of the api listener at which users sign in. */
  readonly endpoints: { readonly web: string; readonly api: string; readonly ca: string };
  /** Of the api listeners. */
  readonly ports: readonly number[];
  /** Requests and streams that a fence has ended so far, at all replicas. */
  readonly cutByFences: () => Promise<number>;
  /** The longest turn of the event loop since the last call, at any replica: a renewal of the lease is late by no more. */
  readonly longestTurnMs: () => Promise<number>;
  readonly redis: RedisServer;
  /** Starts one more replica; resolves when it is ready. */
  readonly startReplica: () => Promise<Started>;
  stop(): Promise<void>;
}

const entry = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** @param users who may sign in at the identity provider */
export const openReplicas = (count: number, users: readonly DemoUser[] = USERS): Promise<ReplicaStage> =>
  staged((stops) => open(count, users, stops));

async function open(count: number, users: readonly DemoUser[], stops: Stops): Promise<Omit<ReplicaStage, 'stop'>> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-'));
  stops.push(() => rm(directory, { recursive: true, force: true }));
  const at = (name: string): string => join(directory, name);
  const { ca, cert, key } = await makeCertificates(['localhost', '127.0.0.1', ...Object.values(HOSTS)], Date.now());
  const secrets = { 'client-secret': random(24), 'cluster-token': random(400) };
  const files = { 'ca.crt': ca, 'server.crt': cert, 'server.key': key, ...secrets };
  for (const [name, text] of Object.entries(files)) await writeFile(at(name), text, { mode: 0o600 });
  await generateKeys({ signingDir: at('keys/signing'), sealingDir: at('keys/sealing') });

  const upstream = new Remote<LiveUpstream>(entry('../upstream.ts'));
  stops.push(() => upstream.stop());
  const live = (await upstream.call('start', { cert, key })).port;
  const redis = await startRedis();
  stops.push(() => redis.stop());
  const web = await freePort();
  const identityProvider = await startIdentityProvider({
    port: 0,
    users,
    client: {
      clientId: 'bench',
      clientSecret: secrets['client-secret'],
      redirectUris: [`http://localhost:${web}/callback/bench`],
    },
  });
  stops.push(() => identityProvider.close());

  const ports: number[] = [];
  const opsPorts: number[] = [];
  const startReplica = async (): Promise<Started> => {
    const replica = ports.length;
    const api = await freePort();
    ports.push(api);
    const own = { api, web: replica === 0 ? web : await freePort(), ops: await freePort() };
    const shared = { api: ports[0] ?? api, web };
    const upstreams = { directory, upstreams: { files: live, live } };
    const config = {
      ...configuration(upstreams, { ...own, issuer: identityProvider.issuer }),
      publicUrl: `http://localhost:${shared.web}`,
      store: { redis: { url: redis.url } },
      audit: { sinks: [{ type: 'file', path: at(`audit-${replica}.log`) }] },
      limits: { connections: 20_000, inFlightPerUser: 20_000, signInsPerMinute: 10_000 },
    };
    await writeFile(at(`replica-${replica}.yaml`), stringify(config));
    const started = await startInstanceProcess({
      config: at(`replica-${replica}.yaml`),
      ready: () => isReady(own.ops),
    });
    stops.push(started.stop);
    opsPorts.push(own.ops);
    return started;
  };
  while (ports.length < count) await startReplica();
  const load = new Remote<LoadWorker>(entry('../load/worker.ts'));
  stops.push(() => load.stop());
  const endpoints = { web: `http://localhost:${web}`, api: `https://localhost:${ports[0]}`, ca };
  const ofEach = (series: string): Promise<number[]> =>
    Promise.all(opsPorts.map(async (ops) => Number(await metric({ ports: { ops } }, series))));
  return {
    load,
    upstream,
    ca,
    endpoints,
    ports,
    cutByFences: async () =>
      (await ofEach('portcullis_cuts_total{reason="fenced"}')).reduce((sum, count) => sum + count, 0),
    longestTurnMs: async () => 1000 * Math.max(...(await ofEach('nodejs_eventloop_lag_max_seconds'))),
    redis,
    startReplica,
  };
}

/** Until the store's epoch is old enough for users to sign in. */
const SETTLE_MS = 10_000;

/** The first sign-in of a stage, which waits until there can be one. */
export async function signInOnce(
  stage: Pick<ReplicaStage, 'endpoints'>,
  key: ClientKey,
  user: string | DemoUser = 'alice',
): Promise<SignedIn> {
  const client = new OAuthClient(stage.endpoints, key);
  const deadline = performance.now() + SETTLE_MS;
  try {
    for (;;) {
      try {
        return await client.signIn(user, { resource: clusterAudience('live') });
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await pause(250);
      }
    }
  } finally {
    await client.close();
  }
}

const random = (bytes: number): string => randomBytes(bytes).toString('base64url');

const isReady = (ops: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${ops}/readyz`).then(
    (answer) => answer.ok,
    () => false,
  );
