import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { LineSink, type SinkLimits } from '../../../../src/audit/sinks/sink.ts';
import type { LineTarget } from '../../../../src/audit/sinks/target.ts';
import { Counts, LogLines, range } from '../fixtures.ts';

const LIMITS: SinkLimits = { queueBytes: 10_000, retryMs: 1, retryMaxMs: 4, stallMs: 1000, closeTimeoutMs: 50 };

/** A target in memory whose every write can be scripted. */
class MemoryTarget implements LineTarget {
  readonly type = 'file';
  readonly location = 'memory';
  readonly readyImmediately: boolean = true;
  text = '';
  writes = 0;
  /** How many of the writes were to be on the disk. */
  synced = 0;
  readonly script: ((bytes: Uint8Array) => number | Promise<number>)[] = [];
  fresh = false;

  async prepare(): Promise<'same' | 'fresh'> {
    const state = this.fresh ? 'fresh' : 'same';
    this.fresh = false;
    return state;
  }

  async write(bytes: Uint8Array, sync = false): Promise<number> {
    this.writes += 1;
    this.synced += Number(sync);
    const taken = (await this.script.shift()?.(bytes)) ?? bytes.length;
    this.text += Buffer.from(bytes.subarray(0, taken)).toString();
    return taken;
  }

  async close(): Promise<void> {}
}

const line = (text: string): Buffer => Buffer.from(`${text}\n`);
const full = (): never => {
  throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
};
const never = (): Promise<number> => new Promise(() => {});

function aSink(limits: Partial<SinkLimits> = {}): {
  sink: LineSink;
  target: MemoryTarget;
  metrics: Counts;
  log: LogLines;
} {
  const target = new MemoryTarget();
  const metrics = new Counts();
  const log = new LogLines();
  return {
    sink: new LineSink(target, { limits: { ...LIMITS, ...limits }, metrics, logger: log }),
    target,
    metrics,
    log,
  };
}

