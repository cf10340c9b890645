/**
 * A server in a process of its own, on a Redis of its own, whose stored state is as large as it may be: what a request
 * costs is read from the kernel and from Redis, so that what else the machine does counts for nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { Agent, request, upgrade } from 'undici';
import { parse, stringify } from 'yaml';
import { startDemo, type RunningDemo } from '../../../demo/launch.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { ADMIN_AUDIENCE, clusterAudience, SELF_AUDIENCE } from '../../../src/core/core.ts';
import { startServer } from '../../../src/server/serve.ts';
import { cpuMicroseconds } from '../../support/cpu-time.ts';
import { freePortBase, temporaryFolder, untilSettled } from '../../support/instance.ts';
import { newClientKey, OAuthClient, type ClientKey } from '../../support/oauth-client.ts';
import { startRedis } from '../../support/redis.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from '../../support/workload-issuer.ts';
import { createMinter, type Holder } from './holders.ts';
import { fill, GROUPS, LAST_HOLDER, State, type Filled } from './state.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const PROBE = new URL('memory-probe.ts', import.meta.url).href;
export const MCP_RESOURCE = 'https://mcp.example.com/mcp';

export interface User {
  readonly key: ClientKey;
  readonly agent: Agent;
  readonly session: string;
  readonly refreshToken: string;
  /** Access tokens. */
  readonly cluster: string;
  readonly self: string;
  readonly admin: string;
  /** For one request on a connection of its own. */
  fresh(): Agent;
}

export interface Sent {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly agent?: Agent;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  /** A stream, whose head is enough. */
  readonly isStream?: boolean;
  /** The protocol to change to. Its begin is enough. */
  readonly upgrade?: string;
  /** For what waits: the client leaves after so many milliseconds. The status is 0 then. */
  readonly leaveAfterMs?: number;
}

export interface Answered {
  readonly status: number;
  /** Of the response. */
  readonly bytes: number;
  readonly text: string;
  /** What it sets, as a `Cookie` header. */
  readonly cookie: string;
}

/** What the server and its store have done so far. */
export interface Work {
  /** When that was, in milliseconds. */
  readonly atMs: number;
  /** Of CPU of the server's process, all threads. */
  readonly cpuMs: number;
  /** Scripts and commands that Redis was sent, those within scripts not counted. */
  readonly calls: number;
  /** Of CPU of redis-server. */
  readonly redisMs: number;
}

