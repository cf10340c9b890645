import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { formatVerdict, judgeClaims } from '../../../../src/commands/claims-check.ts';
import { availableFunctions, celValue, compileExpression } from '../../../../src/core/cel/expressions.ts';
import { loaded, settings, temporaryDirectory, writeFiles } from '../../config/sandbox.ts';

const page = readFileSync(join(import.meta.dirname, '../../../../docs/claims.md'), 'utf8');

const section = (title: string): string => page.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';
/** The entries of a section's list, each on one line. */
const itemsOf = (title: string): readonly string[] =>
  section(title)
    .replaceAll(/\n +/g, ' ')
    .split('\n')
    .filter((line) => line.startsWith('- **'));

async function configuration() {
  const directory = temporaryDirectory();
  writeFiles(directory, { 'oidc/client-secret': 'secret' });
  const yaml = /```yaml\n(.*?)```/s.exec(page)?.[1]?.replaceAll('/etc/portcullis', directory) ?? '';
  const clusters = settings().clusters.map((cluster) => ({ ...cluster, name: 'staging' }));
  return loaded({ ...settings(), clusters, ...parse(yaml) });
}

describe('docs/claims.md', () => {
  test('has every function that an expression may call, and no other', () => {
    const listed = section('Functions').split('\n\n')[0] ?? '';
    const named = [...listed.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
    // An operator, and no function.
    expect(new Set(named.filter((name) => name !== 'in'))).toEqual(availableFunctions());
  });

  const mappings = itemsOf('Common mappings').map((item) => {
    const [, title = item, expression = '', claims = '', result = ''] =
      /^- \*\*(.+?)\*\*: `([^`]+)` turns `([^`]+)` into `([^`]+)`\.$/.exec(item) ?? [];
    return { title, expression, claims, result };
  });

  test('has mappings to try', () => {
    expect(mappings.length).toBeGreaterThan(10);
  });

  test.each(mappings)('maps as it says: $title, by $expression', ({ expression, claims, result }) => {
    const expected: unknown = JSON.parse(result);
    const produces = typeof expected === 'boolean' ? 'bool' : typeof expected === 'string' ? 'string' : 'strings';
    const compiled = compileExpression('claims', expression, produces);
    const outcome = compiled.ok ? compiled.value.evaluate(celValue(JSON.parse(claims)), { left: 10_000 }) : compiled;
    expect(outcome).toEqual({ kind: 'value', value: expected });
  });

  test('shows a configuration that loads without a warning about its provider', async () => {
    const { config, warnings } = await configuration();
    expect(config.providers.map(({ name }) => name)).toEqual(['corp']);
    expect(warnings.filter(({ setting }) => setting.startsWith('providers['))).toEqual([]);
  });

  test('shows what the command prints', async () => {
    const { config } = await configuration();
    const alice = {
      sub: '4711',
      email: 'alice@example.com',
      email_verified: true,
      hd: 'example.com',
      groups: ['developers'],
      department: 'shop',
    };
    for (const claims of [alice, { ...alice, hd: 'other.example' }]) {
      const verdict = judgeClaims(config, undefined, claims);
      if (!verdict.ok) throw new Error(verdict.reason);
      expect(page).toContain(`\`\`\`\n${formatVerdict(verdict.value)}\n\`\`\``);
    }
  });
});
