/** Everything that a benchmark needs, fresh for each: memory and caches of one must not be in the figures of the next. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificates } from '../../../demo/certificates.ts';
import type { LoadTarget } from '../load/http1.ts';
import type { LoadWorker } from '../load/worker.ts';
import { Remote } from '../rpc.ts';
import type { LiveUpstream } from '../upstream.ts';
import { signInAlice, signInRoot, startInstance } from './server.ts';
import type { BenchInstance } from './server.ts';
import { HOSTS, startHaproxy, startNginx } from './peers.ts';
import { cpuMicroseconds } from './processes.ts';

export type TargetName = 'direct' | 'haproxy' | 'portcullis';

export interface Stage {
  readonly load: Remote<LoadWorker>;
  readonly upstream: Remote<LiveUpstream>;
  /** Where to send load, for a target and one of the two upstreams. */
  readonly target: (name: TargetName, host: keyof typeof HOSTS) => LoadTarget;
  /** CPU time so far in microseconds: of the proxy, and for `direct` of nginx itself. */
  readonly cpu: (name: TargetName) => Promise<number>;
  readonly pid: (name: TargetName) => number;
  readonly figures: BenchInstance['figures'];
  /** Ends alice's session as an administrator does. Resolves with the response, which must be `complete`. */
  readonly revokeAlice: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const entry = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** @param profile folder for a CPU profile of the server */
export async function openStage(profile?: string): Promise<Stage> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    return await open(stops, stop, profile);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function open(stops: (() => Promise<unknown>)[], stop: () => Promise<void>, profile?: string): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-'));
  stops.push(() => rm(directory, { recursive: true, force: true }));
  const { ca, cert, key } = await makeCertificates(['localhost', '127.0.0.1', ...Object.values(HOSTS)], Date.now());
  const files = { 'ca.crt': ca, 'server.crt': cert, 'server.key': key, 'server.pem': `${cert}\n${key}` };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text, { mode: 0o600 });

  const upstream = new Remote<LiveUpstream>(entry('../upstream.ts'));
  stops.push(() => upstream.stop());
  const live = (await upstream.call('start', { cert, key })).port;
  const nginx = await startNginx(directory);
  stops.push(nginx.stop);
  const upstreams = { files: nginx.port, live };
  const haproxy = await startHaproxy(directory, upstreams);
  stops.push(haproxy.stop);
  const instance = await startInstance({ directory, upstreams, profile });
  stops.push(instance.stop);
  const alice = await signInAlice(instance, ca);
  const root = await signInRoot(instance, ca);
  stops.push(root.close);
  const load = new Remote<LoadWorker>(entry('../load/worker.ts'));
  stops.push(() => load.stop());

  const pids = { direct: nginx.pid, haproxy: haproxy.pid, portcullis: instance.pid };
  return {
    load,
    upstream,
    target: (name, host) => {
      const port = name === 'direct' ? upstreams[host] : name === 'haproxy' ? haproxy.port : instance.port;
      return { port, host: HOSTS[host], token: alice.tokens[host], ca, ...alice.key };
    },
    cpu: (name) => cpuMicroseconds(pids[name]),
    pid: (name) => pids[name],
    figures: instance.figures,
    revokeAlice: () => root.revoke(alice.session),
    stop,
  };
}