export interface CostStage extends Filled {
  readonly urls: RunningDemo['urls'] & { readonly ops: string };
  /** PEM. */
  readonly ca: string;
  /** Bound to alice's key, five sessions of each account, which may do everything. */
  readonly holders: readonly Holder[];
  /** Of the last of them: the two lowest of as many delegated sessions as may be above one another. */
  readonly chain: { readonly parent: Holder; readonly last: Holder };
  readonly alice: User;
  readonly root: User;
  /** Client for no one: no certificate. */
  readonly anonymous: Agent;
  readonly issuer: WorkloadIssuer;
  assertion(): Promise<string>;
  send(sent: Sent): Promise<Answered>;
  work(): Promise<Work>;
  /** Of the server's heap and buffers, after garbage was collected. */
  heldBytes(): Promise<number>;
  /** Waits until the server does nothing but renew its lease, or for two seconds: on a busy machine one cannot tell. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
}

const ROLES = [
  {
    name: 'shop-admins',
    description: 'w'.repeat(200),
    groups: [`granted:${'g'.repeat(120)}`],
    requesters: [GROUPS[0], 'demo:developers'],
    approval: { groups: ['demo:admins'], count: 1 },
    longest: '4h',
  },
  ...Array.from({ length: 5 }, (_, index) => ({
    name: `break-glass-${index}`,
    description: 'w'.repeat(200),
    groups: [`granted:${'g'.repeat(120)}`],
    requesters: [GROUPS[0]],
    approval: 'none',
    longest: '1h',
  })),
];

async function settings(demo: RunningDemo, issuer: WorkloadIssuer, jwks: object): Promise<string> {
  const { directory } = demo.files;
  const written = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  const base = parse(await readFile(demo.files.config, 'utf8')) as Readonly<Record<string, unknown>>;
  const caFile = await written('issuer.crt', issuer.ca);
  const changed = {
    ...base,
    access: { roles: ROLES },
    delegation: {
      perSession: 100,
      clients: [
        {
          id: 'mcp',
          resource: MCP_RESOURCE,
          limit: { preset: 'read-only' },
          clusters: ['demo'],
          jwksFile: await written('mcp.jwks', JSON.stringify(jwks)),
        },
      ],
    },
    workload: [
      {
        name: 'ci',
        issuer: issuer.issuer,
        caFile,
        clusters: ['demo'],
        match: `claims.repository_owner == "example" && ${DEAR}`,
      },
    ],
    consoles: [{ name: 'headlamp', host: 'headlamp.localhost', cluster: 'demo', server: 'http://127.0.0.1:9' }],
    // Each limit is reached by the test of its own.
    limits: { signInsPerMinute: SIGN_INS, inFlightPerUser: IN_FLIGHT },
    // Longer than the whole test, however busy the machine is.
    sessions: { accessToken: '15m' },
    telemetry: { logLevel: 'error' },
  };
  return written('cost.yaml', stringify(changed, { lineWidth: 0 }));
}

/** `limits.signInsPerMinute`: more than one row sends, and few enough to use them up. */
const SIGN_INS = 200;

/** `limits.inFlightPerUser`: more than is held to be measured, and few enough to use them up. */
export const IN_FLIGHT = 100;
/** Connections to a cluster that one account may have for ordinary requests: a third of the 256 that there are. */
export const OF_ACCOUNT = 85;

/** An expression that takes nearly all of the steps that the expressions of one sign-in may take (docs/claims.md), and the slowest of them. */
const DEAR = ((): string => {
  const list = (length: number): string => `[${Array.from({ length }, () => '1').join(',')}]`;
  const slow = 'timestamp("2026-01-01T00:00:00Z").getHours("Europe/Berlin") >= 0';
  return `${list(950)}.all(x, ${list(2)}.all(y, ${slow}))`;
})();

async function signIn(demo: RunningDemo, name: string): Promise<User> {
  const key = await newClientKey();
  const ca = await readFile(join(demo.files.directory, 'ca.crt'), 'utf8');
  const client = new OAuthClient({ web: demo.urls.web, api: demo.urls.api, ca }, key);
  const token = async (refresh: string, resource: string): Promise<string> => {
    const { body } = await client.refresh(refresh, { resource });
    return String(body['access_token']);
  };
  const { session, refreshToken, accessToken } = await client.signIn(name, { resource: clusterAudience('demo') });
  const [self, admin] = [await token(refreshToken, SELF_AUDIENCE), await token(refreshToken, ADMIN_AUDIENCE)];
  await client.close();
  // Over HTTP/2 it would join header lines of one name.
  const fresh = (): Agent => new Agent({ allowH2: false, connect: { ca, ...key }, connections: 1, pipelining: 1 });
  return { key, agent: fresh(), fresh, session, refreshToken, cluster: accessToken, self, admin };
}

/** The server as in production, which takes the demo's ports. */
async function spawned(config: string, ops: string) {
  const child = spawn(process.execPath, ['--expose-gc', '--import', PROBE, MAIN, 'serve', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);
  const isReady = (): Promise<boolean> =>
    fetch(`${ops}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error('the server did not start');
    await pause(50);
  }
  return {
    pid: child.pid ?? 0,
    async heldBytes() {
      const told = once(child, 'message') as Promise<[number]>;
      child.send('held');
      return (await told)[0];
    },
    async stop() {
      process.removeListener('exit', onExit);
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export async function startCostStage(): Promise<CostStage> {
  await using stops = new AsyncDisposableStack();
  const redis = await startRedis();
  stops.defer(() => redis.stop());
  const directory = await temporaryFolder();
  stops.defer(() => rm(directory, { recursive: true, force: true }));
  const portBase = await freePortBase();
  const demo = await startDemo({ directory, portBase, redis: redis.url, embedded: true });
  stops.defer(() => demo.stop());
  const issuer = await startWorkloadIssuer(demo.urls.web);
  stops.defer(() => issuer.close());
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const config = await settings(demo, issuer, { keys: [{ ...(await exportJWK(publicKey)), kid: 'mcp' }] });
  await demo.server.stop();
  const loaded = await loadConfig({ file: config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const first = await startServer(loaded.value.config);
  const [alice, root, filled, holders, chain] = await (async () => {
    try {
      await first.ready;
      await untilSettled(first.store);
      const users = [await signIn(demo, 'alice'), await signIn(demo, 'root')] as const;
      const state = new State(first);
      const filled = await fill(state, users[0].session);
      const mint = await createMinter(demo, first.store.sessions, users[0].key.cert);
      const holders = await Promise.all((await state.openHolders()).map(mint));
      const { parent, last } = await state.chain(LAST_HOLDER, holders.at(-1)?.session ?? '');
      const chain = { parent: await mint(parent), last: await mint(last) };
      return [...users, filled, holders, chain] as const;
    } finally {
      await first.stop();
    }
  })();
  const ops = `http://127.0.0.1:${portBase + 2}`;
  const server = await spawned(config, ops);
  stops.defer(() => server.stop());
  // What a start brings with it: all grants are read, for one.
  await quiet(server.pid);
  const ca = await readFile(join(directory, 'ca.crt'), 'utf8');
  const bare = new Redis(redis.url);
  stops.defer(() => bare.disconnect());
  const anonymous = new Agent({ connect: { ca }, connections: 1 });
  for (const agent of [alice.agent, root.agent, anonymous]) stops.defer(() => agent.destroy());
  const kept = stops.move();
  return {
    ...filled,
    urls: { ...demo.urls, ops },
    ca,
    holders,
    chain,
    alice,
    root,
    anonymous,
    issuer,
    assertion: () => assertion(demo.urls.web, privateKey),
    send: (sent) => responseTo({ agent: anonymous, ...sent }),
    work: async () => ({
      calls: await callsOf(bare),
      cpuMs: cpuMicroseconds(server.pid) / 1000,
      redisMs: cpuMicroseconds(redis.pid) / 1000,
      atMs: performance.now(),
    }),
    heldBytes: () => server.heldBytes(),
    quiet: () => quiet(server.pid),
    stop: () => kept.disposeAsync(),
  };
}

const MOST_LOOKS = 40;
const LOOK_MS = 50;
/** Of CPU, in the time of a look. */
const BUSY_MS = 8;

async function quiet(pid: number): Promise<void> {
  for (let looks = 0, calm = 0; looks < MOST_LOOKS && calm < 2; looks += 1) {
    const before = cpuMicroseconds(pid);
    await pause(LOOK_MS);
    const busyMs = (cpuMicroseconds(pid) - before) / 1000;
    calm = busyMs > BUSY_MS ? 0 : calm + 1;
  }
}

function assertion(audience: string, key: CryptoKey): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: 'mcp', sub: 'mcp', aud: audience, jti: crypto.randomUUID(), iat: now, exp: now + 60 };
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(key);
}

/** @returns once the server knows that it is over */
async function upgraded({ url, agent, headers = {}, upgrade: protocol = '' }: Sent): Promise<Answered> {
  const nothing = { bytes: 0, text: '', cookie: '' };
  try {
    const { socket } = await upgrade(url, {
      ...(agent === undefined ? {} : { dispatcher: agent }),
      protocol,
      headers: headers as Record<string, string | string[]>,
    });
    socket.destroy();
    await pause(20);
    return { ...nothing, status: 101 };
  } catch (error) {
    // The client does not say with which status the upgrade was rejected.
    return { ...nothing, status: 503, text: String(error) };
  }
}

async function left(sent: Sent, leave: AbortController): Promise<Answered> {
  const timer = setTimeout(() => leave.abort(), sent.leaveAfterMs);
  try {
    return await answered(sent, leave);
  } catch (error) {
    if (!leave.signal.aborted) throw error;
    return { status: 0, bytes: 0, text: '', cookie: '' };
  } finally {
    clearTimeout(timer);
  }
}

function responseTo(sent: Sent): Promise<Answered> {
  if (sent.upgrade !== undefined) return upgraded(sent);
  const leave = new AbortController();
  return sent.leaveAfterMs === undefined ? answered(sent, leave) : left(sent, leave);
}

async function answered(sent: Sent, leave: AbortController): Promise<Answered> {
  const { method = 'GET', url, agent, headers = {}, body = null, isStream = false } = sent;
  const answer = await request(url, {
    method,
    ...(agent === undefined ? {} : { dispatcher: agent }),
    headers: headers as Record<string, string | string[]>,
    body,
    signal: leave.signal,
  });
  let text = '';
  if (isStream) {
    leave.abort();
    await answer.body.text().catch(() => undefined);
  } else text = await answer.body.text();
  const cookie = [answer.headers['set-cookie'] ?? []].flat().map((line) => line.split(';', 1)[0]);
  return { status: answer.statusCode, bytes: text.length, text, cookie: cookie.join('; ') };
}

async function callsOf(bare: Redis): Promise<number> {
  const stats = await bare.info('commandstats');
  const each = [...stats.matchAll(/^cmdstat_(?:eval|evalsha|wait|publish|subscribe):calls=(\d+)/gm)];
  return each.reduce((sum, [, count]) => sum + Number(count), 0);
}
