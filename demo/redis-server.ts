/** A real redis-server of the demo's own, on loopback, that keeps nothing on disk. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.ts';

const TOOLS = fileURLToPath(new URL('../scripts/tools', import.meta.url));

export interface DemoRedis {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts redis-server, installing it first where it is missing and that is allowed.
 * @param directory its working directory
 * @returns undefined where there is none to be had
 */
export async function startRedisServer(directory: string): Promise<DemoRedis | undefined> {
  if (!(await toolReady('redis-server'))) return undefined;
  const port = await freePort();
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', [...settings, '--dir', directory, '--maxmemory-policy', 'noeviction'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await saidReady(child);
  return { url: `redis://127.0.0.1:${port}`, stop: () => end(child, 'SIGTERM') };
}

/** Asks a process to end, and waits until it has. One that is stopped cannot hear anything but SIGKILL. */
export async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

async function toolReady(tool: string): Promise<boolean> {
  const [code] = (await once(spawn('sh', [TOOLS, tool], { stdio: 'inherit' }), 'exit')) as [number | null];
  return code === 0;
}

async function saidReady(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', reject);
  child.once('exit', (code) => reject(new Error(`redis-server ended with ${code} before it was ready`)));
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('Ready to accept connections')) resolve();
    });
  }
  await promise;
}
