/** One client's work is bounded by what it costs, and not only by how many requests it sends: each bound of the table is measured. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bound, CostRow } from './cost/row.ts';
import { startCostStage, type Cost, type CostStage } from './cost/stage.ts';
import { Holding, Unavailable } from './cost/held.ts';
import { HELD_ROWS, type HeldRow } from './cost/held-rows.ts';
import { ROWS, SURFACES } from './cost/table.ts';

const TIMES = 4;
const ROUNDS = 6;
/** Of what is opened to stay open. */
const AT_ONCE = 20;
/** What is open takes at least so much. */
const LEAST_KB = 2;

interface StoreWork {
  readonly atMs: number;
  readonly calls: number;
  /** Of Redis' CPU. */
  readonly redisMs: number;
}

const storeWork = async (): Promise<StoreWork> => ({
  calls: await stage.storeCalls(),
  redisMs: stage.storeMs(),
  atMs: performance.now(),
});

/**
 * What the server asks its store by itself in a millisecond: leases are renewed, and the log is read. On a busy machine
 * a request takes long, and this is none of its cost.
 */
let byItself = { calls: 0, redisMs: 0 };

function costSince(before: StoreWork, now: StoreWork): Pick<Bound, 'calls' | 'redisMs'> {
  const ms = now.atMs - before.atMs;
  return {
    calls: Math.max(0, now.calls - before.calls - byItself.calls * ms),
    redisMs: Math.max(0, now.redisMs - before.redisMs - byItself.redisMs * ms),
  };
}

let stage: CostStage;
beforeAll(async () => {
  stage = await startCostStage();
  // The compiler takes part in the first requests of all.
  const [first] = ROWS;
  if (first !== undefined) await costOf({ ...first, times: 60 });
  const before = await storeWork();
  await pause(1000);
  const now = await storeWork();
  const { calls, redisMs } = costSince(before, now);
  byItself = { calls: calls / (now.atMs - before.atMs), redisMs: redisMs / (now.atMs - before.atMs) };
});
afterAll(() => stage?.stop());

/** Of the quarter that costs least: the compiler, and what the server does meanwhile by itself, make single ones dearer. */
const lower = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 2] ?? 0;

async function costOf({ request, times = TIMES }: CostRow): Promise<Bound & { readonly wrong: readonly string[] }> {
  const costs: (Cost & { readonly calls: number; readonly redisMs: number; readonly isExpected: boolean })[] = [];
  const send = async (index: number): Promise<void> => {
    const { status, says = '', after, ...sent } = await request(stage, index);
    const before = await storeWork();
    const cost = await stage.send(sent);
    const { calls, redisMs } = costSince(before, await storeWork());
    after?.();
    // A replica of a busy machine has no lease for a moment.
    if (cost.status === 503 && costs.length < 4 * times) return pause(500).then(() => send(index));
    costs.push({ ...cost, calls, redisMs, isExpected: cost.status === status && cost.text.includes(says) });
  };
  await send(0);
  costs.length = 0;
  for (let index = 1; index <= times; index += 1) await send(index);
  return {
    cpuMs: lower(costs.map(({ cpuMs }) => cpuMs)),
    calls: lower(costs.map(({ calls }) => calls)),
    redisMs: lower(costs.map(({ redisMs }) => redisMs)),
    kB: Math.max(...costs.map(({ bytes }) => bytes)) / 1000,
    wrong: costs.filter(({ isExpected }) => !isExpected).map(({ status, text }) => `${status} ${text.slice(0, 300)}`),
  };
}

function show({ operation }: CostRow, cost: Bound, wrong: readonly string[]): void {
  const figures = Object.values(cost).map((value) => value.toFixed(1));
  process.stderr.write(`${[operation.slice(0, 60).padEnd(60), ...figures, wrong[0] ?? ''].join('\t')}\n`);
}

describe.each(SURFACES)('$title', ({ rows }) => {
  it.each(rows)('$operation: $worst', async (row) => {
    const over: string[] = [];
    // A collection of garbage comes at some moment, and so do other programs on this machine.
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

/** What is opened first, and is not counted: the code for it is compiled. */
const FIRST = 2;

describe('what is held', () => {
  /** Once what was sent has been worked off. */
  async function settled(): Promise<number> {
    await stage.quiet();
    return stage.heldBytes();
  }

  /**
   * @returns units of 1000 bytes for each; undefined where they are not all open: a replica of a busy machine has no lease for a moment, which
   * ends them, or has not come to them yet
   */
  async function heldBy(row: HeldRow): Promise<number | undefined> {
    const holding = new Holding(stage);
    const { count } = row;
    const opening = (from: number, to: number): Promise<unknown> =>
      Promise.all(Array.from({ length: to - from }, (_, index) => row.open(stage, holding, from + index)));
    try {
      await opening(0, FIRST);
      const before = await settled();
      for (let at = FIRST; at < count; at += AT_ONCE) await opening(at, Math.min(count, at + AT_ONCE));
      const after = await settled();
      const kB = (after - before) / 1000 / (count - FIRST);
      return holding.lost > 0 || kB < LEAST_KB ? undefined : kB;
    } catch (error) {
      if (error instanceof Unavailable) return undefined;
      throw error;
    } finally {
      holding.close();
    }
  }

  it.each(HELD_ROWS)('$what: $worst', async (row) => {
    const over: string[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const held = await heldBy(row);
      if (process.env['COSTS'] !== undefined) process.stderr.write(`${row.what}\t${held?.toFixed(1)}\n`);
      if (held !== undefined && held <= row.kB) return;
      await pause(held === undefined ? 1000 : 0);
      over.push(held?.toFixed(1) ?? 'not all of them were open');
    }
    expect(over, `more than ${row.kB} kB each`).toEqual([]);
  });
});
