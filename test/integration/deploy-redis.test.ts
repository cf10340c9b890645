/** The chart's own Redis, started on this machine by the script of the pod, with the files of the pod. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { podTemplateOf } from '../support/chart-pods.ts';
import { only, rendered, valuesOf } from '../support/chart.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';

interface Answer {
  readonly code: number;
  readonly said: string;
}

describe('the chart’s own Redis', () => {
  let folder: string;
  let port: number;
  let redis: ChildProcess;
  let probe: readonly string[];
  let password: string;

  beforeAll(async () => {
    folder = await temporaryFolder();
    port = await freePortBase();
    const objects = await rendered('--values', valuesOf('small'));
    const secret = (name: string): Record<string, string> =>
      only(objects, 'Secret', name)['data'] as Record<string, string>;
    const put = (path: string, content: string | Buffer): void => {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), content);
    };
    for (const [volume, name] of [
      ['auth', 'portcullis-redis-auth'],
      ['tls', 'portcullis-redis-tls'],
    ] as const) {
      for (const [key, value] of Object.entries(secret(name))) put(`${volume}/${key}`, Buffer.from(value, 'base64'));
    }
    password = Buffer.from(secret('portcullis-redis-auth')['password'] ?? '', 'base64').toString();
    for (const path of ['data/.there', 'run/redis/.there']) put(path, '');
    const { 'redis.conf': settings = '' } = only(objects, 'ConfigMap', 'portcullis-redis')['data'] as Record<
      string,
      string
    >;
    put('etc/redis/redis.conf', here(settings).replace('tls-port 6379', `tls-port ${port}`));
    const [container] = podTemplateOf(only(objects, 'StatefulSet')).spec.containers;
    const { command, args, readinessProbe } = container as unknown as {
      command: readonly string[];
      args: readonly string[];
      readinessProbe: { exec: { command: readonly string[] } };
    };
    probe = readinessProbe.exec.command.map((word) => here(word).replace('-h localhost', `-h localhost -p ${port}`));
    const [shell = '', ...rest] = [...command, ...args].map(here);
    redis = spawn(shell, rest, { stdio: 'ignore' });
  });
  afterAll(async () => {
    const gone = once(redis, 'exit');
    redis.kill('SIGKILL');
    await gone;
    await rm(folder, { recursive: true, force: true });
  });

  /** Moves the paths of the pod below a folder of the test. */
  const here = (text: string): string => text.replaceAll(/(?<![\w/}])\/(?=(?:auth|tls|run|etc|data)\b)/g, `${folder}/`);

  const ask = ([program = '', ...args]: readonly string[], env: Record<string, string> = {}): Promise<Answer> =>
    new Promise((resolve) => {
      const options = { env: { PATH: process.env['PATH'] ?? '', ...env }, timeout: 20_000 };
      execFile(program, args, options, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: `${stdout}${stderr}` }),
      );
    });

  const cli = async (...command: string[]): Promise<string> => {
    const tls = ['--tls', '--cacert', join(folder, 'tls/ca.crt'), '-h', 'localhost', '-p', `${port}`];
    const { said } = await ask(['redis-cli', '--user', 'portcullis', ...tls, ...command], { REDISCLI_AUTH: password });
    return said.trim();
  };

  it('is ready by the probe of the pod', async () => {
    await expect.poll(async () => (await ask(probe)).said || 'ready', { timeout: 20_000 }).toBe('ready');
    expect((await ask(probe)).code).toBe(0);
  });

  it('persists its data on disk, and evicts nothing when its memory is full', async () => {
    expect(await cli('INFO', 'memory')).toMatch(/^maxmemory_policy:noeviction\r?$/m);
    expect(await cli('INFO', 'persistence')).toMatch(/^aof_enabled:1\r?$/m);
  });

  it('lets Portcullis access only its own keys, and administer nothing', async () => {
    expect(await cli('SET', '{portcullis}:try', '1')).toBe('OK');
    expect(await cli('DEL', '{portcullis}:try')).toBe('1');
    expect(await cli('SET', 'other', '1')).toMatch(/^NOPERM/);
    for (const command of [
      ['FLUSHALL'],
      ['CONFIG', 'GET', '*'],
      ['KEYS', '*'],
      ['ACL', 'LIST'],
      ['SHUTDOWN'],
      ['REPLICAOF', 'NO', 'ONE'],
    ]) {
      expect(await cli(...command), command.join(' ')).toMatch(/^NOPERM/);
    }
  });

  it('rejects every other client, and accepts only TLS', async () => {
    const tls = ['--tls', '--cacert', join(folder, 'tls/ca.crt'), '-h', 'localhost', '-p', `${port}`];
    expect((await ask(['redis-cli', ...tls, 'PING'])).said).toMatch(/NOAUTH/);
    expect((await ask(['redis-cli', ...tls, '--user', 'portcullis', '--pass', 'wrong', 'PING'])).said).toMatch(
      /WRONGPASS/,
    );
    expect((await ask(['redis-cli', '-h', 'localhost', '-p', `${port}`, 'PING'])).said).not.toMatch(/PONG|NOAUTH/);
  });
});
