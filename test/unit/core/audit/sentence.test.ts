/** Audit events as sentences, by what the server and the browser have in common. */
import { describe, expect, test } from 'vitest';
import { outcomeOf, whatOf, whoOf } from '../../../../src/core/audit/sentence.js';
import { portcullisEvent, requestEvent, type AuditEvent } from '../../../../src/core/audit/event.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const AT = Date.UTC(2031, 0, 2, 12);

type Told = Partial<Parameters<typeof requestEvent>[0]>;

const asked = (method: string, target: string, more: Told = {}): AuditEvent =>
  requestEvent({
    auditId: 'a',
    stage: 'ResponseComplete',
    requestUri: target,
    info: requestInfo(method, target),
    identity: { username: 'corp:root', uid: '', groups: [], extra: {} },
    sourceIps: ['203.0.113.7'],
    receivedAt: AT,
    at: AT,
    status: { code: 200 },
    ...more,
  });

const SHOP = '/api/v1/namespaces/shop';

describe('what a user did', () => {
  test.each([
    ['GET', '/api/v1/secrets', 'listed secrets in all namespaces'],
    ['GET', '/api/v1/nodes', 'listed nodes'],
    ['GET', `${SHOP}/secrets`, 'listed secrets in shop'],
    ['GET', `${SHOP}/secrets/db`, 'read secrets/db in shop'],
    ['GET', '/api/v1/pods?watch=1', 'watched pods in all namespaces'],
    ['POST', `${SHOP}/pods`, 'created pods in shop'],
    ['PUT', `${SHOP}/pods/web-0`, 'replaced pods/web-0 in shop'],
    ['PATCH', `${SHOP}/pods/web-0/status`, 'changed pods/status/web-0 in shop'],
    ['DELETE', `${SHOP}/pods/web-0`, 'deleted pods/web-0 in shop'],
    ['DELETE', '/apis/apps/v1/deployments', 'deleted all deployments in all namespaces'],
    ['GET', `${SHOP}/pods/web-0/exec?command=sh`, 'ran a command in pods/web-0 in shop'],
    ['POST', `${SHOP}/pods/web-0/exec?command=sh`, 'ran a command in pods/web-0 in shop'],
    ['GET', `${SHOP}/pods/web-0/log`, 'read the log of pods/web-0 in shop'],
    ['GET', `${SHOP}/pods/web-0/ephemeralcontainers`, 'read pods/ephemeralcontainers/web-0 in shop'],
    ['PATCH', `${SHOP}/pods/web-0/ephemeralcontainers`, 'put a debug container into pods/web-0 in shop'],
    ['POST', `${SHOP}/serviceaccounts/ci/token`, 'made a token of serviceaccounts/ci in shop'],
    ['GET', '/version', 'read /version'],
  ])('%s %s: %s', (method, target, sentence) => {
    expect(whatOf(asked(method, target))).toBe(sentence);
  });

  test('says no more than what happened', () => {
    const list = '/api/v1/secrets';
    expect(whatOf(asked('GET', list, { status: { code: 403 } }))).toBe('tried to list secrets in all namespaces');
    const begun = asked('DELETE', `${SHOP}/pods/web-0`, { stage: 'RequestReceived', status: undefined });
    expect([whatOf(begun), outcomeOf(begun)]).toEqual([
      'began to delete pods/web-0 in shop',
      { style: 'warn', text: 'no outcome' },
    ]);
    expect(outcomeOf(begun, true).text).toBe('begun');
  });

  test('has the length and the end of a stream, and who ended it', () => {
    const details = { reason: 'session_revoked', cluster: 'prod' } as const;
    const cut = asked('GET', `${SHOP}/pods?watch=1`, { at: AT + 3_725_000, details });
    expect(whatOf(cut)).toBe('watched pods in shop for 1 h 2 min @prod [session_revoked]');
    expect(outcomeOf(cut)).toEqual({ style: 'bad', text: 'cut' });
  });

  test('stands as it is where it is hostile', () => {
    const event = { ...asked('GET', `${SHOP}/pods`), verb: 'constructor' };
    expect(whatOf(event)).toBe('constructor pods in shop');
    expect(whatOf({ ...event, stageTimestamp: 'never', objectRef: { resource: '<b>' } })).toBe('constructor <b>');
  });
});

test('Portcullis itself is not an unknown user, and a sign-in has no status of a redirect', () => {
  const own = { auditId: 'a', at: AT, requestUri: '', code: 303 } as const;
  const checkpoint = portcullisEvent({ ...own, event: 'audit-checkpoint', sourceIps: [] });
  expect(whoOf(checkpoint)).toBe('Portcullis');
  const signIn = portcullisEvent({ ...own, event: 'sign-in', sourceIps: ['203.0.113.7'] });
  expect([whoOf(signIn), whatOf(signIn), outcomeOf(signIn).text]).toEqual(['unknown user', 'sign-in', 'done']);
});
