/**
 * The benchmarks (docs/performance.md#how-to-measure): `npm run bench [-- --only NAME,…] [--json FILE] [--minutes N] [--profile DIR] [--before CHECKOUT]
 * [--peer COMMAND]`.
 *
 * Each runs against the upstream itself, haproxy and Portcullis in turns within one run, because the machine's speed drifts by more than what
 * is measured. A missed goal is a result; only what breaks makes the exit code 1.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { audit } from './benchmarks/audit.ts';
import { burst, cutRedis } from './benchmarks/crowd.ts';
import { delegation } from './benchmarks/delegation.ts';
import { grants } from './benchmarks/grants.ts';
import { exec } from './benchmarks/exec.ts';
import { get, getHttp2, getMemory } from './benchmarks/get.ts';
import { latency } from './benchmarks/latency.ts';
import { list } from './benchmarks/list.ts';
import { pages } from './benchmarks/pages.ts';
import { plugin } from './benchmarks/plugin.ts';
import { revoke, view } from './benchmarks/revocation.ts';
import { soak } from './benchmarks/soak.ts';
import { storeCapacity } from './benchmarks/store-capacity.ts';
import { watches, watchesHttp2 } from './benchmarks/watches.ts';
import { writeAhead } from './benchmarks/write-ahead.ts';
import { table } from './report.ts';
import type { BenchResult } from './report.ts';
import { ALLOCATOR } from './stage/server-process.ts';
import { openStage } from './stage/stage.ts';
import type { Stage } from './stage/stage.ts';

export interface BenchOptions {
  /** Length of the soak. */
  readonly minutes: number;
}

/** The bench's token lives for a quarter of an hour and is not renewed. */
const MOST_MINUTES = 14;

/** One that measures in steps yields each figure when it has it, so that a step that breaks takes none of the others. */
type Figures = Promise<readonly BenchResult[]> | AsyncIterable<BenchResult>;
type Benchmark = (stage: Stage, options: BenchOptions) => Figures;

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  get,
  'get-h2': getHttp2,
  'get-memory': getMemory,
  latency,
  list,
  watches,
  'watches-h2': watchesHttp2,
  exec,
  soak,
};

/** These run on their own stages. */
const ALONE: Readonly<Record<string, () => Figures>> = {
  revoke,
  'cut-redis': cutRedis,
  burst,
  view,
  plugin,
  audit,
  'audit-ahead': writeAhead,
  delegation,
  grants,
  pages,
  'store-capacity': storeCapacity,
};

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'string' },
    minutes: { type: 'string', default: '0.5' },
    profile: { type: 'string' },
    before: { type: 'string' },
    peer: { type: 'string' },
  },
});

const names = [...Object.keys(BENCHMARKS), ...Object.keys(ALONE)];
const wanted = values.only?.split(',') ?? names;
const unknown = wanted.filter((name) => !names.includes(name));
const minutes = Number(values.minutes);
if (unknown.length > 0 || !(minutes > 0 && minutes <= MOST_MINUTES)) {
  console.error(`portcullis: --only takes ${names.join(', ')}; --minutes a number up to ${MOST_MINUTES}`);
  console.error(
    '--peer COMMAND gets PATH, PORT, DIRECTORY, FILES and LIVE as its whole environment (docs/performance.md)',
  );
  process.exit(2);
}

async function* onStage(name: string): AsyncIterable<BenchResult> {
  const stage = await openStage(values);
  try {
    yield* each(BENCHMARKS[name]?.(stage, { minutes }));
  } finally {
    await stage.stop();
  }
}

async function* each(figures: Figures | undefined): AsyncIterable<BenchResult> {
  if (figures === undefined) return;
  if (figures instanceof Promise) yield* await figures;
  else yield* figures;
}

const results: BenchResult[] = [];
process.once('exit', report);
for (const name of wanted) {
  const begun = performance.now();
  process.stderr.write(`${name} … `);
  try {
    const figures = ALONE[name] === undefined ? onStage(name) : each(ALONE[name]());
    for await (const result of figures) results.push(result);
    process.stderr.write(`${((performance.now() - begun) / 1000).toFixed(0)} s\n`);
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write('broken\n');
    console.error(error);
  }
}
/** Also where a run is ended before its last benchmark, by a signal or an error that nothing has caught. */
function report(): void {
  if (results.length > 0) {
    const [load = 0] = loadavg();
    console.log(table(results));
    console.log(
      `\nMachine: ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, load ${load.toFixed(1)} at the end; the`,
    );
    console.log(`server with ${ALLOCATOR}, everything else with the system's allocator.`);
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
}
