import { describe, expect, test } from 'vitest';
import { accountSchema, durationSchema, requestIdSchema, sessionIdSchema } from '../../../../src/core/api/fields.ts';
import {
  drillSchema,
  endQuerySchema,
  revocationSchema,
  sessionsQuerySchema,
  unlockQuerySchema,
} from '../../../../src/core/api/requests.ts';

const accepts = (schema: { safeParse(value: unknown): { success: boolean } }, value: unknown): boolean =>
  schema.safeParse(value).success;

describe('fields', () => {
  test.each([
    ['90s', 90],
    ['1m', 60],
    ['2h', 7200],
    ['7d', 604_800],
  ])('the duration %s is %i seconds', (text, seconds) => {
    expect(durationSchema.parse(text)).toBe(seconds);
  });

  test.each(['', '2', '0h', '-1h', '1.5h', '2 h', '2H', '1h30m', '12345678s', 'h', '1e3s'])(
    '%j is no duration',
    (text) => {
      expect(accepts(durationSchema, text)).toBe(false);
    },
  );

  test.each([
    ['corp/sub', true],
    ['corp/a/b', true],
    ['corp/two parts', true],
    ['corp', false],
    ['/sub', false],
    ['corp/', false],
    ['corp/ sub', false],
    ['corp/sub ', false],
    ['co rp/sub', false],
    [`corp/${'x'.repeat(512)}`, false],
  ])('whether %j is an account: %s', (text, good) => {
    expect(accepts(accountSchema, text)).toBe(good);
  });

  test('an id of a session has no character that a path could mean something by', () => {
    for (const id of ['a/b', '..', 'a%2F', 'a b', '', 'x'.repeat(65)]) expect(accepts(sessionIdSchema, id)).toBe(false);
  });

  test('a request id is one id in whatever case', () => {
    const id = '0F5C7A52-5A0E-4D3B-9A59-6F1F3A1B2C3D';
    expect(requestIdSchema.parse(id)).toBe(id.toLowerCase());
  });
});

describe('requests', () => {
  test.each([
    ['an account', { account: 'corp/x' }, true],
    ['an account with a lock', { account: 'corp/x', lock: true }, true],
    ['a username with a lock', { username: 'x', lock: true }, true],
    ['a workload with its subject', { workload: 'ci', subject: 's' }, true],
    ['a workload without one', { workload: 'ci' }, false],
    ['a subject alone', { subject: 's', all: true }, false],
    ['a session with a lock', { session: 's', lock: true }, false],
    ['a provider with a lock', { provider: 'corp', lock: true }, false],
    ['every user with a lock', { all: true, lock: true }, false],
    ['two targets', { session: 's', account: 'corp/x' }, false],
    ['a target that is undefined beside another', { session: undefined, account: 'corp/x' }, false],
    ['no target', {}, false],
    ['what is unknown', { account: 'corp/x', forced: true }, false],
  ])('whether %s is a revocation: %s', (_what, target, good) => {
    expect(accepts(revocationSchema, { ...target, reason: 'x' })).toBe(good);
  });

  test('a drill’s path is a watch of the Kubernetes API and nothing else', () => {
    const of = (path: string): boolean => accepts(drillSchema, { path, reason: 'x' });
    expect(of('/apis/apps/v1/deployments?watch=true')).toBe(true);
    for (const path of [
      '/api/v1/pods',
      '/-/admin?watch=1',
      'http://x/?watch=1',
      '/api/v1/a b?watch=1',
      '/api/v1/x?unwatch=1',
    ]) {
      expect(of(path), path).toBe(false);
    }
    expect(drillSchema.parse({ reason: 'x' }).path).toBe('/api/v1/namespaces?watch=1');
  });

  test('a list has a page of fifty, newest first, where nothing else is asked for', () => {
    expect(sessionsQuerySchema.parse({})).toEqual({ limit: 50, sort: 'newest' });
    expect(sessionsQuerySchema.parse({ limit: '7', idle: '2h', search: ' x ' })).toEqual({
      limit: 7,
      idle: 7200,
      search: 'x',
      sort: 'newest',
    });
  });

  test('ending a session may go without a reason, unlocking may not', () => {
    expect(endQuerySchema.parse({})).toEqual({ reason: 'no reason given' });
    expect(accepts(unlockQuerySchema, {})).toBe(false);
  });
});
