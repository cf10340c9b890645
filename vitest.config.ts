import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import type { TestSequencer, TestSpecification } from 'vitest/node';

// Every worker inherits it, and so do the hundreds of programs of ours that the tests start: each is compiled once.
// Tests must leave nothing in the keyring of whoever runs them. Those about keyrings have one of their own.
process.env['PORTCULLIS_CREDENTIAL_STORE'] = 'file';
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url));

/** What is waited for comes at once on an idle machine, and late on a busy one. */
const patient = {
  expect: { poll: { timeout: 20_000 } },
  setupFiles: [fileURLToPath(new URL('test/support/patience.ts', import.meta.url))],
  testTimeout: 120_000,
  hookTimeout: 120_000,
};

/**
 * One project a kind of proof (CONTRIBUTING.md#what-a-good-test-is-here). What starts servers, processes and browsers comes last, four files beside
 * each other: with fewer a core is idle while they wait. Each worker loads the sources once: to load them for each file took a tenth of the
 * processor's time. So a file leaves nothing behind: no mock, no clock, no environment.
 */
const beside = {
  ...patient,
  isolate: false,
  maxWorkers: 4,
  sequence: { groupOrder: 2 },
};

/**
 * These ask a store what it answers within the 250 ms that a replica has, hundreds of times a second. They come before the others and fewer at
 * once, beside what is pure and the models: these take what is left of the cores, because they have a low priority.
 */
const demanding = { ...patient, maxWorkers: 3, sequence: { groupOrder: 1 } };

const LOW_PRIORITY = fileURLToPath(new URL('test/support/low-priority.ts', import.meta.url));

/**
 * These ask a store hundreds of times what it answers, each time with the 250 ms that a replica has; on a busy machine one is missed. Nothing else
 * is tried again.
 */
const slowStore = { count: 2, condition: /^Portcullis cannot reach its store/ };

/** These take half a minute or more, and some would come last, when the other workers have nothing left to do. */
const LONG =
  /\/(?:security\/(?:cross-site|canary)|integration\/(?:versions-rolling|unbound|rotation)|chaos\/(?:replicas|grants)|model\/model)\.test\.ts$/;

/** By group, the long ones first. */
class LongOnesFirst implements TestSequencer {
  readonly shard = (files: TestSpecification[]): TestSpecification[] => files;
  readonly sort = (files: TestSpecification[]): TestSpecification[] => files.toSorted((a, b) => rank(a) - rank(b));
}

const rank = ({ moduleId, project }: TestSpecification): number =>
  4 * project.config.sequence.groupOrder + (project.name === 'unit' ? 2 : 0) + (LONG.test(moduleId) ? 0 : 1);

/**
 * On Valkey in each run too: what a store has to do, what a failover may lose, and the scenarios whose result the server decides: whether it still has
 * its data after a restart, and under which run id; how it trims a stream; whether scripts of many connections run one after another, with the threads
 * that Valkey has for them. The other scenarios are about replicas, leases and clocks, which are ours: they run on Redis alone, and on any server by
 * `PORTCULLIS_TEST_STORE=… vitest run --project chaos`.
 */
const onValkey = { env: { PORTCULLIS_TEST_STORE: 'valkey-server' } };

const files = (kind: string) => ({ name: kind, include: [`test/${kind}/**/*.test.ts`] });

export default defineConfig({
  test: {
    sequence: { sequencer: LongOnesFirst },
    projects: [
      // What is pure leaves nothing behind: files share a process, which loads everything once.
      { test: { ...files('unit'), ...demanding, setupFiles: [...patient.setupFiles, LOW_PRIORITY], isolate: false } },
      // Each scenario is mostly waiting: for leases to run out, and for processes.
      { test: { ...files('chaos'), ...demanding, maxConcurrency: 2 } },
      { test: { ...files('model'), ...demanding, testTimeout: 180_000 } },
      { test: { ...files('e2e'), ...beside, testTimeout: 180_000 } },
      { test: { ...files('conformance'), ...beside, retry: slowStore } },
      {
        test: {
          ...onValkey,
          name: 'valkey',
          include: ['test/conformance/redis-*.test.ts'],
          ...beside,
          retry: slowStore,
        },
      },
      { test: { ...onValkey, name: 'valkey-chaos', include: ['test/chaos/{failover,store}.test.ts'], ...demanding } },
      { test: { ...files('security'), ...beside } },
      { test: { ...files('integration'), ...beside } },
    ],
  },
});
