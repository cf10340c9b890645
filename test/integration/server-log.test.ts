/** The log of a server process, from its start to its stop, as a log collector reads it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { demoPorts } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import manifest from '../../package.json' with { type: 'json' };
import { rotateKeys } from '../../src/config/rotate-keys.ts';
import { bareEnvironment } from '../support/bare-environment.ts';
import { freePortBase, startTestInstance, temporaryFolder } from '../support/instance.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { ShellTerminal } from '../support/shell-terminal.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const PATIENCE = { timeout: 20_000, interval: 100 };

let instance: RunningDemo;
let redis: RedisServer;
let folder: string;

beforeAll(async () => {
  [instance, redis, folder] = await Promise.all([startTestInstance(), startRedis(), temporaryFolder()]);
});
afterAll(async () => {
  await Promise.all([instance.stop(), redis.stop(), rm(folder, { recursive: true, force: true })]);
});

interface ServerFile {
  listen: Record<'api' | 'web' | 'ops', { address: string }>;
  keys: { signingDir: string; sealingDir: string; auditDir: string };
}

/** Writes the file of a server with ports of its own, and with `settings` in place of those of the instance. */
async function configured(
  name: string,
  settings: object,
): Promise<{ config: string; file: ServerFile; ports: ReturnType<typeof demoPorts> }> {
  const ports = demoPorts(await freePortBase());
  const file = parse(await readFile(instance.files.config, 'utf8')) as ServerFile;
  for (const listener of ['api', 'web', 'ops'] as const) {
    file.listen[listener].address = `127.0.0.1:${ports[listener]}`;
  }
  const config = join(folder, name);
  await writeFile(config, stringify({ ...file, ...settings }));
  return { config, file, ports };
}

/** The lines of JSON that are whole. */
const linesIn = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const isHealthy = ({ ops }: { readonly ops: number }): Promise<boolean> =>
  fetch(`http://127.0.0.1:${ops}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );

it('has each step of its life as JSON with fields, and warns about a lost store but not about a new one', async () => {
  const { config, file, ports } = await configured('portcullis.yaml', {
    store: { redis: { url: redis.url } },
    admin: { groups: [] },
    telemetry: {},
  });
  const server = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
    env: { ...bareEnvironment(), HOSTNAME: 'portcullis-0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  server.stderr.setEncoding('utf8').on('data', (more: string) => (text += more));
  const ended = once(server, 'close');
  const lines = () => linesIn(text);
  const line = (msg: string): Record<string, unknown> | undefined => lines().find((one) => one['msg'] === msg);
  const healthy = () => isHealthy(ports);
  await vi.waitUntil(healthy, PATIENCE);

  expect(line('starting')).toMatchObject({
    level: 'info',
    version: manifest.version,
    configuration: config,
    replica: 'portcullis-0',
  });
  const [api, web, ops] = [ports.api, ports.web, ports.ops].map((port) => `127.0.0.1:${port}`);
  expect(line('listening')).toMatchObject({ api, web, ops });
  expect(line('configuration loaded')).toMatchObject({ signingKeyId: expect.stringMatching(/^[\w-]{16,}$/) });
  expect(lines()).toContainEqual(
    expect.objectContaining({
      level: 'warn',
      setting: 'admin.groups',
      msg: 'admin.groups is empty: no user can revoke the sessions of others.',
    }),
  );
  expect(text).not.toContain('sign in again');
  expect(lines()).toContainEqual(expect.objectContaining({ level: 'info', why: 'empty', survivor: false }));

  await writeFile(config, `${await readFile(config, 'utf8')}# changed\n`);
  const changed = 'the configuration file has changed; restart this replica to use it';
  await vi.waitUntil(() => line(changed)?.['configuration'] === config, PATIENCE);

  await rotateKeys(file.keys);
  await vi.waitUntil(() => line('new keys are in use'), PATIENCE);

  const operator = new Redis(redis.url);
  await operator.flushall();
  operator.disconnect();
  const lost = 'the store began a new epoch; all users must sign in again';
  await vi.waitUntil(() => line(lost)?.['level'] === 'warn', PATIENCE);

  server.kill('SIGHUP');
  const ignored = 'a signal to reload was ignored; restart this replica to use another configuration';
  await vi.waitUntil(() => line(ignored)?.['level'] === 'warn', PATIENCE);
  await vi.waitUntil(healthy, PATIENCE);

  server.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(line('signal received')).toMatchObject({ signal: 'SIGTERM' });
  expect(lines().at(-1)).toMatchObject({ msg: 'stopped', replica: 'portcullis-0', seconds: expect.any(Number) });
});

/** How a terminal closes in which a shell (the second process) runs the server (the first). */
const CLOSINGS: Readonly<Record<string, (terminal: ShellTerminal, pids: readonly number[]) => unknown>> = {
  'its terminal closes': (terminal) => terminal.hangUp(),
  // As xterm, screen and the end of a shell do it: the only signal comes while the terminal is still open.
  'its shell is ended, and then its terminal closes': (_terminal, [, shell = NaN]) => process.kill(shell, 'SIGHUP'),
};

it.each(Object.entries(CLOSINGS))('drains and stops when %s', async (what, close) => {
  const path = (ending: string): string => join(folder, `${what.replaceAll(/\W+/g, '-')}.${ending}`);
  const [log, pidFile, auditLog] = [path('log'), path('pids'), path('audit')];
  const sinks = [{ type: 'file', path: auditLog }];
  const { config, ports } = await configured(`${what}.yaml`, { audit: { sinks }, telemetry: {} });
  const script = path('sh');
  await writeFile(
    script,
    `echo $$ $PPID > '${pidFile}'; exec '${process.execPath}' '${MAIN}' serve --config '${config}' 2> '${log}'`,
  );
  const terminal = new ShellTerminal(`sh '${script}'; true`, bareEnvironment());
  const pids = async (): Promise<number[]> => (await readFile(pidFile, 'utf8')).split(' ').map(Number);
  onTestFinished(async () => {
    await terminal.hangUp();
    try {
      process.kill((await pids())[0] ?? NaN, 'SIGKILL');
    } catch {
      // It has stopped.
    }
  });
  await vi.waitUntil(() => isHealthy(ports), PATIENCE);
  await close(terminal, await pids());

  const last = async (): Promise<unknown> => linesIn(await readFile(log, 'utf8')).at(-1)?.['msg'];
  await vi.waitUntil(async () => (await last()) === 'stopped', PATIENCE);
  expect(linesIn(await readFile(log, 'utf8'))).toContainEqual(
    expect.objectContaining({ msg: 'signal received', signal: 'SIGHUP' }),
  );
  expect(await readFile(auditLog, 'utf8')).toContain('server-stopped');
});
