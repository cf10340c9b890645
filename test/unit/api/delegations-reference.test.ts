import { expect, test } from 'vitest';
import { MOST_COMPARISONS } from '../../../src/core/delegation/beyond.ts';
import { REJECTIONS } from '../../../src/services/delegation/rejections.ts';
import { readPage } from '../docs/markdown.ts';

test('the reference has every reason why no session is made, with its status', () => {
  const rows = [...readPage('docs/reference/delegations-api.md').matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)];
  const documented = Object.fromEntries(rows.map(([, code = '', status]) => [code, Number(status)]));
  expect(documented).toMatchObject(REJECTIONS);
});

test('the reference has what an order may cost', () => {
  expect(readPage('docs/reference/delegations-api.md')).toContain(
    `${MOST_COMPARISONS.toLocaleString('en')} comparisons`,
  );
});
