/**
 * Real redis-servers and Sentinels of the test's own, on loopback, or Valkey's where PORTCULLIS_TEST_STORE is valkey-server. Each ends with
 * the test run, however that ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../demo/ports.ts';

/** One process that can be stopped and resumed as a host can. */
interface Process {
  readonly port: number;
  /** Of the process that serves now; another one after `restart`. */
  readonly pid: number;
  /** SIGSTOP: connections stay open and nothing answers, as with a hung host. */
  pause(): void;
  resume(): void;
  /** SIGKILL, and everything on disk stays where it is. May be called again, and while paused. */
  kill(): Promise<void>;
  /** Comes back on the same port, also after `kill` and `stop`. */
  restart(): Promise<void>;
  /** As `kill`, and removes its folder. */
  stop(): Promise<void>;
}

/** A redis-server. `restart` gives it a new run id, and what it kept on disk: nothing without a SAVE, all with `keepData`. */
export interface RedisServer extends Process {
  readonly url: string;
  /** Where its `dump.rdb` is (after a SAVE), for tests that put back an old one. */
  readonly dir: string;
}

export interface StartRedis {
  /** Further options of redis-server, such as `['--requirepass', 'secret']`. */
  readonly args?: readonly string[];
  /** Writes every command to disk before it answers (append-only file, fsync always). */
  readonly keepData?: boolean;
  /** Begins as a follower of what listens on this port, and is started once it holds all that the other one does. */
  readonly replicaOf?: { readonly port: number };
  /** Speaks TLS and nothing else; asks for no client certificate. Read again at `restart`. */
  readonly tls?: ServerTls;
}

/** PEM; `ca` is for the servers that this one speaks to. */
export interface ServerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The program; Valkey's takes the same arguments. */
const SERVER = process.env['PORTCULLIS_TEST_STORE'] ?? 'redis-server';

const ATTEMPTS = 5;

const SERVES = 'Ready to accept connections';

/** A follower has all there is within moments of asking for it. */
const REPLICATION = [
  '--repl-diskless-sync',
  'yes',
  '--repl-diskless-sync-delay',
  '0',
  '--repl-ping-replica-period',
  '1',
];

/** @returns the process once it says `ready`, or what it said instead */
async function launch(args: readonly string[], ready: string): Promise<ChildProcess | string> {
  const child = spawn(SERVER, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  // A test run that dies must not leave servers behind.
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<ChildProcess | string>();
  child.once('error', (error) => resolve(`${SERVER} cannot be started (apt install ${SERVER}): ${error.message}`));
  child.once('exit', () => resolve(`${SERVER} ended: ${said.join('\n')}`));
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (said.length < 50) said.push(line);
    if (line.includes(ready)) resolve(child);
  });
  return await promise;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  // SIGKILL also ends a stopped process, and what is to be kept is on disk already.
  child.kill('SIGKILL');
  await gone;
}

interface Program {
  /** The line by which it says that it is where it should be, when it is started for the first time. */
  readonly ready: string;
  /** The line by which it says that it serves, beside any other. */
  readonly serves: string;
  /** Writes what it needs into its folder, and says how to start it. */
  argsFor(port: number, dir: string): Promise<readonly string[]>;
}

