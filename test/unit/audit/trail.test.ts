import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createAuditTrail } from '../../../src/audit/audit.ts';
import { rejectedFile } from '../../../src/audit/trail.ts';
import { verifyAuditLog } from '../../../src/audit/verify/verify.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import { aFolder, anEvent, auditIds, Counts, LogLines, numbered, range } from './fixtures.ts';
import { aKey, publicKeys } from './verify/audit-fixture.ts';

const key = aKey();

/** A stdout whose reader can be told to stop. */
class Output extends Writable {
  text = '';
  stalled = false;
  failure: Error | undefined;
  #waiting: (() => void) | undefined;

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    const take = (): void => {
      if (!this.failure) this.text += chunk.toString();
      callback(this.failure);
    };
    if (this.stalled) this.#waiting = take;
    else take();
  }

  resume(): void {
    this.stalled = false;
    this.#waiting?.();
  }
}

/** What the disk is asked for, of files and of folders. */
async function syncs(folder: string): Promise<readonly string[]> {
  await using handle = await open(folder);
  const of = Object.getPrototypeOf(handle) as typeof handle;
  const asked: string[] = [];
  for (const name of ['datasync', 'sync'] as const) {
    const plain = of[name];
    const spy = vi.spyOn(of, name).mockImplementation(async function (this: typeof handle) {
      await plain.call(this);
      asked.push(name);
    });
    onTestFinished(() => spy.mockRestore());
  }
  return asked;
}

