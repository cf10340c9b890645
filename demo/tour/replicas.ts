/** Three replicas, each a process of its own as in a cluster, on one Redis. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { parse, stringify } from 'yaml';
import type { DemoFiles } from '../files.ts';
import { freePorts } from '../ports.ts';
import { end } from '../redis-server.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const READY_WITHIN_MS = 30_000;
const POLL_MS = 50;

export interface Replica {
  readonly name: string;
  /** Where kubectl reaches this one and no other. */
  readonly api: string;
  /** `host:port` of its ops listener, where its metrics are. */
  readonly ops: string;
  /** SIGSTOP: the process is not scheduled any more, and knows nothing of it. Its connections stay open. */
  stop(): void;
  /** SIGCONT. */
  wake(): void;
}

export interface Replicas extends AsyncDisposable {
  readonly a: Replica;
  readonly b: Replica;
  readonly c: Replica;
}

interface Ports {
  readonly api: number;
  readonly web: number;
  readonly ops: number;
}

/**
 * Starts three `serve` processes with the demo's own configuration and keys, on one store. The first takes over the demo's ports, where
 * browsers and plugins expect the server.
 * @param first ports of the first one: they must be free
 */
export async function startReplicas(files: DemoFiles, first: Ports, redis: string): Promise<Replicas> {
  const children: ChildProcess[] = [];
  const start = async (name: string, ports: Ports): Promise<Replica> => {
    const child = await serve(files, { name, ports, redis });
    children.push(child);
    await ready(name, ports.ops, child);
    return {
      name,
      api: `https://localhost:${ports.api}`,
      ops: `127.0.0.1:${ports.ops}`,
      stop: () => void child.kill('SIGSTOP'),
      wake: () => void child.kill('SIGCONT'),
    };
  };
  const dispose = async (): Promise<void> => {
    await Promise.all(children.map((child) => end(child, 'SIGKILL')));
  };
  try {
    const [a, b, c] = await Promise.all([
      start('portcullis-a', first),
      start('portcullis-b', await anyPorts()),
      start('portcullis-c', await anyPorts()),
    ]);
    return { a, b, c, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function serve(
  files: DemoFiles,
  { name, ports, redis }: { readonly name: string; readonly ports: Ports; readonly redis: string },
): Promise<ChildProcess> {
  const config = parse(await readFile(files.config, 'utf8')) as {
    listen: Record<'api' | 'web' | 'ops', { address: string }>;
  };
  for (const listener of ['api', 'web', 'ops'] as const)
    config.listen[listener].address = `127.0.0.1:${ports[listener]}`;
  const file = join(files.directory, `${name}.yaml`);
  const own = {
    ...config,
    store: { redis: { url: redis, prefix: 'portcullis-tour' } },
    audit: { sinks: [{ type: 'file', path: join(files.directory, `${name}.log`) }] },
    telemetry: { logLevel: 'error' },
  };
  await writeFile(file, stringify(own, { lineWidth: 0 }));
  return spawn(process.execPath, [MAIN, 'serve', '--config', file], {
    env: { ...process.env, HOSTNAME: name },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function ready(name: string, port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    const status = await request(`http://127.0.0.1:${port}/readyz`).then(
      async ({ statusCode, body }) => {
        await body.dump();
        return statusCode;
      },
      () => 0,
    );
    if (status === 200) return;
    await pause(POLL_MS);
  }
  throw new Error(`${name} was not ready in time`);
}

async function anyPorts(): Promise<Ports> {
  const [api = 0, web = 0, ops = 0] = await freePorts(3);
  return { api, web, ops };
}
