import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A real redis-server of the test's own, on loopback, which keeps nothing on disk. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Of the process that serves now; another one after `restart`. */
  readonly pid: number;
  /** Ends the process and removes its folder. May be called again, and while paused. */
  stop(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers, as with a hung host. */
  pause(): void;
  resume(): void;
  /** Comes back on the same port with a new run id, also after `stop`; with what a SAVE kept, which is nothing without one. */
  restart(): Promise<void>;
}

export interface StartRedis {
  /** Further options of redis-server, such as `['--requirepass', 'secret']`. */
  readonly args?: readonly string[];
}

const ATTEMPTS = 5;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** @returns the process once it accepts connections, or what it said instead */
async function launch(port: number, dir: string, args: readonly string[]): Promise<ChildProcess | string> {
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', [...fixed, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  // A test run that dies must not leave servers behind.
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<ChildProcess | string>();
  child.once('error', (error) =>
    resolve(`redis-server cannot be started (apt install redis-server): ${error.message}`),
  );
  child.once('exit', () => resolve(`redis-server ended: ${said.join('\n')}`));
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (said.length < 50) said.push(line);
    if (line.includes('Ready to accept connections')) resolve(child);
  });
  return await promise;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  // SIGKILL also ends a stopped process, and there is nothing on disk to save.
  child.kill('SIGKILL');
  await gone;
}

/**
 * Starts redis-server on a random loopback port with a folder of its own.
 * @throws Error with the server's own words when it does not come up
 */
export async function startRedis({ args = [] }: StartRedis = {}): Promise<RedisServer> {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-redis-'));
  let port = 0;
  let child: ChildProcess | string = '';
  for (let attempt = 0; attempt < ATTEMPTS && typeof child === 'string'; attempt += 1) {
    port = await freePort();
    child = await launch(port, dir, args);
  }
  if (typeof child === 'string') throw new Error(child);
  let running = child;

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return running.pid ?? 0;
    },
    async stop() {
      await end(running);
      await rm(dir, { recursive: true, force: true });
    },
    pause: () => void running.kill('SIGSTOP'),
    resume: () => void running.kill('SIGCONT'),
    async restart() {
      await end(running);
      await mkdir(dir, { recursive: true });
      const again = await launch(port, dir, args);
      if (typeof again === 'string') throw new Error(again);
      running = again;
    },
  };
}
