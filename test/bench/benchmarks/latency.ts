/** What the proxy adds to the time of one request when nothing else is going on. */
import { median } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import type { Stage, TargetName } from '../stage/stage.ts';

const ROUNDS = 9;
const REQUESTS = 500;
const WARM_UP = 10_000;
const MOST_ADDED = 220;

export async function latency({ load, target, others }: Stage): Promise<BenchResult[]> {
  const targets: readonly TargetName[] = ['direct', 'haproxy', ...others, 'portcullis'];
  const path = PATHS.get;
  const handles = new Map<TargetName, number>();
  for (const name of targets) {
    const handle = await load.call('open', { target: target(name, 'files'), connections: 1 });
    handles.set(name, handle);
    await load.call('get', { handle, path, requests: WARM_UP });
  }
  const p50: Partial<Record<TargetName, number[]>> = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, handle] of handles) {
      const { milliseconds } = await load.call('get', { handle, path, requests: REQUESTS });
      (p50[name] ??= []).push(median(milliseconds) * 1000);
    }
  }
  const added = (name: TargetName): number =>
    median((p50[name] ?? []).map((value, round) => value - (p50.direct?.[round] ?? 0)));
  const whole = targets.map((name) => `${name} ${median(p50[name] ?? []).toFixed(0)}`).join(', ');
  return [
    {
      name: 'latency',
      unit: 'µs added to p50',
      portcullis: added('portcullis'),
      peers: Object.fromEntries(['haproxy' as const, ...others].map((name) => [name, added(name)])),
      ratio: added('portcullis') / added('haproxy'),
      goal: `≤ ${MOST_ADDED} µs over direct`,
      ok: added('portcullis') <= MOST_ADDED,
      load: `one HTTP/1.1 connection, ${REQUESTS} GETs of 2 kB a round, ${ROUNDS} rounds in turns; p50 in µs: ${whole}`,
    },
  ];
}
