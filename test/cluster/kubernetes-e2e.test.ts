/** Kubernetes' own end-to-end tests, straight at an API server and through two replicas: what passes directly has to pass through. */
import { expect, it } from 'vitest';
import { runBothWays } from './suites/both-ways.ts';
import { runE2e } from './suites/e2e.ts';

const HOURS = 4 * 3600 * 1000;

it(
  'Kubernetes’ own end-to-end tests: what passes straight at an API server passes through two replicas',
  async () => {
    const { compared, broken, unused } = await runBothWays('e2e', runE2e);
    // A suite that does not even start fails both ways.
    expect([...compared.values()]).toContain('both');
    expect({ broken, unused }).toEqual({ broken: [], unused: [] });
  },
  HOURS,
);
