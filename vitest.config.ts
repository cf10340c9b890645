import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Every worker inherits it, and so do the hundreds of programs of ours that the tests start: each is compiled once.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url));

/** What is waited for comes at once on an idle machine, and late on a busy one. */
const patient = { expect: { poll: { timeout: 20_000 } } };

/**
 * One project a kind of proof (DESIGN 14), and one kind after another. The files of those that start servers, processes and browsers mostly
 * wait, so two run beside each other; more of them would make a store that must answer in 250 ms miss that. Alone run those that keep two cores
 * busy by themselves (browsers, thirty kubectls), and those that count on times (Sentinel, leases).
 */
const beside = (groupOrder: number, maxWorkers: number) => ({
  ...patient,
  maxWorkers,
  testTimeout: 60_000,
  hookTimeout: 120_000,
  sequence: { groupOrder },
});

export default defineConfig({
  test: {
    projects: [
      { test: { ...patient, name: 'unit', include: ['test/unit/**/*.test.ts'], sequence: { groupOrder: 1 } } },
      { test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], ...beside(2, 1) } },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...beside(3, 2) } },
      { test: { name: 'security', include: ['test/security/**/*.test.ts'], ...beside(4, 2) } },
      {
        test: {
          name: 'chaos',
          include: ['test/chaos/**/*.test.ts'],
          ...beside(5, 1),
          testTimeout: 120_000,
          // Each scenario is mostly waiting: for leases to run out, and for processes.
          maxConcurrency: 3,
        },
      },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...beside(6, 1), testTimeout: 180_000 } },
      { test: { name: 'model', include: ['test/model/**/*.test.ts'], ...beside(7, 1), testTimeout: 180_000 } },
    ],
  },
});