/** @throws Error with the server's own message when it does not come up */
async function start(program: Program): Promise<Process & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-redis-'));
  let port = 0;
  let child: ChildProcess | string = '';
  for (let attempt = 0; attempt < ATTEMPTS && typeof child === 'string'; attempt += 1) {
    port = await freePort();
    child = await launch(await program.argsFor(port, dir), program.ready);
  }
  if (typeof child === 'string') throw new Error(child);
  let running = child;
  return {
    dir,
    port,
    get pid() {
      return running.pid ?? 0;
    },
    pause: () => void running.kill('SIGSTOP'),
    resume: () => void running.kill('SIGCONT'),
    kill: () => end(running),
    async restart() {
      await end(running);
      await mkdir(dir, { recursive: true });
      const again = await launch(await program.argsFor(port, dir), program.serves);
      if (typeof again === 'string') throw new Error(again);
      running = again;
    },
    async stop() {
      await end(running);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/**
 * Starts redis-server on a random loopback port with its own folder.
 * @throws Error with the server's own message when it does not come up
 */
export async function startRedis(options: StartRedis = {}): Promise<RedisServer> {
  const server = await start({
    // Redis says MASTER before it, and Valkey PRIMARY.
    ready: options.replicaOf === undefined ? SERVES : ' <-> REPLICA sync: Finished with success',
    serves: SERVES,
    async argsFor(port, dir) {
      const kept = options.keepData === true ? ['yes', '--appendfsync', 'always'] : ['no'];
      return [
        '--bind',
        '127.0.0.1',
        '--dir',
        dir,
        '--save',
        '',
        '--appendonly',
        ...kept,
        ...(options.tls === undefined ? ['--port', String(port)] : await tlsArgs(options.tls, port, dir)),
        ...(options.replicaOf === undefined ? [] : ['--replicaof', '127.0.0.1', String(options.replicaOf.port)]),
        ...REPLICATION,
        ...(options.args ?? []),
      ];
    },
  });
  return Object.assign(server, { url: `${options.tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${server.port}` });
}

async function tlsArgs(tls: ServerTls, port: number, dir: string): Promise<readonly string[]> {
  const files = Object.entries(tls).map(async ([name, pem]) => writeFile(join(dir, name), pem, { mode: 0o600 }));
  await Promise.all(files);
  const file = (option: string, name: string): readonly string[] => [`--tls-${option}-file`, join(dir, name)];
  const fixed = ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-replication', 'yes'];
  return [...fixed, ...file('ca-cert', 'ca'), ...file('cert', 'cert'), ...file('key', 'key')];
}

/**
 * Servers that follow the one on that port.
 * @param at where the followers find the master: by itself, or behind a link that can be cut
 */
export async function startFollowers(
  count: number,
  at: { readonly port: number },
  options: Omit<StartRedis, 'replicaOf'> = {},
): Promise<readonly RedisServer[]> {
  return Promise.all(Array.from({ length: count }, () => startRedis({ ...options, replicaOf: { port: at.port } })));
}

export interface Sentinels extends AsyncDisposable {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** The name under which they know the master. */
  readonly master: string;
  readonly processes: readonly Process[];
}

interface StartSentinels {
  readonly tls?: ServerTls;
  /** How long the master may be silent. Default: half a second. */
  readonly downAfterMs?: number;
}

/**
 * Starts Sentinels that watch one master and put another in its place half a second after it has gone, as a majority of them sees it.
 * @param at where they, and anyone who asks them, find the master: by itself, or behind a link that can be cut
 */
export async function startSentinels(
  at: { readonly port: number },
  count: number,
  { tls, downAfterMs = 500 }: StartSentinels = {},
): Promise<Sentinels> {
  const master = 'gate-master';
  const config = [
    `sentinel monitor ${master} 127.0.0.1 ${at.port} ${Math.floor(count / 2) + 1}`,
    `sentinel down-after-milliseconds ${master} ${downAfterMs}`,
    `sentinel failover-timeout ${master} 3000`,
    `sentinel parallel-syncs ${master} 2`,
  ];
  const processes = await Promise.all(
    Array.from({ length: count }, () =>
      start({
        ready: '+monitor master',
        serves: '+monitor master',
        async argsFor(port, dir) {
          const file = join(dir, 'sentinel.conf');
          await writeFile(file, [`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, ...config, ''].join('\n'));
          return [file, '--sentinel', ...(tls === undefined ? [] : await tlsArgs(tls, port, dir))];
        },
      }),
    ),
  );
  return {
    addresses: processes.map(({ port }) => ({ host: '127.0.0.1', port })),
    master,
    processes,
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((one) => one.stop()));
    },
  };
}

/** A connection to a server that can be cut for every client but Portcullis: the server is alone with it then. */
export interface Link extends AsyncDisposable {
  readonly port: number;
  /** Drops every connection but those on which Portcullis has sent its name, and admits no new client. */
  isolate(): void;
}

const INSTANCE = 'portcullis-';

/** Passes TCP connections on to a port of loopback. */
export async function startLink(to: { readonly port: number }): Promise<Link> {
  const pairs = new Set<{ readonly ends: readonly Socket[]; said: string }>();
  let isolated = false;
  const server = createServer((near) => {
    if (isolated) return void near.destroy();
    const far = connect(to.port, '127.0.0.1');
    const pair = { ends: [near, far], said: '' };
    pairs.add(pair);
    near.on('data', (chunk: Buffer) => {
      // Names come first, among the commands with which a connection begins.
      if (pair.said.length < 4096) pair.said += chunk.toString('latin1');
    });
    near.pipe(far).pipe(near);
    for (const socket of pair.ends) {
      socket.on('error', () => {});
      socket.once('close', () => {
        pairs.delete(pair);
        for (const other of pair.ends) other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const drop = (keep: (said: string) => boolean): void => {
    for (const { ends, said } of pairs) if (!keep(said)) for (const socket of ends) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    isolate() {
      isolated = true;
      drop((said) => said.includes(INSTANCE));
    },
    async [Symbol.asyncDispose]() {
      isolated = true;
      const closed = once(server, 'close');
      server.close();
      drop(() => false);
      await closed;
    },
  };
}
