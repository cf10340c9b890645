/**
 * The benchmarks (docs/performance.md#how-to-measure): `npm run bench [-- --only NAME,…] [--json FILE] [--minutes N] [--profile DIR] [--before CHECKOUT]
 * [--peer COMMAND]`.
 *
 * Each runs against the upstream itself, haproxy and Portcullis in turns within one run, because the machine's speed drifts by more than what
 * is measured. A missed goal is a result; only what breaks makes the exit code 1.
 */
import { writeFile } from 'node:fs/promises';
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

type Benchmark = (stage: Stage, options: BenchOptions) => Promise<BenchResult[]>;

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
const ALONE: Readonly<Record<string, () => Promise<BenchResult[]>>> = {
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
  process.exit(2);
}

async function onStage(name: string): Promise<BenchResult[]> {
  const stage = await openStage(values);
  try {
    return (await BENCHMARKS[name]?.(stage, { minutes })) ?? [];
  } finally {
    await stage.stop();
  }
}

const results: BenchResult[] = [];
for (const name of wanted) {
  const begun = performance.now();
  process.stderr.write(`${name} … `);
  try {
    results.push(...((await ALONE[name]?.()) ?? (await onStage(name))));
    process.stderr.write(`${((performance.now() - begun) / 1000).toFixed(0)} s\n`);
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write('broken\n');
    console.error(error);
  }
}
if (results.length > 0) {
  console.log(table(results));
  const [load = 0] = loadavg();
  console.log(
    `\nMachine: ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, load ${load.toFixed(1)} at the end; the`,
  );
  console.log(`server with ${ALLOCATOR}, everything else with the system's allocator.`);
}
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`);
