/** A large list: how fast it comes, and what it costs in memory, also when the client reads slowly. */
import { mapValues, median, pairedRatio } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { LIST_BYTES, PATHS } from '../stage/peers.ts';
import { watchMemory } from '../stage/processes.ts';
import type { Stage, TargetName } from '../stage/stage.ts';

const ROUNDS = 5;
const READERS = 20;
const SECONDS = 8;
const MOST_GROWTH = 60;
const MOST_CPU = 1.5;

export async function list(stage: Stage): Promise<BenchResult[]> {
  const fast = await watchMemory(stage.pid('portcullis'), throughput(stage));
  const target = stage.target('portcullis', 'files');
  const job = { target, path: PATHS.list, readers: READERS, bytesPerSecond: 1e6, seconds: SECONDS };
  const slow = await watchMemory(stage.pid('portcullis'), stage.load.call('readSlowly', job));
  const { speeds, milliseconds } = fast.value;
  const { direct = [], haproxy = [], portcullis = [], ...others } = speeds;
  const ratio = pairedRatio(portcullis, direct);
  const toHaproxy = pairedRatio(portcullis, haproxy);
  return [
    {
      name: 'list',
      unit: 'MB/s',
      portcullis: median(portcullis),
      peers: mapValues({ direct, haproxy, ...others }, median),
      ratio,
      goal: '≥ 0.5 × direct',
      ok: ratio >= 0.5,
      load: `GET of 100 MB, one after the other, ${ROUNDS} rounds in turns; ${toHaproxy.toFixed(2)} × haproxy`,
    },
    cpu(milliseconds),
    growth('list-memory', fast, `resident memory at its peak over before, during ${ROUNDS + 1} lists of 100 MB`),
    growth(
      'list-slow',
      slow,
      `the same with ${READERS} readers of 100 MB at 1 MB/s for ${SECONDS} s (${(slow.value / 1e6).toFixed(0)} MB taken)`,
    ),
  ];
}

function cpu({ portcullis = [], haproxy = [], ...others }: Figures): BenchResult {
  const ratio = pairedRatio(portcullis, haproxy);
  return {
    name: 'list-cpu',
    unit: 'ms CPU',
    portcullis: median(portcullis),
    peers: mapValues({ haproxy, ...others }, median),
    ratio,
    goal: `≤ ${MOST_CPU} × haproxy`,
    ok: ratio <= MOST_CPU,
    load: 'the same lists',
  };
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
  goal: `≤ ${MOST_GROWTH} MB`,
  ok: peak - before <= MOST_GROWTH,
  load: `${load}; from ${before.toFixed(0)} MB`,
});

type Figures = Partial<Record<TargetName, number[]>>;

async function throughput(stage: Stage): Promise<{ readonly speeds: Figures; readonly milliseconds: Figures }> {
  const { load, target, others } = stage;
  const speeds: Figures = {};
  const milliseconds: Figures = {};
  const handles = new Map<TargetName, number>();
  for (const name of ['direct', 'haproxy', ...others, 'portcullis'] as const) {
    const handle = await load.call('open', { target: target(name, 'files'), connections: 1 });
    handles.set(name, handle);
    await load.call('get', { handle, path: PATHS.list, requests: 1 });
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, handle] of handles) {
      const before = stage.cpu(name);
      const { seconds, bytes } = await load.call('get', { handle, path: PATHS.list, requests: 1 });
      (milliseconds[name] ??= []).push((stage.cpu(name) - before) / 1000);
      if (bytes !== LIST_BYTES) throw new Error(`${name} gave ${bytes} bytes`);
      (speeds[name] ??= []).push(bytes / 1e6 / seconds);
    }
  }
  return { speeds, milliseconds };
}