describe('createAuditTrail', () => {
  it('gives every event to every sink', async () => {
    const path = join(await aFolder(), 'audit.log');
    const stdout = new Output();
    const metrics = new Counts();
    const trail = createAuditTrail({
      sinks: [{ type: 'stdout' }, { type: 'file', path }],
      onFailure: 'block',
      stdout,
      metrics,
    });
    for (const n of range(20)) trail.record(numbered(n));
    await trail.close();
    expect(auditIds(stdout.text)).toEqual(range(20).map((n) => `event-${n}`));
    expect(await readFile(path, 'utf8')).toBe(stdout.text);
    expect(metrics.by).toEqual(
      new Map([
        ['stdout written', 20],
        ['file written', 20],
      ]),
    );
  });

  it('is a failure without a sink', () => {
    expect(() => createAuditTrail({ sinks: [], onFailure: 'count' })).toThrow('audit.sinks');
  });

  it('is blocked by the one sink that fails, while the other has everything', async () => {
    const stdout = new Output();
    const sinks = [{ type: 'stdout' }, { type: 'file', path: '/dev/full' }] as const;
    const trail = createAuditTrail({ sinks, onFailure: 'block', stdout, limits: { retryMs: 1, closeTimeoutMs: 20 } });
    await trail.flush();
    trail.record(numbered(1));
    await vi.waitFor(() => expect(auditIds(stdout.text)).toEqual(['event-1']));
    await vi.waitFor(() => expect(trail.blocked).toBe(true));
    await trail.close();
  });

  it('is blocked while the reader of stdout hangs, and goes on where it stopped', async () => {
    const stdout = new Output();
    stdout.stalled = true;
    const trail = createAuditTrail({
      sinks: [{ type: 'stdout' }],
      onFailure: 'block',
      stdout,
      limits: { stallMs: 10 },
    });
    expect(trail.blocked).toBe(false);
    trail.record(numbered(1));
    await vi.waitFor(() => expect(trail.blocked).toBe(true));
    stdout.resume();
    trail.record(numbered(2));
    await trail.flush();
    expect(auditIds(stdout.text)).toEqual(['event-1', 'event-2']);
    expect(trail.blocked).toBe(false);
  });

  it('survives a reader of stdout that has gone, and is blocked from then on', async () => {
    const stdout = new Output();
    stdout.failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    const limits = { retryMs: 1, closeTimeoutMs: 20 };
    const trail = createAuditTrail({ sinks: [{ type: 'stdout' }], onFailure: 'block', stdout, limits });
    trail.record(numbered(1));
    await vi.waitFor(() => expect(trail.blocked).toBe(true));
    await trail.close();
  });

  it('does not throw at an event that is no JSON value, but counts it and names it by its id', async () => {
    const stdout = new Output();
    const metrics = new Counts();
    const logger = new LogLines();
    const trail = createAuditTrail({ sinks: [{ type: 'stdout' }], onFailure: 'block', stdout, metrics, logger });
    const broken = anEvent({ auditID: 'broken' }) as unknown as Record<string, unknown>;
    broken['annotations'] = broken;
    trail.record(broken as unknown as AuditEvent);
    trail.record(numbered(1));
    await trail.close();
    expect(auditIds(stdout.text)).toEqual(['event-1']);
    expect(metrics.of('stdout dropped')).toBe(1);
    expect(logger.lines[0]).toMatchObject({ level: 'error', fields: { auditID: 'broken' } });
  });

  it('can be closed twice, and flushed after', async () => {
    const trail = createAuditTrail({ sinks: [{ type: 'file', path: join(await aFolder(), 'a') }], onFailure: 'block' });
    await expect(Promise.all([trail.close(), trail.close()]).then(() => trail.flush())).resolves.toBeUndefined();
  });

  it.each([
    [true, ['datasync', 'datasync', 'datasync', 'datasync', 'sync', 'sync']],
    [false, []],
  ])('has what is recorded ahead in files and spools when it says so; on the disk: %s', async (syncAhead, expected) => {
    const folder = await aFolder();
    const [path, spoolDir] = [join(folder, 'audit.log'), join(folder, 'spool')];
    const webhook = { type: 'webhook', url: 'http://127.0.0.1:1/', spoolDir } as const;
    const sinks = [{ type: 'file', path, fsync: 'never' }, webhook] as const;
    const trail = createAuditTrail({ sinks, onFailure: 'block', syncAhead, limits: { closeTimeoutMs: 100 } });
    onTestFinished(() => trail.close());
    await trail.flush();
    const asked = await syncs(folder);
    trail.record(numbered(1));
    for (const n of [2, 3]) {
      expect(await trail.recordAhead(numbered(n))).toBe(true);
      expect(auditIds(await readFile(path, 'utf8')).at(-1)).toBe(`event-${n}`);
      expect(auditIds(await readFile(join(spoolDir, '000000000000.jsonl'), 'utf8')).at(-1)).toBe(`event-${n}`);
    }
    // A new file has a name that could be lost as well: the folder is asked once.
    expect(asked.toSorted()).toEqual(expected);
  });

  it('has rejections in a file of their own, in a chain of their own, and both chains where there is no file', async () => {
    const folder = await aFolder();
    const [path, rejectedPath] = [join(folder, 'audit.log'), join(folder, 'unauthenticated.log')];
    const stdout = new Output();
    const sinks = [{ type: 'stdout' }, { type: 'file', path, rejectedPath }] as const;
    const trail = createAuditTrail({ sinks, onFailure: 'block', stdout, chain: { replica: 'a', key } });
    const outsider = (n: number): AuditEvent => ({ ...numbered(n), user: {}, responseStatus: { code: 401 } });
    trail.record(numbered(1));
    await trail.flush();
    // No one was rejected yet, so nothing was begun.
    expect(await readFile(rejectedPath, 'utf8')).toBe('');
    for (const n of [3, 5]) trail.record(outsider(n));
    trail.record(numbered(2));
    expect(trail.head).toMatchObject({ seq: 3 });
    await trail.close();
    const files = await Promise.all([path, rejectedPath].map((file) => readFile(file, 'utf8')));
    const ids = files.map((text) => auditIds(text).filter((id) => id.startsWith('event-')));
    expect(ids).toEqual([
      ['event-1', 'event-2'],
      ['event-3', 'event-5'],
    ]);
    expect(stdout.text.split('\n').toSorted()).toEqual(files.join('').split('\n').concat('').toSorted().slice(1));
    const keys = publicKeys(key);
    for (const file of [path, rejectedPath])
      expect(await verifyAuditLog({ files: [file], keys })).toMatchObject({ proven: true, chains: [{ first: 1 }] });
  });

  it('gives rejections no more space than their file is allowed, and takes none of it from the others', async () => {
    const folder = await aFolder();
    const sink = {
      type: 'file',
      path: join(folder, 'audit.log'),
      rejectedPath: join(folder, 'rejected'),
      gzip: false,
    } as const;
    expect(rejectedFile(sink)).toEqual([expect.objectContaining({ path: sink.rejectedPath, maxSizeMb: 16, keep: 3 })]);
    const trail = createAuditTrail({ sinks: [sink], onFailure: 'block', rejectedMb: 4 });
    const outsider = { user: {}, responseStatus: { code: 401 }, userAgent: 'y'.repeat(10_000) };
    trail.record(numbered(0));
    for (const n of range(1200)) {
      trail.record({ ...numbered(n + 1), ...outsider });
      if (n % 50 === 0) await trail.flush();
    }
    await trail.close();
    const names = (await readdir(folder)).filter((name) => name.startsWith('rejected'));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
    expect(names.length).toBeGreaterThan(1);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(5.5 * 1024 * 1024);
    expect(auditIds(await readFile(sink.path, 'utf8'))).toEqual(['event-0']);
  });

  it('declares what a sink of two chains lost in the chain that it belongs to', async () => {
    const folder = await aFolder();
    const stdout = new Output();
    stdout.stalled = true;
    const sinks = [
      { type: 'stdout' },
      { type: 'file', path: join(folder, 'a'), rejectedPath: join(folder, 'b') },
    ] as const;
    const limits = { queueBytes: 4000 };
    const chain = { replica: 'a', key };
    const trail = createAuditTrail({ sinks, onFailure: 'count', stdout, limits, chain });
    await vi.waitFor(async () => expect(await readFile(join(folder, 'a'), 'utf8')).toContain('audit-opened'));
    for (const n of range(20))
      trail.record(n % 2 === 0 ? numbered(n) : { ...numbered(n), user: {}, responseStatus: { code: 401 } });
    stdout.stalled = false;
    stdout.resume();
    await trail.flush();
    await vi.waitFor(() => expect(stdout.text.match(/"portcullis.dev\/sink":"stdout"/g)).toHaveLength(2));
    await trail.close();
    const file = join(folder, 'stdout.log');
    await writeFile(file, stdout.text);
    const verdict = await verifyAuditLog({ files: [file], keys: publicKeys(key), sink: 'stdout' });
    expect(verdict).toMatchObject({ proven: true, findings: [], chains: [{}, {}] });
    expect(verdict.notes.filter(({ kind }) => kind === 'gap').length).toBeGreaterThanOrEqual(2);
  });
});
