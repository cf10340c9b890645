import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rename, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createAuditTrail, type AuditTrail } from '../../../../src/audit/audit.ts';
import type { AuditTrailOptions } from '../../../../src/audit/trail.ts';
import { aFolder, auditIds, Counts, LogLines, numbered, range } from '../fixtures.ts';

/** Node has no function for it. */
const MAKE_PIPE = 'mkfifo';
const FAST = { retryMs: 5, retryMaxMs: 20 };
/** For a trail that will not be able to write when it is closed. */
const GIVES_UP = { ...FAST, closeTimeoutMs: 50 };

function fileTrail(path: string, options: Partial<AuditTrailOptions> = {}): AuditTrail {
  const trail = createAuditTrail({ sinks: [{ type: 'file', path }], onFailure: 'block', limits: FAST, ...options });
  onTestFinished(() => trail.close());
  return trail;
}

const recordAll = (trail: AuditTrail, numbers: readonly number[]): void =>
  numbers.forEach((n) => trail.record(numbered(n)));
const idsOf = async (path: string): Promise<string[]> => auditIds(await readFile(path, 'utf8'));
const ids = (numbers: readonly number[]): string[] => numbers.map((n) => `event-${n}`);

describe('the file sink', () => {
  it('writes one line per event, in order, by the time flush resolves', async () => {
    const path = join(await aFolder(), 'audit.log');
    const metrics = new Counts();
    const trail = fileTrail(path, { metrics });
    recordAll(trail, range(2000));
    await trail.flush();
    expect(await idsOf(path)).toEqual(ids(range(2000)));
    expect(metrics.by).toEqual(new Map([['file written', 2000]]));
  });

  it('makes the file for its owner only', async () => {
    const path = join(await aFolder(), 'audit.log');
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    const trail = fileTrail(path);
    await trail.flush();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is blocked until the file could be opened, and not after', async () => {
    const trail = fileTrail(join(await aFolder(), 'audit.log'));
    expect(trail.blocked).toBe(true);
    await trail.flush();
    expect(trail.blocked).toBe(false);
  });

  it('adds to what is there', async () => {
    const path = join(await aFolder(), 'audit.log');
    const first = fileTrail(path);
    recordAll(first, [1]);
    await first.close();
    const second = fileTrail(path);
    recordAll(second, [2]);
    await second.flush();
    expect(await idsOf(path)).toEqual(ids([1, 2]));
  });

  it('does not glue an event to the half line that a crash left', async () => {
    const path = join(await aFolder(), 'audit.log');
    await writeFile(path, '{"auditID":"to');
    const trail = fileTrail(path);
    recordAll(trail, [1]);
    await trail.flush();
    const [torn, whole] = (await readFile(path, 'utf8')).split('\n');
    expect(torn).toBe('{"auditID":"to');
    expect(auditIds(whole ?? '')).toEqual(ids([1]));
  });

  it('goes on in a new file when the old one was moved away', async () => {
    const path = join(await aFolder(), 'audit.log');
    const trail = fileTrail(path);
    recordAll(trail, [1, 2]);
    await trail.flush();
    await rename(path, `${path}.1`);
    recordAll(trail, [3]);
    await trail.flush();
    expect(await idsOf(`${path}.1`)).toEqual(ids([1, 2]));
    expect(await idsOf(path)).toEqual(ids([3]));
  });

  it('goes on in the same file when it was truncated in place', async () => {
    const path = join(await aFolder(), 'audit.log');
    const trail = fileTrail(path);
    recordAll(trail, range(50));
    await trail.flush();
    await truncate(path);
    recordAll(trail, [51]);
    await trail.flush();
    expect(await idsOf(path)).toEqual(ids([51]));
  });

  it('never writes through a symbolic link, neither at the start nor when one takes the place of the file', async () => {
    const folder = await aFolder();
    const path = join(folder, 'audit.log');
    const victim = join(folder, 'victim');
    await writeFile(victim, 'untouched');
    const trail = fileTrail(path, { limits: GIVES_UP });
    await trail.flush();
    await rename(path, `${path}.1`);
    await symlink(victim, path);
    recordAll(trail, [1]);
    await vi.waitFor(() => expect(trail.blocked).toBe(true));

    const logger = new LogLines();
    fileTrail(path, { logger });
    await vi.waitFor(() => expect(String(logger.lines[0]?.fields['err'])).toContain('symbolic link'));
    expect(await readFile(victim, 'utf8')).toBe('untouched');
  });

  it('refuses a named pipe and does not hang on it', async () => {
    const path = join(await aFolder(), 'audit.log');
    execFileSync(MAKE_PIPE, [path]);
    const logger = new LogLines();
    const trail = fileTrail(path, { logger });
    await vi.waitFor(() => expect(String(logger.lines[0]?.fields['err'])).toContain('pipe'));
    expect(trail.blocked).toBe(true);
  });

  it('loses nothing under block while its folder is missing, and recovers by itself', async () => {
    const folder = join(await aFolder(), 'later');
    const metrics = new Counts();
    const logger = new LogLines();
    const trail = fileTrail(join(folder, 'audit.log'), { metrics, logger });
    recordAll(trail, range(100));
    await vi.waitFor(() => expect(logger.messages).toHaveLength(1));
    expect(trail.blocked).toBe(true);
    await mkdir(folder);
    await trail.flush();
    expect(trail.blocked).toBe(false);
    expect(await idsOf(join(folder, 'audit.log'))).toEqual(ids(range(100)));
    expect(metrics.by).toEqual(new Map([['file written', 100]]));
    expect(logger.lines.map(({ level }) => level)).toEqual(['error', 'info']);
  });
});

