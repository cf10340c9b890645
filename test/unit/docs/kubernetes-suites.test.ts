import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMPATIBILITY, REGENERATE_SUITES, suitesTable, withTable } from '../../../scripts/kubernetes-suites.ts';
import { compare, judge, type Exception } from '../../cluster/suites/comparison.ts';

describe('Kubernetes’ own suites', () => {
  it('are in the page about compatibility as they last ran', async () => {
    const page = readFileSync(COMPATIBILITY, 'utf8');
    expect(page === withTable(page, await suitesTable()), `out of date: ${REGENERATE_SUITES}`).toBe(true);
  });

  it('take what did not run through the proxy for broken, and an exception only as far as it goes', () => {
    const direct = { passes: true, fails: false, excepted: true, 'did not run': true, breaks: true, late: false };
    const through = { passes: true, fails: false, excepted: false, breaks: false, late: true };
    const compared = compare([direct, through].map((outcome) => new Map(Object.entries(outcome))));
    expect(Object.fromEntries(compared)).toEqual({
      passes: 'both',
      fails: 'neither',
      excepted: 'directly',
      'did not run': 'directly',
      breaks: 'directly',
      late: 'through',
    });
    const exception = (name: string, passes: Exception['passes']): Exception => ({
      suite: 'e2e',
      name,
      passes,
      reason: '',
    });
    const exceptions = [
      exception('excepted', 'directly'),
      exception('breaks', 'neither'),
      exception('passes', 'directly'),
      exception('not chosen this time', 'directly'),
    ];
    expect(judge(compared, exceptions)).toEqual({ broken: ['breaks', 'did not run'], unused: ['passes'] });
  });
});
