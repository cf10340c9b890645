import { describe, expect, it } from 'vitest';
import { createHealth, type HealthProbe } from '../../../src/server/health.ts';
import type { Health } from '../../../src/contracts/health.ts';

const NOW = Date.parse('2026-11-25T12:00:00Z');

class Stage {
  elapsedMs = 0;
  readonly onProbed: string[] = [];
  readonly health: Health;

  constructor(probes: {
    readonly clusters?: Record<string, HealthProbe>;
    readonly providers?: Record<string, HealthProbe>;
  }) {
    this.health = createHealth({
      clusters: new Map(Object.entries(probes.clusters ?? {})),
      providers: new Map(Object.entries(probes.providers ?? {})),
      clock: { nowMs: () => NOW + this.elapsedMs },
      monotonicMs: () => this.elapsedMs,
      onProbed: (kind, name, up) => void this.onProbed.push(`${kind} ${name} ${up ? 'up' : 'down'}`),
    });
  }
}

const well: HealthProbe = async () => undefined;
const ill: HealthProbe = async () => 'It answered 500.';

describe('health', () => {
  it('asks no one before someone wants to know', () => {
    expect(new Stage({ clusters: { prod: well } }).onProbed).toEqual([]);
  });

  it('says of each component how it is, in the order of the configuration', async () => {
    const stage = new Stage({ clusters: { prod: ill, dev: well }, providers: { corp: well } });
    const checkedAt = NOW / 1000;
    expect(await stage.health.clusters()).toEqual([
      { name: 'prod', state: 'down', checkedAt, problem: 'It answered 500.' },
      { name: 'dev', state: 'up', checkedAt, ms: 0 },
    ]);
    expect(await stage.health.providers()).toEqual([{ name: 'corp', state: 'up', checkedAt, ms: 0 }]);
    expect(stage.onProbed.toSorted()).toEqual(['cluster dev up', 'cluster prod down', 'provider corp up']);
  });

  it('lets a look stand for ten seconds from its end', async () => {
    const answers = [undefined, 'It answered 500.'];
    const stage = new Stage({
      clusters: {
        prod: async () => {
          stage.elapsedMs += 2000;
          return answers.shift();
        },
      },
    });
    const [first] = await stage.health.clusters();
    expect(first).toMatchObject({ state: 'up', ms: 2000, checkedAt: NOW / 1000 + 2 });
    stage.elapsedMs += 9999;
    expect(await stage.health.clusters()).toEqual([first]);
    stage.elapsedMs += 1;
    expect(await stage.health.clusters()).toMatchObject([{ state: 'down', problem: 'It answered 500.' }]);
  });

  it('makes one look for all who ask while it is under way, however long that is', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const stage = new Stage({ clusters: { prod: () => promise } });
    const asked = [stage.health.clusters()];
    stage.elapsedMs += 60_000;
    asked.push(stage.health.clusters());
    resolve(undefined);
    const [first, second] = await Promise.all(asked);
    expect(second).toBe(first);
    expect(stage.onProbed).toEqual(['cluster prod up']);
  });

  it('never rejects, and quotes no error', async () => {
    const stage = new Stage({ providers: { corp: () => Promise.reject(new Error('secret at 10.0.0.1')), lab: well } });
    const results = await stage.health.providers();
    expect(results).toMatchObject([
      { name: 'corp', state: 'down' },
      { name: 'lab', state: 'up' },
    ]);
    expect(JSON.stringify(results)).not.toMatch(/secret|10\.0/);
  });
});
