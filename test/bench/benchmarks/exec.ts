/** Bytes through an upgraded connection, as `kubectl cp` or a log of a busy pod makes them. */
import { mapValues, median, pairedRatio } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import { watchMemory } from '../stage/processes.ts';
import type { Stage, TargetName } from '../stage/stage.ts';

const ROUNDS = 3;
const BYTES = 1024 ** 3;

export async function exec(stage: Stage): Promise<BenchResult[]> {
  const { value: speeds, before, peak } = await watchMemory(stage.pid('portcullis'), throughput(stage));
  const { portcullis = [], haproxy = [], ...others } = speeds;
  const ratio = pairedRatio(portcullis, haproxy);
  return [
    {
      name: 'exec',
      unit: 'MB/s',
      portcullis: median(portcullis),
      peers: mapValues({ haproxy, ...others }, median),
      ratio,
      goal: '≥ 0.6 × haproxy',
      ok: ratio >= 0.6,
      load: `1 GiB in WebSocket frames of 64 KiB from the upstream to the client, ${ROUNDS} rounds in turns; memory grew by ${(peak - before).toFixed(0)} MB`,
    },
  ];
}

async function throughput({ load, target, others }: Stage): Promise<Partial<Record<TargetName, number[]>>> {
  const speeds: Partial<Record<TargetName, number[]>> = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of ['direct', 'haproxy', ...others, 'portcullis'] as const) {
      const job = { target: target(name, 'live'), path: PATHS.exec(BYTES), bytes: BYTES };
      (speeds[name] ??= []).push(BYTES / 1e6 / (await load.call('upgrade', job)));
    }
  }
  return speeds;
}
