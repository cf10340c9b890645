import { describe, expect, test } from 'vitest';
import type { LoadedConfig } from '../../../src/config/load.ts';
import { loaded, settings } from './sandbox.ts';

const sentences = ({ warnings }: LoadedConfig): readonly string[] => warnings.map(({ message }) => message);

describe('warnings', () => {
  const warnings = async (change: object) => {
    const base = settings();
    base.store = { redis: { url: 'rediss://redis.example.com' } };
    Object.assign(base.providers[0] ?? {}, change);
    return sentences(await loaded(base));
  };
  test('are not given for a sound configuration', async () => {
    expect(await warnings({})).toEqual([]);
  });
  test('name an empty prefix that is written out', async () => {
    expect(await warnings({ usernamePrefix: '', groupsPrefix: '' })).toEqual([
      expect.stringContaining('providers[0].usernamePrefix is empty'),
      expect.stringContaining('providers[0].groupsPrefix is empty'),
    ]);
  });
  test('name an address that is trusted without proof, where it is the name', async () => {
    expect(await warnings({ emailVerified: 'trusted' })).toEqual([expect.stringContaining('emailVerified is trusted')]);
    expect(await warnings({ emailVerified: 'trusted', username: 'claims.sub' })).toEqual([]);
  });
  test('name an extra key that no cluster passes on', async () => {
    expect(await warnings({ extra: { 'example.com/a': 'claims.a' } })).toEqual([
      expect.stringContaining('example.com/a'),
    ]);
  });
  test('name two providers that can make each other’s names', async () => {
    const base = settings();
    base.providers.push({ ...base.providers[0], name: 'other', usernamePrefix: 'corp:x-' });
    expect(sentences(await loaded(base)).join()).toContain('begin alike');
  });
  test('name Redis without TLS and the memory store', async () => {
    const base = settings();
    expect(sentences(await loaded(base)).join()).toContain('one replica');
    base.store = { redis: { url: 'redis://redis.example.com' } };
    expect(sentences(await loaded(base)).join()).toContain('not rediss');
    base.store = { redis: { url: 'redis://localhost:6379' } };
    expect(sentences(await loaded(base))).toEqual([]);
  });
});
