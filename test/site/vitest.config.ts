import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** `npm run docs:check`: beside `npm test`, because the generator has packages of its own and a build takes a quarter of a minute. */
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: { name: 'site', include: ['test/site/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 300_000 },
});
