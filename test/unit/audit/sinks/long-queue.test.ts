/** What one account causes in each turn of the event loop must not fill a queue whose disk is well. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  createAuditTrail,
  createLiveAuditLog,
  createRecentRequests,
  limitRejections,
} from '../../../../src/audit/audit.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { FileTarget } from '../../../../src/audit/sinks/file-target.ts';
import { LineSink } from '../../../../src/audit/sinks/sink.ts';
import { openSinks } from '../../../../src/audit/sinks/sinks.ts';
import type { LineTarget } from '../../../../src/audit/sinks/target.ts';
import { Spool } from '../../../../src/audit/sinks/spool.ts';
import { verifyAuditLog } from '../../../../src/audit/verify/verify.ts';
import { aFolder, anEvent, auditIds, Counts, LogLines, numbered, range } from '../fixtures.ts';
import { aKey, publicKeys } from '../verify/audit-fixture.ts';

const MEBIBYTE = 1024 * 1024;
/** As in production, but for a machine that is busy with other things. */
const LIMITS = { queueBytes: 16 * MEBIBYTE, retryMs: 100, retryMaxMs: 5000, stallMs: 30_000, closeTimeoutMs: 5000 };
/** Of a request with a long target. */
const LINE = Buffer.from(`${'x'.repeat(10_239)}\n`);
const A_TURN = 64;
vi.setConfig({ testTimeout: 30_000 });

