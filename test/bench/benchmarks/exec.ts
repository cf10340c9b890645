/** Bytes through an upgraded connection, as `kubectl cp` or a log of a busy pod makes them. */
import { median, pairedRatio } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import { watchMemory } from '../stage/processes.ts';
import type { Stage, TargetName } from '../stage/stage.ts';

const ROUNDS = 3;
const BYTES = 1024 ** 3;
const TARGETS: readonly TargetName[] = ['direct', 'haproxy', 'portcullis'];

export async function exec(stage: Stage): Promise<BenchResult[]> {
  const { value: speeds, before, peak } = await watchMemory(stage.pid('portcullis'), throughput(stage));
  const ratio = pairedRatio(speeds.portcullis, speeds.haproxy);
  return [
    {
      name: 'exec',
      unit: 'MB/s',
      portcullis: median(speeds.portcullis),
      peers: { direct: median(speeds.direct), haproxy: median(speeds.haproxy) },
      ratio,
      goal: '≥ 0.5 × haproxy',
      ok: ratio >= 0.5,
      load: `1 GiB in WebSocket frames of 64 KiB from the upstream to the client, ${ROUNDS} rounds in turns; memory grew by ${(peak - before).toFixed(0)} MB`,
    },
  ];
}

async function throughput({ load, target }: Stage): Promise<Record<TargetName, number[]>> {
  const speeds: Record<TargetName, number[]> = { direct: [], haproxy: [], portcullis: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of TARGETS) {
      const job = { target: target(name, 'live'), path: PATHS.exec(BYTES), bytes: BYTES };
      speeds[name].push(BYTES / 1e6 / (await load.call('upgrade', job)));
    }
  }
  return speeds;
}
