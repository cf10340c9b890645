/** Every error in a request is in texts of our own and names its field: all bodies and queries of the admin API, field by field. */
import { z } from 'zod';
import { describe, expect, test } from 'vitest';
import { checked } from '../../../../src/core/api/issues.ts';
import { ADMIN_API } from '../../../../src/core/api/admin-operations.ts';
import { operationsOf } from '../../../../src/core/api/operation.ts';

/** What zod says of an issue that has no message of ours. */
const LIBRARY =
  /\bexpected |, received|\binvalid (?:input|string|option|iso)|unrecognized|too (?:small|big)|[<>]=|undefined|NaN|\/\^/i;

const WRONG: readonly unknown[] = [
  undefined,
  '',
  ' ',
  'x y',
  'x'.repeat(10_000),
  '%',
  -1,
  1e9,
  true,
  false,
  null,
  [],
  {},
  ['x'],
];

const bodies: Readonly<Record<string, z.ZodType>> = ADMIN_API.schemas;

const schemas: readonly (readonly [string, z.ZodObject])[] = operationsOf(ADMIN_API).flatMap(
  ([name, { body, query }]) =>
    [body === undefined ? undefined : bodies[body], query]
      .filter((schema) => schema instanceof z.ZodObject)
      .map((schema) => [name, schema] as const),
);

describe('every error in a request names its field in texts of our own', () => {
  test.each(schemas)('%s', (_name, schema) => {
    const fields = Object.keys(schema.shape);
    expect(fields.length).toBeGreaterThan(0);
    for (const field of fields) {
      for (const wrong of WRONG) {
        const value = { reason: 'x', [field]: wrong };
        const result = checked(schema, value);
        if (result.ok) continue;
        expect(result.reason, JSON.stringify(value).slice(0, 100)).not.toMatch(LIBRARY);
        // A rule across the fields names them itself.
        const issues = schema.safeParse(value).error?.issues ?? [];
        const named = issues.filter(({ path }) => path[0] === field).map(() => `${field}: `);
        expect(named.filter((name) => !result.reason.includes(name))).toEqual([]);
      }
    }
    for (const wrong of [null, [], 'x', 5])
      expect(checked(schema, wrong)).toEqual({ ok: false, reason: 'must be a JSON object' });
    expect(checked(schema, { 'no\u202esuch': 'canary' })).toMatchObject({
      reason: expect.stringContaining('there is no field “nosuch”'),
    });
  });

  test('values are not repeated, and a page has its own names of the fields', () => {
    const schema = ADMIN_API.schemas.LockRequest;
    const { reason } = checked(schema, { account: 'canary', reason: '' }, { account: 'Account' }) as { reason: string };
    expect(reason).toBe('Account: an account is PROVIDER/SUBJECT; reason: is needed, for the audit log');
  });
});