describe('a long queue', () => {
  it('does not grow in front of a disk that is well, whatever is pushed in each turn that a call of it takes', async () => {
    const path = join(await aFolder(), 'audit.log');
    const target = new FileTarget({ type: 'file', path, fsync: 'never' });
    const metrics = new Counts();
    const sink = new LineSink(target, { limits: LIMITS, metrics });
    onTestFinished(() => sink.close());
    await sink.flush();
    const [queued, writes]: [number[], number[]] = [[], []];
    const pushATurn = (): void => {
      if (queued.length === 100) return;
      for (const _ of range(A_TURN)) sink.push(LINE);
      queued.push(sink.status.queuedBytes);
    };
    const [prepare, write] = [target.prepare.bind(target), target.write.bind(target)];
    vi.spyOn(target, 'prepare').mockImplementation(() => {
      pushATurn();
      return prepare();
    });
    vi.spyOn(target, 'write').mockImplementation((bytes, sync) => {
      pushATurn();
      writes.push(bytes.length);
      return write(bytes, sync);
    });
    pushATurn();
    await sink.flush();
    await vi.waitFor(() => expect(queued).toHaveLength(100));
    await sink.flush();
    expect(Math.max(...queued)).toBeLessThan(LIMITS.queueBytes / 4);
    expect(Math.max(...writes)).toBeLessThanOrEqual(4 * MEBIBYTE);
    expect(metrics.by).toEqual(new Map([['file written', 100 * A_TURN]]));
    expect((await stat(path)).size).toBe(100 * A_TURN * LINE.length);
  });

  it('is written in writes of 4 MiB at most, in order, and its chain is whole', async () => {
    const path = join(await aFolder(), 'audit.log');
    const written = vi.spyOn(FileTarget.prototype, 'write');
    onTestFinished(() => written.mockRestore());
    const key = aKey();
    const chain = { replica: 'one', key };
    const trail = createAuditTrail({ sinks: [{ type: 'file', path }], onFailure: 'block', limits: LIMITS, chain });
    await trail.flush();
    written.mockClear();
    for (const n of range(1000)) trail.record(anEvent({ ...numbered(n), requestURI: `/${'a'.repeat(8000)}` }));
    expect(await trail.recordAhead(numbered(1000))).toBe(true);
    const sizes = written.mock.calls.map(([bytes]) => bytes.length);
    expect(sizes.length).toBeLessThanOrEqual(2 + Math.ceil((await stat(path)).size / (4 * MEBIBYTE)));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * MEBIBYTE);
    await trail.close();
    const verdict = await verifyAuditLog({ files: [path], keys: publicKeys(key) });
    expect(verdict).toMatchObject({ proven: true, findings: [] });
  });

  it('is written in smaller writes where the disk is slow, which does not count as hanging', async () => {
    let nowMs = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    onTestFinished(() => clock.mockRestore());
    let takes = Infinity;
    const sizes: number[] = [];
    const longest: number[] = [];
    const target: LineTarget = {
      type: 'file',
      location: 'a disk',
      readyImmediately: true,
      batchBytes: 4 * MEBIBYTE,
      prepare: async () => 'same',
      write: async (bytes) => {
        nowMs += (1000 * bytes.length) / takes;
        sizes.push(bytes.length);
        longest.push((1000 * bytes.length) / takes);
        return bytes.length;
      },
      close: async () => undefined,
    };
    const sink = new LineSink(target, { limits: { ...LIMITS, stallMs: 2000 } });
    const pushMuch = async (speed: number): Promise<{ readonly largest: number; readonly longestMs: number }> => {
      takes = speed;
      sizes.length = longest.length = 0;
      for (const _ of range(1000)) sink.push(LINE);
      await sink.flush();
      return { largest: Math.max(...sizes), longestMs: Math.max(...longest) };
    };
    expect((await pushMuch(MEBIBYTE)).longestMs).toBeLessThanOrEqual(1000);
    expect((await pushMuch(1000 * MEBIBYTE)).largest).toBeGreaterThan(3 * MEBIBYTE);
    // One that has become slow is found out by one write.
    await pushMuch(2.5 * MEBIBYTE);
    expect((await pushMuch(MEBIBYTE)).longestMs).toBeLessThanOrEqual(1000);
    await sink.close();
  });

  it.each([
    { what: 'a slow reader', remote: false, atFour: 205, atTwo: 103 },
    { what: 'never at another machine, which no change waits for', remote: true, atFour: 410, atTwo: 410 },
  ])('holds back who has much of what others would wait for too long: $what', async ({ remote, atFour, atTwo }) => {
    const asEver = 410;
    let nowMs = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    onTestFinished(() => clock.mockRestore());
    let takes = MEBIBYTE;
    const target: LineTarget = {
      type: 'stdout',
      location: 'a reader',
      readyImmediately: true,
      remote,
      prepare: async () => 'same',
      write: async (bytes) => {
        nowMs += (1000 * bytes.length) / takes;
        return bytes.length;
      },
      close: async () => undefined,
    };
    const sink = new LineSink(target, { limits: { ...LIMITS, stallMs: 2000 }, holds: true });
    onTestFinished(() => sink.close());
    const push = (account: string, lines: number): void => {
      for (const _ of range(lines)) sink.push(LINE, { account });
    };
    const writeAt = async (speed: number, lines = 400): Promise<void> => {
      await sink.flush();
      takes = speed;
      push('corp/0', lines);
      await sink.flush();
    };
    /** Lines of one account at which it is held back. */
    const heldBackFrom = (account = 'corp/1'): number => {
      let lines = 0;
      for (; lines < 1000 && !sink.isBackloggedFor(account); lines += 1) push(account, 1);
      return lines;
    };
    const muchLater = async (): Promise<void> => {
      await sink.flush();
      await turn();
      nowMs += 20_000;
    };
    // Nothing is known of it yet, and a small write says nothing of large ones.
    expect(heldBackFrom()).toBe(asEver);
    await muchLater();
    await writeAt(10_000, 1);
    expect(heldBackFrom()).toBe(asEver);
    await writeAt(100 * MEBIBYTE);
    expect(heldBackFrom()).toBe(asEver);
    await writeAt(4 * MEBIBYTE);
    expect(heldBackFrom()).toBe(atFour);
    await writeAt(2 * MEBIBYTE);
    expect(heldBackFrom()).toBe(atTwo);
    // However many others have much, one who has little goes on.
    expect(sink.isBackloggedFor('corp/2')).toBe(false);
    push('corp/2', 6);
    for (const n of range(12)) push(`other/${n}`, 60);
    expect([sink.isBackloggedFor('other/1'), sink.isBackloggedFor('corp/2')]).toEqual([!remote, false]);
    await sink.flush();
    expect(sink.isBackloggedFor('other/1')).toBe(false);
    // What was slow may be so no more.
    await muchLater();
    expect(heldBackFrom()).toBe(asEver);
  });

  it('carries no file far beyond the size at which it ends', async () => {
    const folder = await aFolder();
    const file = { type: 'file', path: join(folder, 'audit.log'), maxSizeMb: 1, gzip: false } as const;
    const [sink] = openSinks([file], { limits: LIMITS });
    for (const _ of range(600)) sink?.push(LINE);
    await sink?.close();
    const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(600 * LINE.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1.25 * MEBIBYTE);
  });

  it('leaves little of a spool unused', async () => {
    const spool = new Spool(await aFolder(), 2);
    onTestFinished(() => spool.close());
    const left: number[] = [];
    while (spool.batchBytes <= 2 * MEBIBYTE - spool.bytes) {
      left.push(spool.batchBytes);
      await spool.prepare();
      await spool.append(Buffer.from(`${'x'.repeat(0.6 * MEBIBYTE - 1)}\n`), false);
    }
    expect(left.map((bytes) => Math.round((10 * bytes) / MEBIBYTE) / 10)).toEqual([1, 1, 0.8]);
    expect(spool.batchBytes).toBe(MEBIBYTE / 4);
  });
});

