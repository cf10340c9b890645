import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { givenSource } from './suites/source.ts';

/** They take sources that are given (needs-assets.ts says so where none are). */
const KUBERNETES_OWN = 'test/cluster/kubernetes-*.test.ts';

/** `npm run test:cluster`: manually before a release, never part of `npm test`, because its two programs cannot be installed from here. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    name: 'cluster',
    include: ['test/cluster/**/*.test.ts'],
    exclude: givenSource() === undefined ? [KUBERNETES_OWN] : [],
    globalSetup: ['test/cluster/needs-assets.ts'],
    fileParallelism: false,
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
});
