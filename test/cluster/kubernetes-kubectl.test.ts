/** Kubernetes' own kubectl suite, straight at an API server and through two replicas: what passes directly has to pass through. */
import { expect, it } from 'vitest';
import { runBothWays } from './suites/both-ways.ts';
import { BETWEEN, runTestCmd } from './suites/test-cmd.ts';

const HOURS = 4 * 3600 * 1000;

it(
  'kubectl’s own suite: what passes straight at an API server passes through two replicas',
  async () => {
    const { compared, broken, unused } = await runBothWays('test-cmd', runTestCmd);
    // One that ends early fails both ways.
    expect(compared.get(BETWEEN)).toBe('both');
    expect({ broken, unused }).toEqual({ broken: [], unused: [] });
  },
  HOURS,
);