describe('LineSink', () => {
  it('makes one write of what came in one tick', async () => {
    const { sink, target } = aSink();
    for (const n of range(100)) sink.push(line(`${n}`));
    await sink.flush();
    expect(target.writes).toBe(1);
    expect(target.text).toBe(
      range(100)
        .map((n) => `${n}\n`)
        .join(''),
    );
  });

  it('keeps the order of lines that come while a write is under way', async () => {
    const { sink, target } = aSink();
    target.script.push((bytes) => {
      sink.push(line('second'));
      return bytes.length;
    });
    sink.push(line('first'));
    await sink.flush();
    await sink.flush();
    expect(target.text).toBe('first\nsecond\n');
  });

  it('goes on within a line that a full disk had taken in part, so that it stands there once and whole', async () => {
    const { sink, target, metrics } = aSink();
    target.script.push(() => 8, full, full);
    for (const text of ['first', 'second', 'third']) sink.push(line(text));
    await sink.flush();
    expect(target.text).toBe('first\nsecond\nthird\n');
    expect(target.writes).toBe(4);
    expect(metrics.by).toEqual(new Map([['file written', 3]]));
  });

  it('begins a line again that had been written in part into a file which is gone', async () => {
    const { sink, target, metrics } = aSink();
    target.script.push(
      () => 8,
      () => {
        target.fresh = true;
        return full();
      },
    );
    for (const text of ['first', 'second']) sink.push(line(text));
    await sink.flush();
    expect(target.text).toBe('first\nsesecond\n');
    expect(metrics.by).toEqual(new Map([['file written', 2]]));
  });

  it('is failing from the first failure until a write has worked', async () => {
    const { sink, target, log } = aSink();
    target.script.push(full, full, full);
    sink.push(line('a'));
    expect(sink.failing).toBe(false);
    await vi.waitFor(() => expect(sink.failing).toBe(true), { interval: 1 });
    await sink.flush();
    expect(sink.failing).toBe(false);
    expect(target.text).toBe('a\n');
    expect(log.lines.map(({ level }) => level)).toEqual(['error', 'info']);
  });

  it('is failing while a write does not return', async () => {
    const { sink, target } = aSink({ stallMs: 20 });
    target.script.push(never);
    sink.push(line('a'));
    await vi.waitFor(() => expect(target.writes).toBe(1), { interval: 1 });
    await vi.waitFor(() => expect(sink.failing).toBe(true));
    await sink.close();
  });

  it('is failing before its queue is full, and what a hanging disk makes it keep is bounded', async () => {
    const { sink, target, metrics } = aSink({ queueBytes: 1000 });
    target.script.push(never);
    const row = line('x'.repeat(99));
    for (const _ of range(7)) sink.push(row);
    expect(sink.failing).toBe(false);
    sink.push(row);
    expect(sink.failing).toBe(true);
    expect(metrics.of('file dropped')).toBe(0);
    for (const _ of range(5)) sink.push(row);
    expect(metrics.of('file dropped')).toBe(3);
    await sink.close();
    expect(metrics.by).toEqual(new Map([['file dropped', 13]]));
  });

  it('counts a line once although its write returns after close gave it up', async () => {
    const { sink, target, metrics } = aSink();
    const late = Promise.withResolvers<number>();
    target.script.push(() => late.promise);
    sink.push(line('a'));
    await vi.waitFor(() => expect(target.writes).toBe(1), { interval: 1 });
    await sink.close();
    late.resolve(2);
    await new Promise(setImmediate);
    expect(target.text).toBe('a\n');
    expect(metrics.by).toEqual(new Map([['file dropped', 1]]));
  });

  it('tries at once when it is closed within a pause between two tries', async () => {
    const { sink, target, metrics } = aSink({ retryMs: 60_000, retryMaxMs: 60_000, closeTimeoutMs: 10_000 });
    target.script.push(full);
    sink.push(line('a'));
    await vi.waitFor(() => expect(sink.failing).toBe(true), { interval: 1 });
    await sink.close();
    expect(target.text).toBe('a\n');
    expect(metrics.by).toEqual(new Map([['file written', 1]]));
  });
});

describe('LineSink before a target that gathers', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function aGatheringSink() {
    const target = Object.assign(new MemoryTarget(), { gatherMs: 5 });
    const sink = new LineSink(target, { limits: { ...LIMITS, queueBytes: 1024 * 1024 } });
    return { sink, target };
  }

  /** A write would have begun and ended by then. Vitest's own waiting moves the clock. */
  async function severalTurns(): Promise<void> {
    for (const _ of range(10)) await turn();
  }

  it('makes one write of what came in that time', async () => {
    const { sink, target } = aGatheringSink();
    sink.push(line('first'));
    await severalTurns();
    sink.push(line('second'));
    vi.advanceTimersByTime(4);
    await severalTurns();
    expect(target.writes).toBe(0);
    vi.advanceTimersByTime(1);
    await severalTurns();
    expect(target.text).toBe('first\nsecond\n');
    expect(target.writes).toBe(1);
  });

  it('lets what comes while a write is under way wait for others as well, and no longer', async () => {
    const { sink, target } = aGatheringSink();
    target.script.push((bytes) => {
      sink.push(line('second'));
      return bytes.length;
    });
    sink.push(line('first'));
    vi.advanceTimersByTime(5);
    await severalTurns();
    expect(target.text).toBe('first\n');
    vi.advanceTimersByTime(5);
    await severalTurns();
    expect(target.text).toBe('first\nsecond\n');
  });

  it('waits for nothing when someone waits for it, when it is closed, and when there is enough for a write', async () => {
    const { sink, target } = aGatheringSink();
    target.script.push((bytes) => {
      sink.push(line('second'));
      void sink.flush();
      return bytes.length;
    });
    sink.push(line('first'));
    await sink.flush();
    await severalTurns();
    expect(target.text).toBe('first\nsecond\n');
    sink.push(line('x'.repeat(256 * 1024)));
    await severalTurns();
    expect(target.writes).toBe(3);
    sink.push(line('last'));
    await sink.close();
    expect(target.text.endsWith('x\nlast\n')).toBe(true);
  });

  it('is opened at once, since nothing is served before it is', async () => {
    const target = Object.assign(new MemoryTarget(), { gatherMs: 5, readyImmediately: false });
    const sink = new LineSink(target, { limits: LIMITS });
    expect(sink.failing).toBe(true);
    await severalTurns();
    expect(sink.failing).toBe(false);
  });
});

