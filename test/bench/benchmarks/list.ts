/** A large list: how fast it comes, and what it costs in memory, also when the client reads slowly. */
import { mapValues, median, pairedRatio } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { LIST_BYTES, PATHS } from '../stage/peers.ts';
import { watchMemory } from '../stage/processes.ts';
import type { Stage, TargetName } from '../stage/stage.ts';

const ROUNDS = 5;
const READERS = 20;
const SECONDS = 8;
const GROWTH_GOAL = '≤ 100 MB';

export async function list(stage: Stage): Promise<BenchResult[]> {
  const fast = await watchMemory(stage.pid('portcullis'), throughput(stage));
  const target = stage.target('portcullis', 'files');
  const job = { target, path: PATHS.list, readers: READERS, bytesPerSecond: 1e6, seconds: SECONDS };
  const slow = await watchMemory(stage.pid('portcullis'), stage.load.call('readSlowly', job));
  const { direct = [], haproxy = [], portcullis = [], ...others } = fast.value;
  const ratio = pairedRatio(portcullis, direct);
  const toHaproxy = pairedRatio(portcullis, haproxy);
  return [
    {
      name: 'list',
      unit: 'MB/s',
      portcullis: median(portcullis),
      peers: mapValues({ direct, haproxy, ...others }, median),
      ratio,
      goal: '≥ 0.35 × direct, ≥ 0.6 × haproxy',
      ok: ratio >= 0.35 && toHaproxy >= 0.6,
      load: `GET of 100 MB, one after the other, ${ROUNDS} rounds in turns; ${toHaproxy.toFixed(2)} × haproxy`,
    },
    growth('list-memory', fast, `resident memory at its peak over before, during ${ROUNDS + 1} lists of 100 MB`),
    growth(
      'list-slow',
      slow,
      `the same with ${READERS} readers of 100 MB at 1 MB/s for ${SECONDS} s (${(slow.value / 1e6).toFixed(0)} MB taken)`,
    ),
  ];
}

const growth = (
  name: string,
  { before, peak }: { readonly before: number; readonly peak: number },
  load: string,
): BenchResult => ({
  name,
  unit: 'MB grown',
  portcullis: peak - before,
  peers: {},
  ratio: null,
  goal: GROWTH_GOAL,
  ok: peak - before <= 100,
  load: `${load}; from ${before.toFixed(0)} MB`,
});

type Speeds = Partial<Record<TargetName, number[]>>;

async function throughput({ load, target, others }: Stage): Promise<Speeds> {
  const speeds: Speeds = {};
  const handles = new Map<TargetName, number>();
  for (const name of ['direct', 'haproxy', ...others, 'portcullis'] as const) {
    const handle = await load.call('open', { target: target(name, 'files'), connections: 1 });
    handles.set(name, handle);
    await load.call('get', { handle, path: PATHS.list, requests: 1 });
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, handle] of handles) {
      const { seconds, bytes } = await load.call('get', { handle, path: PATHS.list, requests: 1 });
      if (bytes !== LIST_BYTES) throw new Error(`${name} gave ${bytes} bytes`);
      (speeds[name] ??= []).push(bytes / 1e6 / seconds);
    }
  }
  return speeds;
}
