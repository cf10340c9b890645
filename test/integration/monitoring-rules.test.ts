import { execFile } from 'node:child_process';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { alertCases, ruleTestFiles, RULES_FILE } from '../support/deployed.ts';

const promtool = async (...args: string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)('promtool', args);
  return stdout;
};

it('accepts every rule', async () => {
  expect(await promtool('check', 'rules', RULES_FILE)).toMatch(/SUCCESS: \d+ rules found/);
});

it.each(ruleTestFiles().map((file) => ({ file, name: basename(file) })))(
  'fires each alert when it should, and only then: $name',
  async ({ file }) => {
    expect(await promtool('test', 'rules', file)).toContain('SUCCESS');
  },
);

it('has cases of both kinds', () => {
  expect(alertCases().filter(({ fires }) => fires).length).toBeGreaterThan(20);
  expect(alertCases().filter(({ fires }) => !fires).length).toBeGreaterThan(20);
});
