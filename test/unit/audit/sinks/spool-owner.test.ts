import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pid, ppid } from 'node:process';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SpoolOwner } from '../../../../src/audit/sinks/spool-owner.ts';
import { aFolder } from '../fixtures.ts';

/** The machine may be busy with other things. */
vi.setConfig({ testTimeout: 30_000 });

/** More than any process has. */
const NO_PROCESS = 2 ** 30;
const AN_HOUR_AGO = new Date(Date.now() - 3_600_000);

async function claimed(claim: object, touched = new Date()): Promise<{ folder: string; owner: SpoolOwner }> {
  const folder = await aFolder();
  await writeFile(join(folder, 'owner'), JSON.stringify({ id: 'x', host: hostname(), pid: ppid, ...claim }));
  await utimes(join(folder, 'owner'), touched, touched);
  const owner = new SpoolOwner(folder);
  onTestFinished(() => owner.release());
  return { folder, owner };
}

describe('a spool', () => {
  it.each<[string, object, Date]>([
    ['a process of this machine that lives', {}, new Date()],
    ['one of another machine', { host: 'elsewhere', pid: NO_PROCESS }, new Date()],
  ])('is not taken from %s', async (_, claim, touched) => {
    const { folder, owner } = await claimed(claim, touched);
    await expect(owner.acquire()).rejects.toThrow('in use by process');
    expect(await readFile(join(folder, 'owner'), 'utf8')).toContain('"id":"x"');
  });

  it.each<[string, object, Date]>([
    ['a process of this machine that has died', { pid: NO_PROCESS }, new Date()],
    ['the container that this one was started in place of', { pid }, new Date()],
    ['one of another machine that has long been silent', { host: 'elsewhere' }, AN_HOUR_AGO],
    ['no one that could be read', { id: 7 }, new Date()],
  ])('is taken from %s', async (_, claim, touched) => {
    const { folder, owner } = await claimed(claim, touched);
    await owner.acquire();
    expect(() => owner.check()).not.toThrow();
    expect(JSON.parse(await readFile(join(folder, 'owner'), 'utf8'))).toMatchObject({ host: hostname(), pid });
    await owner.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('that another process has taken all the same is written no more, and is left to it', async () => {
    const { folder, owner } = await claimed({ pid: NO_PROCESS });
    await owner.acquire();
    await writeFile(join(folder, 'owner'), JSON.stringify({ id: 'other', host: 'elsewhere', pid: 1 }));
    await vi.waitFor(() => expect(() => owner.check()).toThrow('another process has taken'), { timeout: 15_000 });
    await owner.release();
    expect(await readFile(join(folder, 'owner'), 'utf8')).toContain('other');
  });
});