describe('who waits until a line is written', () => {
  function aSinkThatGathers(change: Partial<LineTarget> = {}, limits: Partial<SinkLimits> = {}) {
    // Nothing here waits for that hour.
    const target = Object.assign(new MemoryTarget(), { gatherMs: 3_600_000, ...change });
    const sink = new LineSink(target, { limits: { ...LIMITS, ...limits } });
    onTestFinished(() => sink.close());
    return { sink, target };
  }

  it('waits for nothing to gather, and takes with it what was gathered', async () => {
    const { sink, target } = aSinkThatGathers();
    sink.push(line('gathered'));
    sink.push(line('ahead'));
    expect(await sink.written({ sync: false })).toBe(true);
    expect(target.text).toBe('gathered\nahead\n');
    expect([target.writes, target.synced]).toEqual([1, 0]);
  });

  it('shares one write with all who come while another is under way', async () => {
    const { sink, target } = aSinkThatGathers();
    const disk = Promise.withResolvers<number>();
    target.script.push(() => disk.promise);
    const one = (text: string): Promise<boolean> => {
      sink.push(line(text));
      return sink.written({ sync: text === 'last' });
    };
    const first = one('first');
    await vi.waitFor(() => expect(target.writes).toBe(1), { interval: 1 });
    const others = ['second', 'third', 'last'].map(one);
    disk.resolve(6);
    expect(await Promise.all([first, ...others])).toEqual([true, true, true, true]);
    expect(target.text).toBe('first\nsecond\nthird\nlast\n');
    // The disk is asked for the write in which someone wants that, and for no other.
    expect([target.writes, target.synced]).toEqual([2, 1]);
  });

  it('is told at once where the target takes nothing, and the line is written all the same later', async () => {
    const { sink, target } = aSinkThatGathers();
    target.script.push(full);
    sink.push(line('a'));
    expect(await sink.written({ sync: false })).toBe(false);
    sink.push(line('b'));
    expect(await sink.written({ sync: false })).toBe(false);
    await sink.flush();
    expect(target.text).toBe('a\nb\n');
    sink.push(line('c'));
    expect(await sink.written({ sync: false })).toBe(true);
  });

  it('is told after a while where the target hangs, and at once from then on', async () => {
    const { sink, target } = aSinkThatGathers({}, { stallMs: 20 });
    target.script.push(never);
    sink.push(line('a'));
    expect(await sink.written({ sync: false })).toBe(false);
    await vi.waitFor(() => expect(sink.failing).toBe(true));
    expect(await sink.written({ sync: false })).toBe(false);
  });

  it('is told where the line was dropped, and where the sink is closed', async () => {
    const { sink } = aSinkThatGathers();
    sink.push(line('x'.repeat(LIMITS.queueBytes)));
    expect(sink.failing).toBe(false);
    expect(await sink.written({ sync: false })).toBe(false);
    void sink.close();
    sink.push(line('late'));
    expect(await sink.written({ sync: false })).toBe(false);
  });

  it('waits for no other machine: there its line is in memory, as ever', async () => {
    const { sink, target } = aSinkThatGathers({ remote: true });
    sink.push(line('a'));
    expect(await sink.written({ sync: true })).toBe(true);
    expect(target.text).toBe('');
  });
});
