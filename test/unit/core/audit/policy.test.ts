import { describe, expect, test } from 'vitest';
import { auditedByPolicy, hiddenBeyondQuiet, type AuditRule } from '../../../../src/core/audit/policy.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const ALICE = { username: 'corp:alice', groups: ['corp:dev'] };
const asked = (method: string, target: string, code = 200, identity = ALICE) => ({
  info: requestInfo(method, target),
  code,
  identity,
});

describe('without rules', () => {
  test.each([
    ['GET', '/livez', 200, false],
    ['GET', '/livez/ping', 200, false],
    ['HEAD', '/readyz?verbose', 200, false],
    ['GET', '/openapi/v3/apis/apps/v1?hash=x', 304, false],
    ['GET', '/version', 200, false],
    ['GET', '/version', 403, true],
    ['GET', '/version', 401, true],
    ['GET', '/version', 503, true],
    ['GET', '/version', 0, true],
    ['POST', '/version', 200, true],
    ['GET', '/versions', 200, true],
    ['GET', '/livezx', 200, true],
    ['GET', '/healthz', 200, true],
    ['GET', '/api/v1/namespaces/version', 200, true],
  ])('%s %s answered %i is recorded: %s', (method, target, code, expected) => {
    expect(auditedByPolicy(asked(method, target, code))).toBe(expected);
  });
});

const version = (rest: Partial<AuditRule>): AuditRule => ({
  level: 'Metadata',
  nonResourceURLs: ['/version'],
  ...rest,
});

describe('the first rule that matches a quiet read decides', () => {
  test.each<[string, readonly AuditRule[], boolean]>([
    ['a rule for everything', [{ level: 'Metadata' }], true],
    ['its path', [version({})], true],
    ['another path', [version({ nonResourceURLs: ['/livez', '/versions'] })], false],
    ['a path with a star', [version({ nonResourceURLs: ['/ver*'] })], true],
    ['the user', [version({ users: ['corp:bob', 'corp:alice'] })], true],
    ['another user', [version({ users: ['corp:bob'] })], false],
    ['a group', [version({ userGroups: ['corp:dev'] })], true],
    ['another group', [version({ userGroups: ['corp:ops'] })], false],
    ['the verb', [version({ verbs: ['get'] })], true],
    ['another verb', [version({ verbs: ['post'] })], false],
    ['a rule about resources is none for it', [{ level: 'Metadata', resources: [{ group: '' }] }], false],
    ['nor is one about namespaces', [{ level: 'Metadata', namespaces: ['kube-system'] }], false],
    ['None before Metadata', [version({ level: 'None' }), { level: 'Metadata' }], false],
    ['Metadata before None', [{ level: 'Metadata' }, version({ level: 'None' })], true],
  ])('%s', (_, rules, expected) => {
    expect(auditedByPolicy(asked('GET', '/version'), rules)).toBe(expected);
  });

  test('someone who could not be established is in no list of users', () => {
    const unidentified = { info: requestInfo('GET', '/version'), code: 200 };
    expect(auditedByPolicy(unidentified, [version({ users: ['corp:alice'] })])).toBe(false);
    expect(auditedByPolicy(unidentified, [version({ userGroups: ['corp:dev'] })])).toBe(false);
  });
});

test('no rule, however it came about, leaves out anything else', () => {
  const everything: readonly AuditRule[] = [{ level: 'None' }];
  expect(auditedByPolicy(asked('GET', '/version'), everything)).toBe(false);
  for (const [method, target, code] of [
    ['GET', '/version', 403],
    ['POST', '/version', 200],
    ['GET', '/api/v1/secrets', 200],
    ['DELETE', '/api/v1/namespaces/ns/pods/p', 200],
    ['GET', '/metrics', 200],
  ] as const) {
    expect(auditedByPolicy(asked(method, target, code), everything)).toBe(true);
  }
});

describe('a rule of level None that claims more than quiet reads is a failure', () => {
  const none = (rest: Partial<AuditRule>): AuditRule => ({
    level: 'None',
    verbs: ['get', 'head'],
    nonResourceURLs: ['/livez/*', '/version'],
    ...rest,
  });
  test.each<[string, AuditRule, string | undefined]>([
    ['reads of quiet paths', none({}), undefined],
    ['with users', none({ users: ['system:kube-proxy'] }), undefined],
    ['no path', none({ nonResourceURLs: [] }), 'nonResourceURLs'],
    ['another path', none({ nonResourceURLs: ['/version', '/metrics'] }), 'nonResourceURLs'],
    ['a star that reaches further', none({ nonResourceURLs: ['/livez*'] }), 'nonResourceURLs'],
    ['a star alone', none({ nonResourceURLs: ['*'] }), 'nonResourceURLs'],
    ['a star within', none({ nonResourceURLs: ['/livez/*/x/*'] }), 'nonResourceURLs'],
    ['no verb', none({ verbs: [] }), 'verbs'],
    ['another verb', none({ verbs: ['get', 'post'] }), 'verbs'],
    ['resources', none({ resources: [{ group: '', resources: ['events'] }] }), 'resources'],
    ['namespaces', none({ namespaces: ['kube-system'] }), 'namespaces'],
    ['level Metadata', { level: 'Metadata' }, undefined],
  ])('%s', (_, rule, setting) => {
    expect(hiddenBeyondQuiet(rule)?.setting).toBe(setting);
  });
});
