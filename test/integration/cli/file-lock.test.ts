import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { withFileLock } from '../../../src/cli/session/file-lock.ts';
import { readPrivateFile, writePrivateFile } from '../../../src/cli/session/private-files.ts';

const MODULE = new URL('../../../src/cli/session/file-lock.ts', import.meta.url).href;

let dir: string;
let path: string;
let children: ChildProcess[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-lock-'));
  path = join(dir, 'it.lock');
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

/** Another process that has the lock, and keeps it until it is ended. */
async function holder(): Promise<ChildProcess> {
  const program = `
    const { withFileLock } = await import('${MODULE}');
    const work = () => new Promise((resolve) => { console.log('held'); setInterval(() => {}, 1e6); });
    await withFileLock({ path: process.argv[1], timeoutMs: 0, whileWaiting: () => undefined, work });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

/** Takes the lock; `staleMs` is a day, so that the lock never becomes stale by time alone. */
const take = (timeoutMs: number): Promise<string> =>
  withFileLock({
    path,
    timeoutMs,
    staleMs: 86_400_000,
    whileWaiting: () => undefined,
    work: () => Promise.resolve('taken'),
  });

describe('a lock', () => {
  test.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
    'of a holder ended by %s is free immediately',
    async (signal) => {
      const child = await holder();
      const waiting = take(50_000);
      child.kill(signal);
      expect(await waiting).toBe('taken');
    },
  );

  test('that another process removes the moment it is created is created again', async () => {
    const program = `const { rmdirSync } = require('fs'); console.log('at work');
      for (let left = 50; left > 0;) try { rmdirSync(process.argv[1]); left -= 1; } catch {}`;
    const thief = spawn(process.execPath, ['--eval', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(thief);
    await once(thief.stdout, 'data');
    while (thief.exitCode === null) expect(await take(50_000)).toBe('taken');
    expect(await take(0)).toBe('taken');
  });

  test('of a live holder is not taken, however long the holder is stopped, and the waiting process reports it', async () => {
    const child = await holder();
    child.kill('SIGSTOP');
    await expect(take(500)).rejects.toMatchObject({
      code: 'upstream_timeout',
      message: expect.stringMatching(/Next:/),
    });
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    expect(await take(50_000)).toBe('taken');
  });

  test('of a process on another machine or in another container is not compared with the processes here', async () => {
    const child = await holder();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const note: unknown = JSON.parse(readPrivateFile(`${path}.holder`) ?? '');
    writePrivateFile(`${path}.holder`, JSON.stringify(Object.assign({}, note, { where: `not-${hostname()}` })));
    await expect(take(500)).rejects.toMatchObject({ code: 'upstream_timeout' });
  });

  test('with a note of an earlier holder is not taken from its present holder', async () => {
    const child = await holder();
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(path, { recursive: true });
    mkdirSync(path);
    await expect(take(500)).rejects.toMatchObject({ code: 'upstream_timeout' });
  });

  test('from the future, which a clock that was set back has left, is no lock', async () => {
    mkdirSync(path);
    utimesSync(path, new Date(), new Date(Date.now() + 3_600_000));
    expect(await take(50_000)).toBe('taken');
  });

  test('leaves no file', async () => {
    await take(0);
    expect(existsSync(path)).toBe(false);
    expect(existsSync(`${path}.holder`)).toBe(false);
  });

  test('has one holder at a time among twenty processes', async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<true> => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      return true;
    };
    const turn = { path, timeoutMs: 50_000, whileWaiting: () => undefined, work };
    await Promise.all(Array.from({ length: 20 }, () => withFileLock(turn)));
    expect(most).toBe(1);
  });
});
