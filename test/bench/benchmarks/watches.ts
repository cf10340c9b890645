/** Thousands of idle watches: their memory, one event to all of them, and the cut by a revocation. */
import { setTimeout as pause } from 'node:timers/promises';
import { median } from '../report.ts';
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

export const watches = (stage: Stage): Promise<BenchResult[]> => measure(stage, false);

export async function watchesHttp2(stage: Stage): Promise<BenchResult[]> {
  if (await stage.load.call('servesHttp2', { target: stage.target('portcullis', 'live') })) return measure(stage, true);
  const message = { load: 'HTTP/2 is not served', goal: '≤ 100 kB', unit: 'kB each' };
  return [{ name: 'watches-h2', portcullis: null, peers: {}, ratio: null, ok: null, ...message }];
}

interface Held {
  readonly kilobytesEach: number;
  readonly fanOutMs: number;
  readonly fanOutCpuMs: number;
}

async function measure(stage: Stage, http2: boolean): Promise<BenchResult[]> {
  const shape = { connections: 8 };
  const alone = await cpuPerGet(stage, ['portcullis'], shape, 3);
  const haproxy = await hold(stage, 'haproxy', http2);
  await letGo(stage);
  const portcullis = await hold(stage, 'portcullis', http2);
  const beside = await cpuPerGet(stage, ['portcullis'], shape, 3);
  const cutMs = await cut(stage);
  await letGo(stage);

  const name = http2 ? 'watches-h2' : 'watches';
  const load = `${COUNT} watches of one user by ${http2 ? 'HTTP/2, 100 a connection' : 'HTTP/1.1'}`;
  const before = median(alone.portcullis ?? []);
  const held = median(beside.portcullis ?? []);
  const most = http2 ? 100 : 160;
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
  return [
    {
      ...figure('memory', 'kB each', portcullis.kilobytesEach, `≤ ${most} kB`),
      peers: { haproxy: haproxy.kilobytesEach },
      ok: portcullis.kilobytesEach <= most,
      load: `${load}; growth of resident memory`,
    },
    {
      ...figure('fan-out', 'ms', portcullis.fanOutMs, '≤ 350 ms'),
      peers: { haproxy: haproxy.fanOutMs },
      ok: portcullis.fanOutMs <= 350,
      load: `one event to all, until the last has it, median of ${FAN_OUTS}; CPU ${portcullis.fanOutCpuMs.toFixed(0)} ms, haproxy ${haproxy.fanOutCpuMs.toFixed(0)} ms`,
    },
    {
      ...figure('cut', 'ms', cutMs, '≤ 800 ms'),
      peers: {},
      ok: cutMs <= 800,
      load: `from the administrator's request until the last watch was reset`,
    },
    {
      ...figure('get', 'µs CPU', held, 'as without them'),
      peers: {},
      ratio: held / before,
      ok: held / before <= 1.25,
      load: `a GET of 2 kB while they are held; without them ${before.toFixed(0)} µs; 1.25 is the machine's noise`,
    },
  ];
}

async function hold(stage: Stage, name: TargetName, http2: boolean): Promise<Held> {
  const { load, upstream } = stage;
  const before = await residentMegabytes(stage.pid(name));
  await load.call('openWatches', { target: stage.target(name, 'live'), path: PATHS.watch, count: COUNT, http2 });
  await pause(SETTLE_MS);
  const after = await residentMegabytes(stage.pid(name));
  const times: number[] = [];
  const cpu: number[] = [];
  for (let turn = 0; turn < FAN_OUTS; turn += 1) {
    const started = await stage.cpu(name);
    const all = load.call('nextEvent', {});
    const { at, watches: reached } = await upstream.call('fire', {});
    if (reached !== COUNT) throw new Error(`the upstream holds ${reached} watches`);
    times.push(((await all) - at) / 1e6);
    cpu.push(((await stage.cpu(name)) - started) / 1000);
  }
  return { kilobytesEach: ((after - before) * 1000) / COUNT, fanOutMs: median(times), fanOutCpuMs: median(cpu) };
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
