/** One client's work is bounded by what it costs, and not only by how many requests it sends: each bound of the table is measured. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bound, CostRow } from './cost/row.ts';
import { slowness } from '../support/slowness.ts';
import { startCostStage, type Answered, type CostStage, type Work } from './cost/stage.ts';
import { Holding, Unavailable } from './cost/held.ts';
import { HELD_ROWS, type HeldRow } from './cost/held-rows.ts';
import { ROWS, SURFACES } from './cost/table.ts';

const TIMES = 4;
const ROUNDS = 6;
const NAMES = ['cpuMs', 'calls', 'redisMs', 'kB'] as const;
const WINDOWS = 8;
const WINDOW_MS = 250;
/** Of what is opened to stay open. */
const AT_ONCE = 20;
/** What is open takes at least so much. */
const LEAST_KB = 2;

/**
 * What the server and its store do by themselves in a millisecond: leases are renewed, and the log is read. On a busy
 * machine a request takes long, and this is none of its cost.
 */
let byItself: Work = { atMs: 1, calls: 0, redisMs: 0, cpuMs: 0 };

const less = (now: Work, before: Work): Work => ({
  atMs: now.atMs - before.atMs,
  calls: now.calls - before.calls,
  redisMs: now.redisMs - before.redisMs,
  cpuMs: now.cpuMs - before.cpuMs,
});

function costSince(before: Work, now: Work): Omit<Bound, 'kB'> {
  const all = less(now, before);
  const cost = (name: 'calls' | 'redisMs' | 'cpuMs'): number =>
    Math.max(0, all[name] - (byItself[name] * all.atMs) / byItself.atMs);
  return { calls: cost('calls'), redisMs: cost('redisMs'), cpuMs: cost('cpuMs') };
}

let stage: CostStage;
beforeAll(async () => {
  stage = await startCostStage();
  // The compiler takes part in the first requests of all.
  const [first] = ROWS;
  if (first !== undefined) await costOf({ ...first, times: 60 });
  const windows: Work[] = [];
  for (let before = await stage.work(); windows.length < WINDOWS;) {
    await pause(WINDOW_MS);
    const now = await stage.work();
    windows.push(less(now, before));
    before = now;
  }
  // Every two seconds it looks through a thousand grants, which is not subtracted from each request.
  byItself = { ...lowerOf(windows, ['cpuMs', 'calls', 'redisMs']), atMs: WINDOW_MS };
});
afterAll(() => stage?.stop());

/** Of the quarter that costs least: the compiler, and what the server does meanwhile by itself, make single ones dearer. */
function lowerOf<const N extends string>(
  costs: readonly Readonly<Record<N, number>>[],
  names: readonly N[],
): Record<N, number> {
  const lower = (name: N): number => costs.map((cost) => cost[name]).toSorted((a, b) => a - b)[costs.length >> 2] ?? 0;
  return Object.fromEntries(names.map((name) => [name, lower(name)])) as Record<N, number>;
}

type Measured = Bound & Answered & { readonly isExpected: boolean };

/** @param round from 0; what can be used once is used by one round of a row */
async function costOf(
  { request, times = TIMES }: CostRow,
  round = 0,
): Promise<Bound & { readonly wrong: readonly string[] }> {
  const costs: Measured[] = [];
  const send = async (index: number): Promise<void> => {
    const { status, says = '', after, ...sent } = await request(stage, round * (times + 1) + index);
    const before = await stage.work();
    const answer = await stage.send(sent);
    const cost = costSince(before, await stage.work());
    after?.();
    // A replica of a busy machine has no lease for a moment.
    if (answer.status === 503 && costs.length < 4 * times) return pause(500).then(() => send(index));
    const isExpected = answer.status === status && answer.text.includes(says);
    costs.push({ ...answer, ...cost, kB: answer.bytes / 1000, isExpected });
  };
  await send(0);
  costs.length = 0;
  for (let index = 1; index <= times; index += 1) await send(index);
  return {
    ...lowerOf(costs, ['cpuMs', 'calls', 'redisMs']),
    kB: Math.max(...costs.map(({ kB }) => kB)),
    wrong: costs.filter(({ isExpected }) => !isExpected).map(({ status, text }) => `${status} ${text.slice(0, 300)}`),
  };
}

/** The last column is the largest share of a bound that it has taken. */
function show({ operation, bound }: CostRow, cost: Bound, wrong: readonly string[]): void {
  const share = Math.max(...NAMES.map((name) => cost[name] / bound[name]));
  const figures = [...NAMES.map((name) => cost[name].toFixed(1)), share.toFixed(2)];
  process.stderr.write(`${[operation.slice(0, 60).padEnd(60), ...figures, wrong[0] ?? ''].join('\t')}\n`);
}

describe.each(SURFACES)('$title', ({ rows }) => {
  it.each(rows)('$operation: $worst', async (row) => {
    const over: string[] = [];
    // A collection of garbage comes at some moment, and so do other programs on this machine.
    for (let round = 0; round < ROUNDS; round += 1) {
      const { wrong, ...cost } = await costOf(row, round);
      if (process.env['COSTS'] !== undefined) show(row, cost, wrong);
      expect(wrong).toEqual([]);
      const slower = slowness();
      const bound: Bound = { ...row.bound, cpuMs: row.bound.cpuMs * slower, redisMs: row.bound.redisMs * slower };
      if (NAMES.every((name) => cost[name] <= bound[name])) return;
      over.push(JSON.stringify({ ...cost, slower }));
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
