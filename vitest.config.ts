import { defineConfig } from 'vitest/config';

/** One project a kind of proof (DESIGN 14). The kinds that start servers and browsers run their files one after another. */
const serial = (groupOrder: number) => ({
  fileParallelism: false,
  testTimeout: 60_000,
  hookTimeout: 120_000,
  // One kind after another too: a browser that starts beside it makes a store that must answer in 250 ms miss that.
  sequence: { groupOrder },
});

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], sequence: { groupOrder: 1 } } },
      { test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], ...serial(2) } },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...serial(3) } },
      { test: { name: 'security', include: ['test/security/**/*.test.ts'], ...serial(4) } },
      {
        test: {
          name: 'chaos',
          include: ['test/chaos/**/*.test.ts'],
          ...serial(5),
          testTimeout: 120_000,
          // Each scenario is mostly waiting: for leases to run out, and for processes.
          maxConcurrency: 3,
        },
      },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...serial(6), testTimeout: 180_000 } },
      { test: { name: 'model', include: ['test/model/**/*.test.ts'], ...serial(7), testTimeout: 180_000 } },
    ],
  },
});
