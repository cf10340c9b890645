import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext, type Open } from '../support/kubectl.ts';
import { cachedSession } from '../support/cli-cache.ts';
import { notedBrowser, type NotedBrowser } from '../support/noted-browser.ts';

/** A twelfth of the usual life, and still seconds between what kubectl is told and the end: a busy machine needs one to start a command. */
const TOKEN_SECONDS = 25;
/** The environment of a command line whose clock runs ten times as fast, so that a token of 25 seconds is used for two. */
const CLOCK = new URL('../support/client-clock.ts', import.meta.url).href;
/** Rounds of requests: several times in a token's life, and some while it is renewed ahead of its end. */
const COMMAND_EVERY = 4;
const POD = '/api/v1/namespaces/default/pods/web-1';

/** Programs that run for hours and ask the plugin again and again: what k9s, Lens and controllers do, by real client-go. */
describe('a client that lives longer than its tokens', () => {
  let instance: RunningDemo;
  let root: CliContext;
  const machines: CliContext[] = [];

  beforeAll(async () => {
    instance = await startTestInstance({
      file: (settings) => settings,
      loaded: (config) => ({ ...config, sessions: { ...config.sessions, accessToken: TOKEN_SECONDS } }),
    });
    root = new CliContext(instance, 'root');
    const signedIn = await root.portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
  });
  afterAll(async () => {
    for (const machine of machines) machine.close();
    await instance.stop();
  });

  const cacheOf = (name: string): string => `${instance.files.directory}/cache-${name}`;

  function machineOf(
    name: string,
    browser: NotedBrowser,
    { user = 'alice', ...extra }: NodeJS.ProcessEnv & { readonly user?: string } = {},
  ): CliContext {
    const own = { PORTCULLIS_CACHE_DIR: cacheOf(name), BROWSER: browser.command, ...extra };
    const machine = new CliContext(instance, user, own);
    machines.push(machine);
    return machine;
  }

  async function proxyOf(machine: CliContext): Promise<{ readonly open: Open; get(): Promise<number> }> {
    const open = machine.openKubectl('proxy', '--port', '0');
    await open.until(/Starting to serve on 127\.0\.0\.1:\d+/);
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(open.output()) ?? [];
    return {
      open,
      async get() {
        // client-go closes its own connections when a certificate is renewed, and a request that it begins in that instant ends there:
        // kubectl says so with this message. A connection that Portcullis ended reads otherwise (a reset, an EOF, a GOAWAY), and counts.
        for (;;) {
          const { statusCode, body } = await request(`http://127.0.0.1:${port}${POD}`);
          const text = await body.text();
          if (statusCode !== 500 || !text.includes('use of closed network connection')) return statusCode;
        }
      },
    };
  }

  /** The audit events since an earlier check, and how many of a verb are a user's. */
  async function since(seen: number, username = 'demo:alice') {
    const events = (await auditedBy(instance)).slice(seen);
    const own = events.filter(({ user }) => user?.username === username);
    return { count: (verb: string) => own.filter((one) => one.verb === verb).length, events };
  }

  async function revoke(name: string): Promise<void> {
    const { person: user } = await cachedSession(cacheOf(name));
    const done = await root.portcullis('revoke', '--session', user.sessionId, '--reason', 'test');
    expect(done.code, done.all).toBe(0);
  }

  // Two users, beside each other: both mostly wait for tokens to end.
  it.concurrent('is never rejected: a renewed credential works on the connection that it has, and on new ones', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-renewing');
    const machine = machineOf('renewing', browser);
    const proxy = await proxyOf(machine);
    const watch = machine.openKubectl('get', 'pods', '--watch', '--output', 'name');
    expect(await proxy.get()).toBe(200);
    await watch.until(/pod\/web-1/);
    const seen = (await auditedBy(instance)).length;
    const connections = await connectionsOf(proxy.open, instance.urls.api);
    expect(connections).toHaveLength(1);
    const { certificate } = (await cachedSession(cacheOf('renewing'))).binding;
    const answers = new Map<number, number>();
    let commands = 0;
    for (let round = 0; (await since(seen)).count('refresh') < 2; round += 1) {
      await delay(500);
      for (let call = 0; call < 5; call += 1) {
        const status = await proxy.get();
        answers.set(status, (answers.get(status) ?? 0) + 1);
      }
      if (round % COMMAND_EVERY !== 0) continue;
      // New programs and new connections, next to the ones that live on.
      const got = await machine.kubectl('get', 'pod', 'web-1', '--output', 'name');
      expect(got, got.all).toMatchObject({ code: 0, stderr: '' });
      commands += 1;
    }
    expect([...answers.keys()]).toEqual([200]);
    expect(commands).toBeGreaterThan(3);
    expect(await connectionsOf(proxy.open, instance.urls.api)).toEqual(connections);
    expect((await cachedSession(cacheOf('renewing'))).binding.certificate).toBe(certificate);
    const { events, count } = await since(seen);
    expect(events.filter(({ responseStatus }) => responseStatus?.code === 401)).toEqual([]);
    expect(count('sign-in')).toBe(0);
    expect(await browser.tabs()).toHaveLength(1);
    // The watch that began under the first token is open still.
    expect(watch.child.exitCode).toBeNull();
    const created = await machine.kubectl('annotate', 'pod', 'web-1', `seen=${commands}`, '--overwrite');
    expect(created.code, created.all).toBe(0);
    await watch.until(/pod\/web-1[^]*pod\/web-1/);
  });

  it.concurrent('an hour of commands, three at a time, has none that fails, on one sign-in and a dozen tokens', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-an-hour');
    const clock = { CLIENT_CLOCK: `${Date.now()},10`, NODE_OPTIONS: `--import=${CLOCK}` };
    const machine = machineOf('hour', browser, { user: 'root', ...clock });
    expect((await machine.portcullis('login')).code).toBe(0);
    const seen = (await auditedBy(instance)).length;
    // Twelve tokens of five minutes are an hour.
    while ((await since(seen, 'demo:root')).count('refresh') < 12) {
      // About as long as a token is used by that clock, so that most rounds have to renew it, all three at a time.
      await delay(1600);
      const all = await Promise.all(
        Array.from({ length: 3 }, () => machine.kubectl('get', 'pod', 'web-1', '-o', 'name')),
      );
      for (const each of all) expect(each, each.all).toMatchObject({ code: 0, stdout: 'pod/web-1\n', stderr: '' });
    }
    const { events, count } = await since(seen, 'demo:root');
    // A rejected token names no user.
    const others = events.filter(({ user }) => user?.username !== 'demo:alice');
    expect(others.filter(({ responseStatus }) => (responseStatus?.code ?? 200) >= 400)).toEqual([]);
    expect(count('sign-in')).toBe(0);
    expect(await browser.tabs()).toHaveLength(1);
  });

  it('whose session is revoked signs in once more, in one tab, and goes on', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-revoked');
    const proxy = await proxyOf(machineOf('revoked', browser));
    expect(await proxy.get()).toBe(200);
    const before = await cachedSession(cacheOf('revoked'));
    await revoke('revoked');
    const seen = (await auditedBy(instance)).length;
    // client-go returns the first rejection to its caller, and asks the plugin before it does.
    const answers = [await proxy.get(), await proxy.get(), await proxy.get()];
    expect(answers).toEqual([401, 200, 200]);
    expect((await since(seen)).count('sign-in')).toBe(1);
    expect(await browser.tabs()).toHaveLength(2);
    const after = await cachedSession(cacheOf('revoked'));
    expect(after.person.sessionId).not.toBe(before.person.sessionId);
    expect(after.binding.certificate).not.toBe(before.binding.certificate);
  });

  it('whose session is revoked, where no browser may open, fails immediately each time and does not get the rejected token', async () => {
    const browser = await notedBrowser(instance.files.directory, 'browser-of-forbidden');
    expect((await machineOf('forbidden', browser).portcullis('login')).code).toBe(0);
    const proxy = await proxyOf(machineOf('forbidden', browser, { PORTCULLIS_NO_BROWSER: '1' }));
    expect(await proxy.get()).toBe(200);
    await revoke('forbidden');
    const began = Date.now();
    const answers: number[] = [];
    for (let call = 0; call < 5; call += 1) answers.push(await proxy.get());
    expect(
      answers.every((status) => status >= 400),
      answers.join(),
    ).toBe(true);
    // Five calls of the plugin, of which the first asked the server; a stall would be its time-out, 15 seconds.
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(await browser.tabs()).toHaveLength(1);
    expect(proxy.open.output()).toContain('portcullis login --server');
    await expect(cachedSession(cacheOf('forbidden'))).rejects.toThrow('ENOENT');
  });
});

/** Local ports of the connections that a program has to Portcullis. */
async function connectionsOf({ child }: Open, api: string): Promise<readonly number[]> {
  const fds = `/proc/${child.pid}/fd`;
  const targets = await Promise.all((await readdir(fds)).map((fd) => readlink(`${fds}/${fd}`).catch(() => '')));
  const own = new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
  const remote = Number(new URL(api).port);
  const tables = await Promise.all(['tcp', 'tcp6'].map((table) => readFile(`/proc/net/${table}`, 'utf8')));
  return tables
    .flatMap((table) => table.trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , to = '', , , , , , , inode = '']) => own.has(inode) && portIn(to) === remote)
    .map(([, from = '']) => portIn(from))
    .toSorted((one, other) => one - other);
}

/** Of `0100007F:1F90`. */
const portIn = (address: string): number => Number.parseInt(address.split(':')[1] ?? '', 16);