/** A reader that takes nothing until it is told to. */
function aReader() {
  const waiting: (() => void)[] = [];
  const stdout = new Writable({ write: (_chunk, _encoding, taken) => void waiting.push(taken) });
  return { stdout, goOn: () => waiting.shift()?.() };
}

describe('the audit trail', () => {
  /** As recorded for a request of the account. */
  const longEvent = (account: string): AuditEvent =>
    anEvent({ requestURI: `/${'a'.repeat(5000)}`, annotations: { 'portcullis.dev/account': account } });

  it('is backlogged from a quarter of a queue on, long before it is blocked, as seen by those who record', async () => {
    const { stdout, goOn } = aReader();
    const limits = { ...LIMITS, queueBytes: 100_000 };
    const trail = createAuditTrail({ sinks: [{ type: 'stdout' }], onFailure: 'block', stdout, limits });
    const logger = new LogLines();
    const live = createLiveAuditLog({ metrics: new Counts(), logger });
    const wrapped = limitRejections(createRecentRequests({ logger }).wrap(live.wrap(trail)), {
      perMinute: 60,
      metrics: { rejectionOmitted: () => undefined },
      nowMs: () => 0,
    });
    const record = (): void => wrapped.record(longEvent('corp/1'));
    const states = range(20).map(() => {
      record();
      return `${wrapped.backlogged('corp/1') ? 'backlogged' : 'up to date'}${wrapped.blocked ? ', blocked' : ''}`;
    });
    // However much it has done already, it takes no space of others.
    expect([...new Set(states)]).toEqual(['up to date', 'backlogged']);
    expect(states.indexOf('backlogged')).toBe(4);
    expect(wrapped.backlogged('corp/2')).toBe(false);
    await vi.waitFor(() => expect(goOn()).toBeUndefined());
    goOn();
    await expect.poll(() => (goOn(), wrapped.backlogged('corp/1'))).toBe(false);
    await expect.poll(() => (goOn(), trail.status()[0]?.queuedBytes)).toBe(0);
  });

  it.each(['while it is open', 'as it is closed'])(
    'loses nothing of what was done, however much ends at once, and has no hole where rejections are left out: %s',
    async (when) => {
      const written: string[] = [];
      const waiting: (() => void)[] = [];
      const stdout = new Writable({
        write: (chunk: Buffer, _encoding, taken) => {
          written.push(String(chunk));
          waiting.push(taken);
        },
      });
      const limits = { ...LIMITS, queueBytes: 100_000 };
      const key = aKey();
      const chain = { replica: 'replica-a', key };
      const [metrics, logger] = [new Counts(), new LogLines()];
      const reported = { stdout, limits, chain, metrics, logger };
      const trail = createAuditTrail({ sinks: [{ type: 'stdout' }], onFailure: 'block', ...reported });
      const refused = { status: 'Failure', code: 403, reason: 'Forbidden' } as const;
      for (const n of range(300)) {
        trail.record({ ...longEvent(`corp/${n % 3}`), auditID: `done-${n}` });
        trail.record({ ...longEvent(`corp/${n % 3}`), auditID: `refused-${n}`, responseStatus: refused });
      }
      expect(trail.status()[0]?.queuedBytes).toBeGreaterThan(10 * limits.queueBytes);
      const taken = async (over: Promise<void>): Promise<void> => {
        let isOver = false;
        void over.then(() => (isOver = true));
        await expect.poll(() => (waiting.shift()?.(), isOver), { interval: 1 }).toBe(true);
      };
      if (when === 'while it is open') await taken(trail.flush());
      await taken(trail.close());
      const ids = auditIds(written.join(''));
      expect(ids.filter((id) => id.startsWith('done-'))).toEqual(range(300).map((n) => `done-${n}`));
      expect(ids.filter((id) => id.startsWith('refused-')).length).toBeLessThan(20);
      const path = join(await aFolder(), 'stdout.log');
      await writeFile(path, written.join(''));
      const verdict = await verifyAuditLog({ files: [path], keys: publicKeys(key), sink: 'stdout' });
      expect(verdict).toMatchObject({ proven: true, findings: [], notes: [], chains: [{ provenTo: ids.length }] });
      const leftOut = 300 - ids.filter((id) => id.startsWith('refused-')).length;
      expect(metrics.of('stdout dropped')).toBe(leftOut);
      expect(logger.lines.map(({ message }) => message)).toContain(
        'audit events of rejected requests are being left out',
      );
      expect(logger.lines.at(-1)).toMatchObject({ fields: { droppedEvents: leftOut } });
    },
  );

  it('is written in writes as large as ever where it waited, and works again at once', async () => {
    const sizes: number[] = [];
    let fails = true;
    const target: LineTarget = {
      type: 'file',
      location: 'a disk',
      readyImmediately: true,
      // What waited for long waits for no others.
      gatherMs: 3_600_000,
      prepare: async () => 'same',
      write: async (bytes) => {
        if (fails) throw new Error('no space left');
        sizes.push(bytes.length);
        return bytes.length;
      },
      close: async () => undefined,
    };
    const sink = new LineSink(target, { limits: { ...LIMITS, queueBytes: 100_000, retryMs: 1 }, holds: true });
    const small = Buffer.from(`${'x'.repeat(999)}\n`);
    for (const n of range(5000)) sink.push(small, { account: `corp/${n % 10}` });
    await vi.waitFor(() => expect(sink.failing).toBe(true));
    fails = false;
    await vi.waitFor(() => expect(sink.failing).toBe(false));
    const written = (): number => sizes.reduce((sum, size) => sum + size, 0);
    await vi.waitFor(() => expect(written()).toBeGreaterThan(4_700 * small.length));
    await sink.close();
    expect(written()).toBe(5000 * small.length);
    expect(sizes.length).toBeLessThan(80);
  });

  it('declares what it lost before its chain ends, where requests go on and it is closed meanwhile', async () => {
    const written: string[] = [];
    const waiting: (() => void)[] = [];
    const write = (chunk: Buffer, _encoding: unknown, taken: () => void): void => {
      written.push(String(chunk));
      waiting.push(taken);
    };
    const key = aKey();
    const trail = createAuditTrail({
      sinks: [{ type: 'stdout' }],
      onFailure: 'count',
      stdout: new Writable({ write }),
      limits: { ...LIMITS, queueBytes: 100_000 },
      chain: { replica: 'replica-a', key },
    });
    for (const _ of range(100)) trail.record(longEvent('corp/1'));
    let isClosed = false;
    void trail.close().then(() => (isClosed = true));
    await expect.poll(() => (waiting.shift()?.(), isClosed), { interval: 1 }).toBe(true);
    const path = join(await aFolder(), 'stdout.log');
    await writeFile(path, written.join(''));
    const verdict = await verifyAuditLog({ files: [path], keys: publicKeys(key), sink: 'stdout' });
    expect(verdict).toMatchObject({ proven: true, findings: [], chains: [{ ended: true }] });
    expect(written.join('')).toContain('"portcullis.dev/event":"audit-gap"');
  });

  it('is whole in one sink while another one takes nothing, and once that is given up', async () => {
    const { stdout } = aReader();
    const path = join(await aFolder(), 'audit.log');
    const limits = { ...LIMITS, queueBytes: 100_000, stallMs: 20, closeTimeoutMs: 50 };
    const key = aKey();
    const chain = { replica: 'replica-a', key };
    const sinks = [{ type: 'stdout' }, { type: 'file', path }] as const;
    const logger = new LogLines();
    const trail = createAuditTrail({ sinks, onFailure: 'block', stdout, limits, chain, logger });
    for (const n of range(300)) trail.record({ ...longEvent('corp/1'), auditID: `done-${n}` });
    const done = async (): Promise<readonly string[]> =>
      auditIds(await readFile(path, 'utf8').catch(() => '')).filter((id) => id.startsWith('done-'));
    await expect.poll(done).toEqual(range(300).map((n) => `done-${n}`));
    expect(trail.blocked).toBe(true);
    // Nor is it said of the other one that it leaves something out.
    const code = 403;
    trail.record(anEvent({ responseStatus: { status: 'Failure', code, reason: 'Forbidden' } }));
    const said = logger.lines.filter(({ message }) => message.includes('left out'));
    expect(said.map(({ fields }) => fields['sink'])).toEqual(['stdout']);
    await trail.close();
    const verdict = await verifyAuditLog({ files: [path], keys: publicKeys(key) });
    expect(verdict).toMatchObject({ proven: true, findings: [] });
  });

  it('is not blocked by however many accounts, each of which stops where it is backlogged', async () => {
    const { stdout } = aReader();
    const limits = { ...LIMITS, queueBytes: 4_000_000, closeTimeoutMs: 0 };
    const trail = createAuditTrail({
      sinks: [{ type: 'stdout' }],
      onFailure: 'block',
      stdout,
      limits,
      chain: { replica: 'replica-a' },
    });
    onTestFinished(() => trail.close());
    const passed = range(20).map((account) => {
      let events = 0;
      for (; events < 1000 && !trail.backlogged(`corp/${account}`); events += 1)
        trail.record(longEvent(`corp/${account}`));
      return events;
    });
    expect(trail.blocked).toBe(false);
    // The first fills a quarter, and each of the others has an eighth of what is left.
    expect([passed[0], passed[1], passed.at(-1)]).toEqual([177, 62, 25]);
    // A service account with its own token is one of its cluster.
    const passthrough = { 'portcullis.dev/passthrough': 'true', 'portcullis.dev/cluster': 'prod' };
    for (const _ of range(600)) trail.record(anEvent({ user: { username: 'ci' }, annotations: passthrough }));
    expect([trail.backlogged('prod ci'), trail.backlogged('dev ci')]).toEqual([true, false]);
  });

  it('is never backlogged while a sink does not work, because nothing would end the wait', async () => {
    const path = join(await aFolder(), 'missing', 'audit.log');
    const limits = { ...LIMITS, queueBytes: 100_000, closeTimeoutMs: 50 };
    const trail = createAuditTrail({ sinks: [{ type: 'file', path }], onFailure: 'block', limits });
    onTestFinished(() => trail.close());
    for (const _ of range(200)) trail.record(longEvent('corp/1'));
    expect([trail.backlogged('corp/1'), trail.blocked]).toEqual([false, true]);
    expect(await trail.recordAhead(numbered(200))).toBe(false);
    expect([trail.backlogged('corp/1'), trail.blocked]).toEqual([false, true]);
  });

  it('is never backlogged where `onFailure` is `count`: traffic goes on', () => {
    const { stdout } = aReader();
    const limits = { ...LIMITS, queueBytes: 100_000, closeTimeoutMs: 0 };
    const trail = createAuditTrail({ sinks: [{ type: 'stdout' }], onFailure: 'count', stdout, limits });
    onTestFinished(() => trail.close());
    for (const _ of range(100)) trail.record(longEvent('corp/1'));
    expect(trail.status()).toMatchObject([{ failing: true }]);
    expect(trail.backlogged('corp/1')).toBe(false);
  });
});
