/**
 * What a step of each request costs, in this process and without a proxy: `get` measures the whole of a request, which differs from run to run
 * by a hundred times as much. In turns with the parsing of a target, which is in each request too.
 */
import { loadavg } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { requestInfo } from '../../src/core/request/request-info.ts';
import { median, pairedRatio, type BenchResult } from './report.ts';

const ROUNDS = 9;
const WARM_UP = 3;
const REQUESTS = 200_000;

export const TARGET = '/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb&limit=500';

export interface Step {
  readonly name: string;
  /** @returns whether the request passes; the benchmark ends where one does not */
  readonly act: () => boolean;
  /** Microseconds of CPU. */
  readonly most?: number;
}

/** Microseconds of CPU for each call. */
async function cpuOf(act: () => boolean): Promise<number> {
  await turn();
  const before = process.cpuUsage();
  let passed = 0;
  for (let index = 0; index < REQUESTS; index += 1) if (act()) passed += 1;
  const { user, system } = process.cpuUsage(before);
  if (passed !== REQUESTS) throw new Error('a request of the benchmark was rejected');
  return (user + system) / REQUESTS;
}

/** Measures the steps in turns. The ratio is to the parsing of the target. */
export async function inTurns(steps: readonly Step[]): Promise<BenchResult[]> {
  const costs = new Map<string, number[]>();
  const parsing = { name: 'parsing', act: () => requestInfo('GET', TARGET).isResourceRequest };
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const { name, act } of [parsing, ...steps]) {
      const micros = await cpuOf(act);
      if (round >= 0) costs.set(name, [...(costs.get(name) ?? []), micros]);
    }
  }
  const of = (name: string): readonly number[] => costs.get(name) ?? [];
  const [load = 0] = loadavg();
  return steps.map(({ name, most }) => {
    const micros = median(of(name));
    return {
      name,
      unit: 'µs CPU',
      portcullis: micros,
      peers: {},
      ratio: pairedRatio(of(name), of(parsing.name)),
      goal: most === undefined ? '' : `<= ${most} µs`,
      ok: most === undefined ? null : micros <= most,
      load: `${ROUNDS} rounds of ${REQUESTS} requests in turns, machine load ${load.toFixed(1)}; ratio: to parsing the target, ${median(of(parsing.name)).toFixed(2)} µs`,
    };
  });
}
