import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  CHART_FILES,
  CHART_SCHEMA,
  CHART_YAML,
  chartFiles,
  chartIcon,
  chartSchema,
} from '../../../scripts/chart-files.ts';

const files = chartFiles();

it.each([...files])(
  'the chart’s copy of %s is what it is a copy of (else: node scripts/chart-files.ts)',
  (path, text) => {
    expect(existsSync(join(CHART_FILES, path))).toBe(true);
    expect(readFileSync(join(CHART_FILES, path), 'utf8')).toBe(text);
  },
);

it('has no file that is a copy of nothing', () => {
  const there = readdirSync(CHART_FILES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(CHART_FILES.length));
  expect(there.toSorted()).toEqual([...files.keys()].toSorted());
});

it('shows the icon of the pages (else: node scripts/chart-files.ts)', () => {
  expect(readFileSync(CHART_YAML, 'utf8').split('\n')).toContain(chartIcon());
});

it('takes of the configuration’s values what the configuration takes (else: node scripts/chart-files.ts)', () => {
  expect(readFileSync(CHART_SCHEMA, 'utf8')).toBe(chartSchema());
});

it('lets the user of Redis do nothing that belongs to an administrator', () => {
  const commands = files.get('redis-commands') ?? '';
  expect(commands).toContain('+eval');
  expect(commands).not.toMatch(/\+@|\+(flushall|flushdb|config|keys|shutdown|acl|replicaof|debug|module|script)\b/);
});
