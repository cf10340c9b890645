/** One client's work is bounded by what it costs, and not only by how many requests it sends: each bound of the table is measured. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bound, CostRow } from './cost/row.ts';
import { startCostStage, type Cost, type CostStage } from './cost/stage.ts';
import { ROWS, SURFACES } from './cost/table.ts';

const TIMES = 6;
const ROUNDS = 3;

let stage: CostStage;
beforeAll(async () => {
  stage = await startCostStage();
  // The compiler takes part in the first requests of all.
  const [first] = ROWS;
  if (first !== undefined) await costOf({ ...first, times: 60 });
});
afterAll(() => stage?.stop());

/** Of the quarter that costs least: the compiler, and what the server does meanwhile by itself, make single ones dearer. */
const lower = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 2] ?? 0;

async function costOf({ request, times = TIMES }: CostRow): Promise<Bound & { readonly wrong: readonly string[] }> {
  const costs: (Cost & { readonly calls: number; readonly redisMs: number; readonly expected: number })[] = [];
  const send = async (index: number): Promise<void> => {
    const { status: expected, ...sent } = await request(stage, index);
    const before = { calls: await stage.storeCalls(), ms: await stage.storeMs() };
    const cost = await stage.send(sent);
    const redisMs = (await stage.storeMs()) - before.ms;
    const calls = (await stage.storeCalls()) - before.calls;
    // A replica of a busy machine has no lease for a moment.
    if (cost.status === 503 && costs.length < 4 * times) return pause(500).then(() => send(index));
    costs.push({ ...cost, calls, redisMs, expected });
  };
  await send(0);
  costs.length = 0;
  for (let index = 1; index <= times; index += 1) await send(index);
  return {
    cpuMs: lower(costs.map(({ cpuMs }) => cpuMs)),
    calls: lower(costs.map(({ calls }) => calls)),
    redisMs: lower(costs.map(({ redisMs }) => redisMs)),
    kB: Math.max(...costs.map(({ bytes }) => bytes)) / 1000,
    wrong: costs
      .filter(({ status, expected }) => status !== expected)
      .map(({ status, text }) => `${status} ${text.slice(0, 300)}`),
  };
}

function show({ operation }: CostRow, cost: Bound, wrong: readonly string[]): void {
  const figures = Object.values(cost).map((value) => value.toFixed(1));
  process.stderr.write(`${[operation.slice(0, 60).padEnd(60), ...figures, wrong[0] ?? ''].join('\t')}\n`);
}

describe.each(SURFACES)('$title', ({ rows }) => {
  it.each(rows)('$operation: $worst', async (row) => {
    const over: string[] = [];
    // A collection of garbage comes at some moment.
    for (let round = 1; round <= ROUNDS; round += 1) {
      const { wrong, ...cost } = await costOf(row);
      if (process.env['COSTS'] !== undefined) show(row, cost, wrong);
      expect(wrong).toEqual([]);
      const names = Object.keys(row.bound) as (keyof Bound)[];
      if (names.every((name) => cost[name] <= row.bound[name])) return;
      over.push(JSON.stringify(cost));
    }
    expect(over, `more than ${JSON.stringify(row.bound)}`).toEqual([]);
  });
});

it('has each operation once', () => {
  const names = ROWS.map(({ operation }) => operation);
  expect(names).toEqual([...new Set(names)]);
});
