import { describe, expect, test } from 'vitest';
import { auditEventsQuerySchema } from '../../../../src/core/api/audit.ts';
import { CSV_HEADING, csvLine } from '../../../../src/core/audit/csv.ts';
import { AUDIT_QUESTIONS, isAsLogged, parseQuestion, questionOf } from '../../../../src/core/audit/questions.ts';
import { anEvent } from '../../audit/fixtures.ts';

const NAMES = ['user', 'namespace', 'verb', 'resource', 'auditId'];

describe('a question in one line', () => {
  test.each<[string, Record<string, string>]>([
    ['', {}],
    ['  user:corp:alice   ns:shop ', { user: 'corp:alice', namespace: 'shop' }],
    ['verb:read res:secrets', { verb: 'get,list,watch', resource: 'secrets' }],
    ['verb:create,patch', { verb: 'create,patch' }],
    ['id:a-1', { auditId: 'a-1' }],
  ])('%j', (text, filters) => {
    expect(parseQuestion(text, NAMES)).toEqual({ ok: true, value: filters });
  });

  test.each([
    ['alice', 'has no name in front'],
    [':alice', 'has no name in front'],
    ['username:alice', 'There is no filter “username”. There are user,'],
    ['constructor:x', 'There is no filter'],
    ['user:', 'has no value'],
    ['user:a user:b', 'is there twice'],
  ])('%j is not understood, and says why', (text, message) => {
    expect(parseQuestion(text, NAMES)).toMatchObject({ ok: false, reason: expect.stringContaining(message) as string });
  });

  test('is typed as it is shown', () => {
    for (const { filter } of Object.values(AUDIT_QUESTIONS)) {
      const read = parseQuestion(questionOf(filter), Object.keys(filter));
      expect(read).toEqual({ ok: true, value: filter });
      expect(auditEventsQuerySchema.safeParse(filter).success).toBe(true);
    }
    expect(questionOf({ user: 'a b', verb: 'get', as: undefined })).toBe('verb:get');
  });

  test('names resources as the audit log has them', () => {
    for (const one of ['secrets', 'pods/exec,pods/attach', 'networkpolicies']) expect(isAsLogged(one)).toBe(true);
    for (const one of ['secret', 'deploy', 'deployments.apps', 'secrets,po']) expect(isAsLogged(one)).toBe(false);
  });
});

test('a row of a spreadsheet runs nothing that a user has named so', () => {
  const cells = Object.fromEntries(
    ['=1+1', '+1', '-1', '@x', '\tx'].map((name, index) => [index, { resource: 'pods', name }] as const),
  );
  for (const objectRef of Object.values(cells)) {
    expect(csvLine(anEvent({ objectRef }))).toMatch(new RegExp(`,'\\${objectRef.name.charAt(0)}`));
  }
  const hostile = anEvent({ verb: 'get', objectRef: { resource: 'pods', name: 'a",\r\n=b' } });
  const line = csvLine(hostile);
  expect(line).toContain('"a"",\r\n=b"');
  expect(line.endsWith('\r\n')).toBe(true);
  expect(csvLine(anEvent({})).split(',')).toHaveLength(CSV_HEADING.split(',').length);
});
