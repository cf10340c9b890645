/**
 * What it costs that an audit event of a change is written before the API server gets the change: three servers that differ in
 * `audit.writeAhead` alone, in turns.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificates } from '../../../demo/certificates.ts';
import type { LoadWorker } from '../load/worker.ts';
import { median, pairedRatio } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { Remote } from '../rpc.ts';
import { signInAlice, startInstance } from '../stage/server.ts';
import { HOSTS, PATHS, startNginx } from '../stage/peers.ts';
import { cpuMicroseconds } from '../../support/cpu-time.ts';

const MODES = ['off', 'changes', 'sync'] as const;
type Mode = (typeof MODES)[number];

const ROUNDS = 9;
/** One connection as a user has it, and as many as `get` has. */
const LOADS = { alone: { connections: 1, requests: 200 }, busy: { connections: 16, requests: 1000 } } as const;
const WARM_UP = 2000;

interface Measured {
  /** Microseconds of CPU for each POST under load. */
  readonly cpu: number[];
  /** Microseconds, half of the POSTs took no longer: one at a time, and under load. */
  readonly alone: number[];
  readonly busy: number[];
}

export async function writeAhead(): Promise<BenchResult[]> {
  await using opened = new AsyncDisposableStack();
  const servers = await startServers(opened);
  const load = new Remote<LoadWorker>(fileURLToPath(new URL('../load/worker.ts', import.meta.url)));
  opened.defer(() => load.stop());
  const post = (handle: number, requests: number) => load.call('get', { handle, path: PATHS.change, requests });
  const handles = [];
  for (const { mode, pid, target } of servers) {
    const [alone, busy] = [
      await load.call('open', { target, connections: LOADS.alone.connections }),
      await load.call('open', { target, connections: LOADS.busy.connections }),
    ];
    await post(busy, WARM_UP);
    handles.push({ mode, pid, alone, busy });
  }
  const empty = (): Measured => ({ cpu: [], alone: [], busy: [] });
  const measured: Record<Mode, Measured> = { off: empty(), changes: empty(), sync: empty() };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { mode, pid, alone, busy } of handles) {
      const { requests } = LOADS.busy;
      measured[mode].alone.push(median((await post(alone, LOADS.alone.requests)).milliseconds) * 1000);
      const before = cpuMicroseconds(pid);
      measured[mode].busy.push(median((await post(busy, requests)).milliseconds) * 1000);
      measured[mode].cpu.push((cpuMicroseconds(pid) - before) / requests);
    }
  }
  return [result('changes', measured, 1.5), result('sync', measured, 2)];
}

function result(mode: Mode, measured: Readonly<Record<Mode, Measured>>, most: number): BenchResult {
  const of = (figure: keyof Measured): number => pairedRatio(measured[mode][figure], measured.off[figure]);
  const shown = (figure: keyof Measured): string =>
    `${median(measured.off[figure]).toFixed(0)} off, ${median(measured[mode][figure]).toFixed(0)} ${mode} (${of(figure).toFixed(2)} ×)`;
  return {
    name: mode === 'changes' ? 'audit-ahead' : `audit-ahead-${mode}`,
    unit: 'µs CPU',
    portcullis: median(measured[mode].cpu),
    peers: {},
    ratio: of('cpu'),
    goal: `≤ ${most} × off`,
    ok: of('cpu') <= most,
    load: `POSTs without a body, ${LOADS.busy.requests} a round over ${LOADS.busy.connections} HTTP/1.1 connections, the audit log in a file, ${ROUNDS} rounds in turns, medians; CPU: ${shown('cpu')}; p50 in µs over one connection: ${shown('alone')}; over ${LOADS.busy.connections}: ${shown('busy')}`,
  };
}

async function startServers(opened: AsyncDisposableStack) {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-'));
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const { ca, cert, key } = await makeCertificates(['localhost', '127.0.0.1', ...Object.values(HOSTS)], Date.now());
  const writeFiles = async (folder: string): Promise<void> => {
    const files = { 'ca.crt': ca, 'server.crt': cert, 'server.key': key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
  };
  await writeFiles(directory);
  const nginx = await startNginx(directory);
  opened.defer(nginx.stop);
  const servers = [];
  for (const mode of MODES) {
    const own = await mkdtemp(join(directory, `${mode}-`));
    await writeFiles(own);
    const upstreams = { files: nginx.port, live: nginx.port };
    const instance = await startInstance({ directory: own, upstreams, writeAhead: mode });
    opened.defer(instance.stop);
    const alice = await signInAlice(instance, ca);
    const target = {
      port: instance.port,
      host: HOSTS.files,
      token: alice.tokens.files,
      ca,
      ...alice.key,
      method: 'POST' as const,
    };
    servers.push({ mode, pid: instance.pid, target });
  }
  return servers;
}
