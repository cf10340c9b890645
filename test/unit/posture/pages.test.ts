import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { POSTURE_PAGES, postureIndex, REGENERATE_POSTURE, withHead } from '../../../scripts/posture-reference.ts';
import { RULES } from '../../../src/posture/rules/rules.ts';
import { parseWaivers } from '../../../src/posture/rules/waivers.ts';

const page = (name: string): string => readFileSync(`${POSTURE_PAGES}${name}`, 'utf8');

describe('the pages of the rules', () => {
  test('have an index that is what the catalogue says', () => {
    expect(page('README.md') === postureIndex(), `docs/posture is out of date: ${REGENERATE_POSTURE}`).toBe(true);
  });

  test.each(RULES)('are there, with the head that the catalogue has: $id', (rule) => {
    const text = page(`${rule.id}.md`);
    expect(text === withHead(rule, text), `docs/posture is out of date: ${REGENERATE_POSTURE}`).toBe(true);
    expect(text).toContain('\n## What is found\n');
    expect(text).toContain('\n## When to waive it\n');
  });

  test('are one for each rule and no other', () => {
    expect(readdirSync(POSTURE_PAGES).toSorted()).toEqual(
      ['README.md', ...RULES.map(({ id }) => `${id}.md`)].toSorted(),
    );
  });
});

describe('the guide', () => {
  test('shows waivers that can be used', () => {
    const guide = page('../posture.md');
    const [, example = ''] = /```yaml\n([^]*?)```/.exec(guide) ?? [];
    expect(parseWaivers(parse(example))).toHaveProperty('waivers', expect.arrayContaining([expect.anything()]));
  });
});
