import { expect, test } from 'vitest';
import { nextStepFor } from '../../../src/cli/http/admin-problems.ts';
import { ADMIN_PROBLEMS } from '../../../src/core/api/admin-problems.ts';
import { ERROR_CODES } from '../../../src/core/errors.ts';

/** Errors that are complete in the server's own messages: no user of a command can cause them, or fix them. */
const WITHOUT = new Set<string>([
  ...ERROR_CODES,
  'revocation_not_found',
  'drill_refused',
  'method_not_allowed',
  'csrf_failed',
  'too_many_tails',
  'too_many_requests',
]);

test('every problem of the admin API that a user can fix has a next command', () => {
  const codes = Object.keys(ADMIN_PROBLEMS);
  expect(codes).toContain('lock_not_found');
  expect(codes.filter((code) => nextStepFor(code) === undefined && !WITHOUT.has(code))).toEqual([]);
});
