/** Everything that a benchmark needs, fresh for each: memory and caches of one must not be in the figures of the next. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificates } from '../../../demo/certificates.ts';
import type { LoadTarget } from '../load/http1.ts';
import type { LoadWorker } from '../load/worker.ts';
import { Remote } from '../rpc.ts';
import type { LiveUpstream } from '../upstream.ts';
import { signInAlice, signInRoot, startInstance } from './server.ts';
import type { BenchInstance, SignedInUser } from './server.ts';
import { HOSTS, startHaproxy, startNginx, startPeer } from './peers.ts';
import { cpuMicroseconds } from '../../support/cpu-time.ts';
import { staged, type Stops } from '../../support/staged.ts';

/** `before`: Portcullis of another checkout. `peer`: another proxy. */
export type TargetName = 'direct' | 'haproxy' | 'portcullis' | 'before' | 'peer';

/** What else takes its turns. */
export interface Others {
  /** Folder of another checkout of Portcullis, with its dependencies installed. */
  readonly before?: string | undefined;
  /** A command line (`startPeer`). */
  readonly peer?: string | undefined;
  /** Folder for a CPU profile of the server. */
  readonly profile?: string | undefined;
}

export interface Stage {
  readonly load: Remote<LoadWorker>;
  readonly upstream: Remote<LiveUpstream>;
  /** Where to send load, for a target and one of the two upstreams. */
  readonly target: (name: TargetName, host: keyof typeof HOSTS) => LoadTarget;
  /** CPU time so far in microseconds: of the proxy, and for `direct` of nginx itself. */
  readonly cpu: (name: TargetName) => number;
  readonly pid: (name: TargetName) => number;
  /** Those of `before` and `peer` that run. */
  readonly others: readonly TargetName[];
  readonly figures: BenchInstance['figures'];
  /** Ends alice's session as an administrator does. Resolves with the response, which must be `complete`. */
  readonly revokeAlice: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const entry = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export const openStage = (others: Others = {}): Promise<Stage> => staged((stops) => open(stops, others));

async function open(stops: Stops, others: Others): Promise<Omit<Stage, 'stop'>> {
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
  const instance = await startInstance({ directory, upstreams, profile: others.profile });
  stops.push(() => instance.stop());
  const alice = await signInAlice(instance, ca);
  const before = others.before === undefined ? undefined : await startBefore(others.before, files, { upstreams, ca });
  if (before !== undefined) stops.push(before.stop);
  const peer = others.peer === undefined ? undefined : await startPeer(others.peer, directory, upstreams);
  if (peer !== undefined) stops.push(peer.stop);
  const peerToken = await readFile(join(directory, 'peer-token'), 'utf8').catch(() => undefined);
  const root = await signInRoot(instance, ca);
  stops.push(root.close);
  const load = new Remote<LoadWorker>(entry('../load/worker.ts'));
  stops.push(() => load.stop());

  const ports = { haproxy: haproxy.port, portcullis: instance.port, before: before?.port ?? 0, peer: peer?.port ?? 0 };
  const pids = {
    direct: nginx.pid,
    haproxy: haproxy.pid,
    portcullis: instance.pid,
    before: before?.pid ?? 0,
    peer: peer?.pid ?? 0,
  };
  return {
    load,
    upstream,
    target: (name, host) => {
      const port = name === 'direct' ? upstreams[host] : ports[name];
      const user = name === 'before' && before !== undefined ? before.alice : alice;
      const token = (name === 'peer' ? peerToken : undefined) ?? user.tokens[host];
      return { port, host: HOSTS[host], token, ca, ...user.key };
    },
    cpu: (name) => cpuMicroseconds(pids[name]),
    pid: (name) => pids[name],
    others: (['before', 'peer'] as const).filter((name) => others[name] !== undefined),
    figures: instance.figures,
    revokeAlice: () => root.revoke(alice.session),
  };
}

/** In a folder of its own, because it has the same names for its files. */
const startBefore = (
  checkout: string,
  files: Readonly<Record<string, string>>,
  { upstreams, ca }: { readonly upstreams: { readonly files: number; readonly live: number }; readonly ca: string },
): Promise<BenchInstance & { readonly alice: SignedInUser }> =>
  staged(async (stops) => {
    const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-before-'));
    stops.push(() => rm(directory, { recursive: true, force: true }));
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text, { mode: 0o600 });
    const instance = await startInstance({ directory, upstreams, checkout });
    stops.push(() => instance.stop());
    return { ...instance, alice: await signInAlice(instance, ca) };
  });
