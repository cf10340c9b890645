import { readdir, readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy } from '../support/audit-log.ts';
import { visitor } from '../support/device-stage.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext, type Open } from '../support/kubectl.ts';
import { ageTokens } from '../support/cli-cache.ts';
import { notedBrowser, type NotedBrowser } from '../support/noted-browser.ts';

const GET = ['get', 'pod', 'web-1', '--output', 'name'] as const;
const WAITS = /another sign-in is in progress/;
const OPENED = /opening your browser/;
const PATIENCE = { timeout: 120_000, interval: 100 };

describe('many kubectls of one user', () => {
  let instance: RunningDemo;
  const machines: CliContext[] = [];

  beforeAll(async () => {
    instance = await startTestInstance();
  });
  afterEach(() => {
    for (const machine of machines.splice(0)) machine.close();
  });
  afterAll(() => instance.stop());

  /** A command line with its own cache. */
  function machineOf(name: string, browser: NotedBrowser): CliContext {
    const cache = `${instance.files.directory}/cache-${name}`;
    const own = { PORTCULLIS_CACHE_DIR: cache, KUBECACHEDIR: `${cache}-of-kubectl`, BROWSER: browser.command };
    const machine = new CliContext(instance, 'alice', own);
    machines.push(machine);
    return machine;
  }

  const count = async (verb: string): Promise<number> =>
    (await auditedBy(instance)).filter((one) => one.verb === verb).length;
  const start = (machine: CliContext, times: number): Open[] =>
    Array.from({ length: times }, () => machine.openKubectl(...GET));

  async function allSucceed(running: readonly Open[]): Promise<void> {
    for (const { finished } of running) {
      const ended = await finished;
      expect(ended, ended.all).toMatchObject({ code: 0, stdout: 'pod/web-1\n' });
    }
  }

  it('twenty with an expired token cause one refresh, and all succeed', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-twenty');
    const machine = machineOf('twenty', browser);
    expect((await machine.kubectl(...GET)).code).toBe(0);
    await ageTokens(`${instance.files.directory}/cache-twenty`, 400);
    const before = await count('refresh');
    await allSucceed(start(machine, 20));
    expect((await count('refresh')) - before).toBe(1);
    expect(await browser.tabs()).toHaveLength(1);
  });

  it('twenty without a signed-in user open one tab, wait for it, and all succeed after the one sign-in', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-waiting', 'nothing');
    const machine = machineOf('waiting', browser);
    const before = await count('sign-in');
    const running = start(machine, 20);
    // All of them are waiting before the user does anything.
    await expect.poll(() => running.filter((one) => WAITS.test(one.output())).length, PATIENCE).toBe(19);
    await visitor('alice').visit(await onlyTabAfter(browser, 0));
    await allSucceed(running);
    expect(await browser.tabs()).toHaveLength(1);
    expect((await count('sign-in')) - before).toBe(1);
    const got = (await auditedBy(instance)).filter(
      ({ verb, objectRef }) => verb === 'get' && objectRef?.name === 'web-1',
    );
    expect(new Set(got.slice(-20).map(({ annotations }) => annotations['portcullis.dev/session'])).size).toBe(1);
  });

  it('Ctrl-C of one that waits hurts none; of the one that holds the sign-in, another takes over and says so', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-interrupted', 'nothing');
    const machine = machineOf('interrupted', browser);
    const running = start(machine, 4);
    const first = await holderOf(running);
    const [waiting, ...rest] = running.filter((one) => one !== first);
    if (waiting === undefined) throw new Error('no process waits');
    await interrupt(waiting);
    expect((await waiting.finished).stdout).toBe('');
    await onlyTabAfter(browser, 0);
    await interrupt(first);
    await expect.poll(() => rest.filter((one) => OPENED.test(one.output())).length, PATIENCE).toBe(1);
    expect(rest.filter((one) => /the other sign-in was stopped; signing in here/.test(one.output()))).toHaveLength(1);
    await visitor('alice').visit(await onlyTabAfter(browser, 1));
    await allSucceed(rest);
    expect(await browser.tabs()).toHaveLength(2);
  });

  it('the plugin that holds the sign-in killed in the middle: another takes over immediately', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-killed', 'nothing');
    const machine = machineOf('killed', browser);
    const running = start(machine, 3);
    const first = await holderOf(running);
    const rest = running.filter((one) => one !== first);
    await onlyTabAfter(browser, 0);
    for (const pid of await childrenOf(first)) process.kill(pid, 'SIGKILL');
    await visitor('alice').visit(await onlyTabAfter(browser, 1));
    await allSucceed(rest);
    expect(await browser.tabs()).toHaveLength(2);
  });

  it('standard input a pipe: apply signs in by the browser and reads the file all the same', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-pipe');
    const machine = machineOf('pipe', browser);
    const map = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: piped, namespace: default }\ndata: { a: b }\n';
    const applied = await machine.kubectlWith(map, 'apply', '--filename', '-');
    expect(applied, applied.all).toMatchObject({ code: 0, stdout: 'configmap/piped created\n' });
    expect(await browser.tabs()).toHaveLength(1);
  });

  it('one command that asks the plugin five times opens one tab, and says why with the same message', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-nobody', 'find-no-browser');
    const failed = await machineOf('no-one', browser).kubectl(...GET);
    expect(failed.code).toBe(1);
    expect(failed.stderr.match(/No browser could be opened/g)?.length, failed.all).toBeGreaterThan(1);
    expect(failed.stderr).toContain(`portcullis login --server ${instance.urls.web}`);
    expect(await browser.tabs()).toHaveLength(1);
  });
});

/** The one that has opened the browser, once all others wait for it: they may say so before it does. */
async function holderOf(running: readonly Open[]): Promise<Open> {
  const saying = (message: RegExp): Open[] => running.filter((one) => message.test(one.output()));
  await expect.poll(() => [saying(OPENED).length, saying(WAITS).length], PATIENCE).toEqual([1, running.length - 1]);
  const [holder] = saying(OPENED);
  if (holder === undefined) throw new Error('no process holds the sign-in');
  return holder;
}

/** The address of the one tab that is open after so many earlier ones; the browser comes a moment after the message. */
async function onlyTabAfter(browser: NotedBrowser, earlier: number): Promise<string> {
  await expect.poll(async () => (await browser.tabs()).length, PATIENCE).toBe(earlier + 1);
  return (await browser.tabs()).at(-1) ?? '';
}

/** As a terminal does: to the command and to what it runs. */
async function interrupt(open: Open): Promise<void> {
  const plugins = await childrenOf(open);
  open.child.kill('SIGINT');
  for (const pid of plugins) process.kill(pid, 'SIGINT');
}

/** Ids of the processes that it runs: field 4 of `/proc/PID/stat` (proc_pid_stat(5)). */
async function childrenOf(open: Open): Promise<readonly number[]> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (const pid of processes) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (parent === String(open.child.pid)) found.push(Number(pid));
  }
  if (found.length === 0) throw new Error('it runs nothing');
  return found;
}
