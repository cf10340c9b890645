import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import type { TestSequencer, TestSpecification } from 'vitest/node';

// Every worker inherits it, and so do the hundreds of programs of ours that the tests start: each is compiled once.
// Tests must leave nothing in the keyring of anyone who runs them. Those about keyrings have one of their own.
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
 * One project a kind of proof (CONTRIBUTING.md#what-a-good-test-is-here). What starts browsers and whole demos has four files beside each
 * other: with fewer a core is idle while they wait. Each worker loads the sources once: to load them for each file took a tenth of the
 * processor's time. So a file leaves nothing behind: no mock, no clock, no environment.
 */
const beside = {
  ...patient,
  isolate: false,
  maxWorkers: 4,
  sequence: { groupOrder: 2 },
};

/** These wait for more than half of their time, also when they have a core: two cores have room for five. Browsers and demos compute more. */
const requests = { ...beside, maxWorkers: 5, sequence: { groupOrder: 3 } };

/**
 * These mostly wait: for leases to run out, for processes, and for a store that is asked hundreds of times what it answers within the 250 ms that a
 * replica has. They come before the others, beside what is pure and the models: these take what is left of the cores, because they have a low
 * priority.
 */
const waiting = { ...patient, maxWorkers: 4, sequence: { groupOrder: 1 } };

const LOW_PRIORITY = fileURLToPath(new URL('test/support/low-priority.ts', import.meta.url));

/**
 * These ask a store hundreds of times what it answers, each time with the 250 ms that a replica has; on a busy machine one is missed. Nothing else
 * is tried again.
 */
const slowStore = { count: 2, condition: /^Portcullis cannot reach its store/ };

/**
 * The order in a group. What takes half a minute or more begins first, so that none is alone at the end; and a kind is not interrupted by another,
 * because a worker that goes from one project to another is a new process, which loads the sources again.
 */
const ORDER: readonly RegExp[] = [
  /\/chaos\/(?:replicas|grants)\./,
  /\/model\//,
  /\/conformance\/redis-(?:chart|chart-stale|sentinel)\./,
  /\/chaos\//,
  /\/conformance\//,
  /\/unit\//,
  /\/security\/(?:cross-site|canary|cost)\./,
  /\/security\//,
  /\/e2e\/(?:pages|tour|lessons|providers|long-lived|pages-live|django-provider|local-proxy|workload|client-node|completion|access|kubectl-commands|step-up)\./,
  /\/e2e\//,
  /\/integration\/(?:versions-rolling|unbound|rotation|cli|cli-front|docs-install|audit-write-ahead|versions-store|cli\/admin)\./,
  /\/integration\//,
];

/** Projects find their files in any order. */
class LongOnesFirst implements TestSequencer {
  readonly shard = (files: TestSpecification[]): TestSpecification[] => files;
  readonly sort = (files: TestSpecification[]): TestSpecification[] => files.toSorted(byOrder);
}

const rank = ({ moduleId }: TestSpecification): number => ORDER.findIndex((pattern) => pattern.test(moduleId));

const byOrder = (one: TestSpecification, other: TestSpecification): number =>
  rank(one) - rank(other) ||
  one.project.name.localeCompare(other.project.name) ||
  one.moduleId.localeCompare(other.moduleId);

/**
 * On Valkey in each run too: what a store has to do, what a failover may lose, and the scenarios whose result the server decides: whether it still has
 * its data after a restart, and under which run id; how it trims a stream; whether scripts of many connections run one after another, with the threads
 * that Valkey has for them. The other scenarios are about replicas, leases and clocks, which are ours: they run on Redis alone, and on any server by
 * `PORTCULLIS_TEST_STORE=… vitest run --project chaos`.
 */
const onValkey = { env: { PORTCULLIS_TEST_STORE: 'valkey-server' } };

/** Builds the command line that these start. */
const withProgram = { globalSetup: [fileURLToPath(new URL('test/support/built-program.ts', import.meta.url))] };

const files = (kind: string) => ({ name: kind, include: [`test/${kind}/**/*.test.ts`] });

export default defineConfig({
  test: {
    sequence: { sequencer: LongOnesFirst },
    projects: [
      // What is pure leaves nothing behind: files share a process, which loads everything once.
      { test: { ...files('unit'), ...waiting, setupFiles: [...patient.setupFiles, LOW_PRIORITY], isolate: false } },
      { test: { ...files('chaos'), ...waiting, maxConcurrency: 2 } },
      // A search takes half a minute of a core, which it may have to share with thirty other programs.
      { test: { ...files('model'), ...waiting, testTimeout: 900_000 } },
      { test: { ...files('e2e'), ...beside, ...withProgram, testTimeout: 180_000 } },
      { test: { ...files('conformance'), ...waiting, isolate: false, retry: slowStore } },
      {
        test: {
          ...onValkey,
          name: 'valkey',
          include: ['test/conformance/redis-*.test.ts'],
          ...waiting,
          isolate: false,
          retry: slowStore,
        },
      },
      { test: { ...onValkey, name: 'valkey-chaos', include: ['test/chaos/{failover,store}.test.ts'], ...waiting } },
      { test: { ...files('security'), ...beside } },
      { test: { ...files('integration'), ...requests, ...withProgram } },
    ],
  },
});
