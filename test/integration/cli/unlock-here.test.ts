import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import type { Account } from '../../../src/core/identity/identity.ts';
import type { RunningDemo } from '../../../demo/launch.ts';
import { Collector } from '../../support/audit-collector.ts';
import { startTestInstance } from '../../support/instance.ts';
import { startRedis, type RedisServer } from '../../support/redis.ts';
import { audited, begin, configWith, HURRIED, portcullis, portcullisInTurn, type Ended } from './on-server.ts';

describe('unlock --config, on the server’s own shell', () => {
  let redis: RedisServer;
  let instance: RunningDemo;

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({ redis: redis.url });
  });
  afterAll(async () => {
    await instance.stop();
    await redis.stop();
  });

  const lock = (account: Account) =>
    instance.server.guard.revoke({
      target: { kind: 'account', account },
      lock: { reason: 'stolen admin', by: 'demo:root', at: Math.floor(Date.now() / 1000) },
    });

  const unlock = (...args: readonly string[]): Promise<Ended> =>
    portcullis('unlock', '--config', instance.files.config, ...args);

  test('removes the lock and audits it, with no admin and no token', async () => {
    await lock('demo/one');
    await lock('demo/two');
    const ended = await unlock('demo/one', '--reason', 'INC-4711');
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    expect(ended.stderr).toContain('demo/one is unlocked');
    const { locks } = instance.server.store;
    expect((await locks.list()).map(({ account }) => account)).toEqual(['demo/two']);
    const [event] = await audited(instance, 'unlock');
    expect(event?.annotations).toMatchObject({
      'portcullis.dev/target': 'account:demo/one',
      'portcullis.dev/reason': 'INC-4711',
      'portcullis.dev/by': expect.stringMatching(/.+@.+/),
    });
    expect(await unlock('demo/one')).toMatchObject({ code: 1, stderr: expect.stringContaining('was not locked') });
  });

  test('--fresh lets an account sign in that cannot make a fresh sign-in, and leaves its lock', async () => {
    await lock('demo/seven');
    const { locks, freshSignIns } = instance.server.store;
    const ended = await unlock('demo/seven', '--fresh', '--reason', 'INC-4712');
    expect(ended).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('can sign in without authenticating again'),
    });
    expect(await freshSignIns.find('demo/seven')).toBeUndefined();
    expect(await locks.find('demo/seven')).toBeDefined();
    expect((await audited(instance, 'fresh-sign-in-lifted'))[0]?.annotations).toMatchObject({
      'portcullis.dev/target': 'account:demo/seven',
      'portcullis.dev/reason': 'INC-4712',
    });
    expect(await unlock('demo/seven', '--fresh')).toMatchObject({ code: 1 });
    expect(await unlock('--all', '--fresh')).toMatchObject({ code: 2 });
  });

  test('--all removes every lock', async () => {
    await lock('demo/three');
    await lock('demo/four');
    expect((await unlock('--all')).code).toBe(0);
    expect(await instance.server.store.locks.list()).toEqual([]);
    expect(await unlock('--all')).toMatchObject({ code: 0, stderr: expect.stringContaining('no account is locked') });
  });

  test('reports that only this terminal has the audit event, when stdout is the only sink', async () => {
    await lock('demo/five');
    const config = await configWith(instance, { audit: { sinks: [{ type: 'stdout' }] } });
    const ended = await portcullis('unlock', '--config', config, 'demo/five');
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('only on this standard output: keep it') });
    const events = ended.stdout.trim().split('\n');
    expect(events.map((line) => (JSON.parse(line) as AuditEvent).verb)).toContain('unlock');
  });

  test('delivers to a webhook whose spool the running server uses', async () => {
    const collector = await Collector.start();
    const spoolDir = join(instance.files.directory, 'spool');
    await mkdir(spoolDir, { mode: 0o700 });
    const owner = JSON.stringify({ id: 'the-gate', host: hostname(), pid: process.pid });
    await writeFile(join(spoolDir, 'owner'), owner, { mode: 0o600 });
    await lock('demo/six');
    const config = await configWith(instance, {
      audit: { sinks: [{ type: 'webhook', url: collector.url, spoolDir }] },
    });
    const ended = await portcullis('unlock', '--config', config, 'demo/six');
    expect(ended).toMatchObject({ code: 0, stdout: '', stderr: expect.not.stringContaining('lost') });
    expect(collector.asked.map(({ body }) => body).join('')).toContain('account:demo/six');
    expect(await readFile(join(spoolDir, 'owner'), 'utf8')).toBe(owner);
  });

  test('exits 2 for wrong use, and for an invalid configuration', async () => {
    const { config } = instance.files;
    const wrong = [[config], [config, 'demo/one', '--all'], [config, 'demo'], ['/nonexistent.yaml', 'demo/one']];
    const ended = await portcullisInTurn(wrong.map((args) => ['unlock', '--config', ...args]));
    expect(ended).toEqual(wrong.map(() => ({ code: 2, stdout: '', stderr: expect.stringMatching(/./) })));
  });

  test('exits 1 for an unavailable store with nothing in the audit log', async () => {
    const before = (await audited(instance, 'unlock')).length;
    redis.pause();
    const ended = await begin(HURRIED, 'unlock', '--config', instance.files.config, 'demo/one').ended;
    redis.resume();
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing more was unlocked') });
    expect(await audited(instance, 'unlock')).toHaveLength(before);
  });

  test('reports with the memory store where the locks are', async () => {
    const other = await startTestInstance();
    const { config } = other.files;
    const unlocked = await portcullis('unlock', '--config', config, 'demo/x');
    const locked = await portcullis('lock', '--config', config, 'demo/x', '--reason', 'INC-4718');
    await other.stop();
    for (const ended of [unlocked, locked]) {
      expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('restart it') });
    }
  });
});