describe('a full disk', () => {
  /**
   * `disk/full` is the kernel's full device until `repair`, then a file with space. The last part of the path is no
   * link.
   */
  async function aFullDisk(): Promise<{ path: string; repair: () => Promise<string> }> {
    const folder = await aFolder();
    const disk = join(folder, 'disk');
    await symlink('/dev', disk);
    return {
      path: join(disk, 'full'),
      async repair() {
        const roomy = join(folder, 'roomy');
        await mkdir(roomy);
        await symlink(roomy, join(folder, 'new'));
        await rename(join(folder, 'new'), disk);
        return join(roomy, 'full');
      },
    };
  }

  it('blocks, and everything is written once there is space', async () => {
    const disk = await aFullDisk();
    const metrics = new Counts();
    const trail = fileTrail(disk.path, { metrics });
    await trail.flush();
    expect(trail.blocked).toBe(false);
    recordAll(trail, range(10));
    await vi.waitFor(() => expect(trail.blocked).toBe(true));
    expect(metrics.by.size).toBe(0);
    const roomy = await disk.repair();
    await trail.flush();
    expect(await idsOf(roomy)).toEqual(ids(range(10)));
    expect(trail.blocked).toBe(false);
    expect(metrics.by).toEqual(new Map([['file written', 10]]));
  });

  it('never blocks under count, and counts what no longer fits', async () => {
    const disk = await aFullDisk();
    const metrics = new Counts();
    const logger = new LogLines();
    const limits = { ...FAST, queueBytes: 4096 };
    const trail = fileTrail(disk.path, { metrics, logger, onFailure: 'count', limits });
    recordAll(trail, range(100));
    const dropped = metrics.of('file dropped');
    expect(dropped).toBeGreaterThan(80);
    expect(trail.blocked).toBe(false);
    expect(logger.messages.filter((message) => message.includes('dropped'))).toHaveLength(1);

    const roomy = await disk.repair();
    await trail.flush();
    expect(await idsOf(roomy)).toEqual(ids(range(100 - dropped)));
    expect(metrics.of('file written')).toBe(100 - dropped);
    await vi.waitFor(() => expect(logger.lines.at(-1)?.fields).toMatchObject({ droppedEvents: dropped }));
  });

  it('lets the process end: close gives up, counts and says what was lost', async () => {
    const metrics = new Counts();
    const logger = new LogLines();
    const trail = fileTrail('/dev/full', { metrics, logger, limits: GIVES_UP });
    recordAll(trail, range(7));
    const flushed = trail.flush();
    await trail.close();
    await flushed;
    expect(metrics.by).toEqual(new Map([['file dropped', 7]]));
    expect(logger.lines.at(-1)).toMatchObject({ level: 'error', fields: { droppedEvents: 7 } });
    trail.record(numbered(8));
    expect(metrics.of('file dropped')).toBe(8);
  });

  it('tells the operator about the disk and never about an event', async () => {
    const logger = new LogLines();
    const trail = fileTrail('/dev/full', { logger, limits: GIVES_UP });
    trail.record({ ...numbered(1), userAgent: 'canary-agent', user: { username: 'canary-name' } });
    await vi.waitFor(() => expect(trail.blocked && logger.lines.length > 0).toBe(true));
    await trail.close();
    const said = logger.lines.map(
      (line) => `${line.message} ${String(line.fields['err'])} ${JSON.stringify(line.fields)}`,
    );
    expect(said.join('\n')).toContain('ENOSPC');
    expect(said.join('\n')).not.toContain('canary');
  });
});
