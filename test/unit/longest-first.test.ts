import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { SECONDS } from '../support/longest-first.ts';

it.each(Object.keys(SECONDS))('the file that is begun early is there: %s', (name) => {
  expect(existsSync(fileURLToPath(new URL(`../${name}.test.ts`, import.meta.url)))).toBe(true);
});
