import { expect, test } from 'vitest';
import { REJECTIONS } from '../../../src/services/access/rejections.ts';
import { readPage } from '../docs/markdown.ts';

test('the reference has every reason of a rejection, with its status', () => {
  const rows = [...readPage('docs/reference/access-api.md').matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)];
  const documented = Object.fromEntries(rows.map(([, code = '', status]) => [code, Number(status)]));
  expect(documented).toMatchObject(REJECTIONS);
});
