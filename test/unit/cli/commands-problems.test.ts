import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { nextStepFor } from '../../../src/cli/http/admin-problems.ts';

/** Errors that are complete in the server's own messages: no user of a command can cause them, or fix them. */
const WITHOUT = [
  'revocation_not_found',
  'drill_refused',
  'method_not_allowed',
  'csrf_failed',
  'too_many_tails',
  'too_many_requests',
];

test('every problem of the admin API that a user can fix has a next command', () => {
  const source = readFileSync(
    fileURLToPath(new URL('../../../src/services/admin/problem.ts', import.meta.url)),
    'utf8',
  );
  const union = /export type AdminProblem =([^;]*);/.exec(source)?.[1] ?? '';
  const codes = [...union.matchAll(/'([a-z_]+)'/g)].map(([, code]) => code ?? '');
  expect(codes).toContain('lock_not_found');
  expect(codes.filter((code) => nextStepFor(code) === undefined && !WITHOUT.includes(code))).toEqual([]);
});
