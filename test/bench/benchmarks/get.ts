/** CPU for one proxied 2 kB GET: token, binding, deny check, impersonation headers, audit and metrics included. */
import { mapValues, median, pairedRatio } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import { residentMegabytes } from '../stage/processes.ts';
import type { Stage, TargetName } from '../stage/stage.ts';

const ROUNDS = 9;
const REQUESTS = 2000;
/** The first ten thousand requests of a process cost up to twice as much, because its compilers are at work. */
const WARM_UP = 15_000;
const MEMORY_REQUESTS = 100_000;
const MOST_MEGABYTES = 150;

interface Shape {
  readonly connections: number;
  readonly streams?: number;
}

export async function get(stage: Stage): Promise<BenchResult[]> {
  const shape = { connections: 16 };
  const measured = await cpuPerGet(stage, ['direct', 'haproxy', ...stage.others, 'portcullis'], shape);
  return [result('get', measured, 4.5, `${REQUESTS} GETs of 2 kB a round over 16 HTTP/1.1 connections`)];
}

/** What a server that has just started holds after a run of small requests. */
export async function getMemory({ load, target, pid, others }: Stage): Promise<BenchResult[]> {
  const megabytes: Partial<Record<TargetName, number>> = {};
  for (const name of ['haproxy', ...others, 'portcullis'] as const) {
    const handle = await load.call('open', { target: target(name, 'files'), connections: 16 });
    await load.call('get', { handle, path: PATHS.get, requests: MEMORY_REQUESTS });
    megabytes[name] = await residentMegabytes(pid(name));
    await load.call('close', { handle });
  }
  const { portcullis = Number.NaN, ...peers } = megabytes;
  return [
    {
      name: 'get-memory',
      unit: 'MB',
      portcullis,
      peers,
      ratio: null,
      goal: `≤ ${MOST_MEGABYTES} MB`,
      ok: portcullis <= MOST_MEGABYTES,
      load: `resident memory after ${MEMORY_REQUESTS} GETs of 2 kB over 16 HTTP/1.1 connections; of Portcullis, some 67 MB are the pages of Node's own binary`,
    },
  ];
}

export async function getHttp2(stage: Stage): Promise<BenchResult[]> {
  const shape = { connections: 4, streams: 8 };
  const measured = await cpuPerGet(stage, ['haproxy', ...stage.others, 'portcullis'], shape);
  return [
    result('get-h2', measured, 4.2, `${REQUESTS} GETs of 2 kB a round over 4 HTTP/2 connections with 8 streams each`),
  ];
}

function result(
  name: string,
  measured: Partial<Record<TargetName, readonly number[]>>,
  most: number,
  load: string,
): BenchResult {
  const { portcullis = [], haproxy = [], ...others } = measured;
  const ratio = pairedRatio(portcullis, haproxy);
  const peers = mapValues({ haproxy, ...others }, median);
  const spread = `portcullis ${Math.min(...portcullis).toFixed(0)}–${Math.max(...portcullis).toFixed(0)} µs`;
  return {
    name,
    unit: 'µs CPU',
    portcullis: median(portcullis),
    peers,
    ratio,
    goal: `≤ ${most} × haproxy`,
    ok: ratio <= most,
    load: `${load}, ${ROUNDS} rounds in turns, medians (${spread})`,
  };
}

/** Microseconds of the proxy's CPU for each request, round by round. */
export async function cpuPerGet(
  stage: Stage,
  targets: readonly TargetName[],
  shape: Shape,
  rounds = ROUNDS,
): Promise<Partial<Record<TargetName, readonly number[]>>> {
  const { load } = stage;
  const path = PATHS.get;
  const handles = new Map<TargetName, number>();
  for (const name of targets) {
    const handle = await load.call('open', { target: stage.target(name, 'files'), ...shape });
    handles.set(name, handle);
    await load.call('get', { handle, path, requests: WARM_UP });
  }
  const measured: Partial<Record<TargetName, number[]>> = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, handle] of handles) {
      const before = stage.cpu(name);
      await load.call('get', { handle, path, requests: REQUESTS });
      (measured[name] ??= []).push((stage.cpu(name) - before) / REQUESTS);
    }
  }
  for (const handle of handles.values()) await load.call('close', { handle });
  return measured;
}
