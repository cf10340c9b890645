/**
 * Stores as cloud providers have them, which hide or refuse what they like. The store serves nothing where it could not
 * notice a forgotten revocation.
 */
import { expect, it, onTestFinished, vi } from 'vitest';

import type { Store } from '../../src/store/store.ts';
import { startRewriter, type Replacement } from '../support/redis-rewriter.ts';
import { workbench, type Workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

/** No cloud provider lets its customers use these. */
const MANAGED = ['--rename-command', 'CONFIG', '', '--rename-command', 'DEBUG', ''];

const INFO_IN_SCRIPTS = "redis.call('INFO', 'server', 'replication')";

async function hiding(bench: Workbench, replacements: readonly Replacement[]): Promise<string> {
  const rewriter = await startRewriter(bench.redis, replacements);
  onTestFinished(() => rewriter[Symbol.asyncDispose]());
  return rewriter.url;
}

it('works without CONFIG and DEBUG', async () => {
  await using bench = await workbench(MANAGED);
  await bench.store();
});

it.each<[string, readonly Replacement[], string]>([
  ['run id', [['run_id:', 'xxx_id:']], 'redis_unidentified'],
  ['replication id', [['master_replid:', 'xxxxxx_replid:']], 'redis_unidentified'],
  [
    'run id behind zeros',
    [[INFO_IN_SCRIPTS, "'run_id:0000 master_replid:1234'".padEnd(INFO_IN_SCRIPTS.length)]],
    'redis_unidentified',
  ],
  ['mode', [['redis_mode:', 'xxxxx_mode:']], 'redis_incomplete'],
  ['eviction policy', [['maxmemory_policy:', 'xxxxxxxxx_policy:']], 'redis_incomplete'],
  ['version', [['redis_version:', 'xxxxx_version:']], 'redis_too_old'],
])('serves nothing from a store that hides its %s', async (_what, replacements, reason) => {
  await using bench = await workbench(MANAGED);
  const url = await hiding(bench, replacements);
  const store = bench.unconnected({ settings: { url } });
  await vi.waitFor(() => expect(store.log.position()).rejects.toMatchObject({ reason }), 10_000);
  expect(await store.log.join(300).catch(reasonOf)).toBe(reason);
  expect(await bench.bare.keys('*')).toEqual([]);
});

const saveInteraction = (store: Store): Promise<unknown> =>
  store.artefacts.save('Interaction', 'a', {}, { ttlSeconds: 60 }).then(() => 'saved', reasonOf);

it('lets no user sign in where scripts do not see the limit of memory', async () => {
  await using bench = await workbench(MANAGED);
  const url = await hiding(bench, [['maxmemory:', 'xxxxxxxxx:']]);
  expect(await saveInteraction(await bench.store({ settings: { url } }))).toBe('redis_error');
});
