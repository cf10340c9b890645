/** Thousands of idle watches: their memory, one event to all of them, and the cut by a revocation. */
import { setTimeout as pause } from 'node:timers/promises';
import { mapValues, median } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import { residentMegabytes } from '../stage/processes.ts';
import type { Stage, TargetName } from '../stage/stage.ts';
import { cpuPerGet } from './get.ts';

const COUNT = 5000;
const FAN_OUTS = 5;
/** Until buffers of the handshakes have been given back. */
const SETTLE_MS = 2000;
const GONE_MS = 10_000;

export const watches = (stage: Stage): AsyncIterable<BenchResult> => measure(stage, false);

export const watchesHttp2 = (stage: Stage): AsyncIterable<BenchResult> => measure(stage, true);

/** kB and milliseconds of CPU of each watch, and milliseconds until all are cut. */
const GOALS = {
  http1: { kilobytes: 70, openMs: 2, cutMs: 600 },
  http2: { kilobytes: 40, openMs: 1, cutMs: 400 },
};

interface Held {
  readonly kilobytesEach: number;
  readonly openCpuMs: number;
  readonly fanOutMs: number;
  readonly fanOutCpuMs: number;
}

async function* measure(stage: Stage, http2: boolean): AsyncIterable<BenchResult> {
  const shape = { connections: 8 };
  const alone = await cpuPerGet(stage, ['portcullis'], shape, 3);
  const peers: Record<string, Held> = {};
  for (const name of ['haproxy', ...stage.others] as const) {
    peers[name] = await hold(stage, name, http2);
    await letGo(stage);
  }
  const portcullis = await hold(stage, 'portcullis', http2);

  const name = http2 ? 'watches-h2' : 'watches';
  const load = `${COUNT} watches of one user by ${http2 ? 'HTTP/2, 100 a connection' : 'HTTP/1.1'}`;
  const fanOutCpu = Object.entries({ portcullis, ...peers })
    .map(([peer, { fanOutCpuMs }]) => `${peer} ${fanOutCpuMs.toFixed(0)}`)
    .join(', ');
  const goals = http2 ? GOALS.http2 : GOALS.http1;
  const figure = (
    what: string,
    unit: string,
    value: number,
    goal: string,
  ): Omit<BenchResult, 'ok' | 'peers' | 'load'> => ({
    name: `${name}-${what}`,
    unit,
    portcullis: value,
    ratio: null,
    goal,
  });
  yield {
    ...figure('memory', 'kB each', portcullis.kilobytesEach, `≤ ${goals.kilobytes} kB`),
    peers: mapValues(peers, ({ kilobytesEach }) => kilobytesEach),
    ok: portcullis.kilobytesEach <= goals.kilobytes,
    load: `${load}; growth of resident memory`,
  };
  yield {
    ...figure('open', 'ms CPU each', portcullis.openCpuMs, `≤ ${goals.openMs} ms`),
    peers: mapValues(peers, ({ openCpuMs }) => openCpuMs),
    ok: portcullis.openCpuMs <= goals.openMs,
    load: `until all are open${http2 ? '' : ', each with a connection on both sides'}`,
  };
  yield {
    ...figure('fan-out', 'ms', portcullis.fanOutMs, '≤ 350 ms'),
    peers: mapValues(peers, ({ fanOutMs }) => fanOutMs),
    ok: portcullis.fanOutMs <= 350,
    load: `one event to all, until the last has it, median of ${FAN_OUTS}; CPU in ms: ${fanOutCpu}`,
  };

  const beside = await cpuPerGet(stage, ['portcullis'], shape, 3);
  const before = median(alone.portcullis ?? []);
  const held = median(beside.portcullis ?? []);
  yield {
    ...figure('get', 'µs CPU', held, 'as without them'),
    peers: {},
    ratio: held / before,
    ok: held / before <= 1.25,
    load: `a GET of 2 kB while they are held; without them ${before.toFixed(0)} µs; 1.25 is the machine's noise`,
  };

  const beforeCut = stage.cpu('portcullis');
  const cutMs = await cut(stage);
  const cutCpuMs = (stage.cpu('portcullis') - beforeCut) / 1000;
  yield {
    ...figure('cut', 'ms', cutMs, `≤ ${goals.cutMs} ms`),
    peers: {},
    ok: cutMs <= goals.cutMs,
    load: `from the administrator's request until the last watch was reset; CPU ${cutCpuMs.toFixed(0)} ms`,
  };
  await letGo(stage);
}

async function hold(stage: Stage, name: TargetName, http2: boolean): Promise<Held> {
  const { load, upstream } = stage;
  const before = await residentMegabytes(stage.pid(name));
  const beforeOpening = stage.cpu(name);
  await load.call('openWatches', { target: stage.target(name, 'live'), path: PATHS.watch, count: COUNT, http2 });
  const openCpuMs = (stage.cpu(name) - beforeOpening) / 1000 / COUNT;
  await pause(SETTLE_MS);
  const after = await residentMegabytes(stage.pid(name));
  const times: number[] = [];
  const cpu: number[] = [];
  for (let turn = 0; turn < FAN_OUTS; turn += 1) {
    const started = stage.cpu(name);
    const all = load.call('nextEvent', {});
    const { at, watches: reached } = await upstream.call('fire', {});
    if (reached !== COUNT) throw new Error(`the upstream holds ${reached} watches`);
    times.push(((await all) - at) / 1e6);
    cpu.push((stage.cpu(name) - started) / 1000);
  }
  return {
    kilobytesEach: ((after - before) * 1000) / COUNT,
    openCpuMs,
    fanOutMs: median(times),
    fanOutCpuMs: median(cpu),
  };
}

/** Resolves when the upstream has seen the last one go. */
async function letGo({ load, upstream }: Stage): Promise<void> {
  await load.call('closeWatches', {});
  const deadline = performance.now() + GONE_MS;
  while ((await upstream.call('open', {})).watches > 0) {
    if (performance.now() > deadline) throw new Error('watches were let go, and the upstream still holds them');
    await pause(50);
  }
}

async function cut(stage: Stage): Promise<number> {
  const over = stage.load.call('allClosed', {});
  const begun = Number(process.hrtime.bigint());
  await stage.revokeAlice();
  return ((await over) - begun) / 1e6;
}
