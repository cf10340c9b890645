/** One node of the chart's own Redis becomes three, and one again: its pods run here by their own commands (docs/ha-store.md). */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { rendered, valuesOf, type KubernetesObject } from '../support/chart.ts';
import { RedisPods, type Which } from '../support/redis-pods.ts';

const SMALL = ['--values', valuesOf('small')];
const PODS = [0, 1, 2] as const;

let one: readonly KubernetesObject[];
let three: readonly KubernetesObject[];
let pods: RedisPods;

beforeEach(async () => {
  [one, three] = await Promise.all([
    rendered(...SMALL),
    rendered(...SMALL, '--set', 'redis.inChart.replicas=3,redis.inChart.failoverAfter=2s'),
  ]);
  pods = new RedisPods(one);
});
afterEach(() => pods[Symbol.asyncDispose]());

const cli = (which: Which, ...command: readonly string[]): Promise<string> =>
  pods.cli(which, 'portcullis', pods.secret('portcullis-redis-auth', 'password'), ...command);

/** By the probe, and it has to be by then. */
const passes = (which: Which, probe: 'livenessProbe' | 'readinessProbe'): Promise<void> =>
  vi.waitFor(async () => expect(await pods.hook(which, 'redis', probe)).toMatchObject({ code: 0 }));

const LOCK = '{portcullis}:lock';

it('keeps what the first node has, although the two new ones come first', async () => {
  pods.start(0);
  await passes(0, 'readinessProbe');
  expect(await cli(0, 'HSET', LOCK, 'corp/1', 'INC-1')).toBe('1');
  await pods.kill(0);
  pods.become(three);
  // The first pod waits for its volume meanwhile.
  pods.start(1);
  pods.start(2);
  await Promise.all([passes(1, 'livenessProbe'), passes(2, 'livenessProbe')]);
  expect(await pods.hook(1, 'redis', 'readinessProbe')).toMatchObject({ code: 1 });
  pods.start(0);
  await Promise.all(PODS.map((which) => passes(which, 'readinessProbe')));
  expect(await cli(0, 'INFO', 'replication')).toMatch(/^role:master\r?$/m);
  for (const which of PODS) expect(await cli(which, 'HGET', LOCK, 'corp/1')).toBe('INC-1');

  await Promise.all(PODS.map((which) => pods.kill(which)));
  pods.become(one);
  pods.start(0);
  await passes(0, 'readinessProbe');
  expect(await cli(0, 'HGET', LOCK, 'corp/1')).toBe('INC-1');
  expect(await cli(0, 'INFO', 'replication')).toMatch(/^role:master\r?$/m);
});
