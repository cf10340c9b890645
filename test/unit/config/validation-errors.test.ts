import { expect, test } from 'vitest';
import { formatErrors } from '../../../src/config/load.ts';

test('errors are formatted one a line, in the order of the file', async () => {
  const text = formatErrors([
    { path: 'b', expected: 'x', line: 9 },
    { path: 'a', expected: 'y', got: '"z"', line: 2 },
    { path: '', expected: 'a configuration' },
  ]);
  expect(text).toBe(
    'The configuration has 3 errors:\n  - a configuration\n  - a (line 2): y, got "z"\n  - b (line 9): x',
  );
});
