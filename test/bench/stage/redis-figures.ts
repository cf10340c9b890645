/** What a redis-server holds and does, by its own figures. */
import type { Redis } from 'ioredis';
import { cpuMicroseconds } from '../../support/cpu-time.ts';

export interface RedisFigures {
  /** `used_memory`: all that its allocator has given out. */
  readonly bytes: number;
  /** Requests of clients: scripts above all. Commands within scripts are not counted. */
  readonly requests: number;
  readonly cpuMicroseconds: number;
  /** On the clock of `performance`. */
  readonly atMs: number;
}

export async function redisFigures(bare: Redis, pid: number): Promise<RedisFigures> {
  const [memory, stats] = [await bare.info('memory'), await bare.info('commandstats')];
  const calls = [...stats.matchAll(/^cmdstat_(eval|evalsha|wait|publish|subscribe|ping):calls=(\d+)/gm)];
  return {
    bytes: Number(/^used_memory:(\d+)/m.exec(memory)?.[1]),
    requests: calls.reduce((sum, [, , count]) => sum + Number(count), 0),
    cpuMicroseconds: cpuMicroseconds(pid),
    atMs: performance.now(),
  };
}

export interface KeyFamily {
  readonly count: number;
  readonly bytes: number;
}

/** What a session id, a digest or a number makes of a name is left out: `session:*`, `artefact:Grant:*`, `log`. */
const familyOf = (key: string): string =>
  key
    .replace(/^\{[^}]+\}:/, '')
    .replace(/:[\w-]{22,}$/, ':*')
    .replace(/^(pending:\w+):.+$/, '$1:*');

/**
 * Groups all keys by what they hold, with the bytes that Redis gives for each.
 * @param lastingSeconds keys that Redis drops sooner are left out
 */
export async function keyFamilies(bare: Redis, lastingSeconds = 0): Promise<ReadonlyMap<string, KeyFamily>> {
  const families = new Map<string, KeyFamily>();
  for await (const keys of bare.scanStream({ count: 500 }) as AsyncIterable<string[]>) {
    const asked = bare.pipeline();
    for (const key of keys) asked.ttl(key).memory('USAGE', key, 'SAMPLES', 0);
    const answers = (await asked.exec()) ?? [];
    for (const [index, key] of keys.entries()) {
      const [ttl, bytes] = [Number(answers[2 * index]?.[1]), Number(answers[2 * index + 1]?.[1])];
      if (ttl >= 0 && ttl < lastingSeconds) continue;
      const { count, bytes: before } = families.get(familyOf(key)) ?? { count: 0, bytes: 0 };
      families.set(familyOf(key), { count: count + 1, bytes: before + bytes });
    }
  }
  return families;
}
