import { expect, test } from 'vitest';
import { requestEvent, type RequestEventInput } from '../../../../src/core/audit/event.ts';
import { recentOf, sessionOf } from '../../../../src/core/audit/recent-request.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const eventOf = (target: string, change: Partial<RequestEventInput> = {}) =>
  requestEvent({
    auditId: '7a1c0d5e-0000-4000-8000-000000000001',
    stage: 'ResponseComplete',
    requestUri: target,
    info: requestInfo('GET', target),
    identity: { username: 'corp:alice', uid: 'corp/1', groups: [], extra: {} },
    sourceIps: ['192.0.2.7'],
    receivedAt: 1_790_000_000_123.4,
    at: 1_790_000_009_000,
    status: { code: 200 },
    details: { session: 'session-1', cluster: 'prod', account: 'corp/1' },
    ...change,
  });

test('says of a request when it came, what it was about, and how it ended', () => {
  const target = '/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c';
  const event = eventOf(target, { status: { code: 101 }, stage: 'ResponseStarted' });
  expect(recentOf(event)).toEqual({
    at: 1_790_000_000_123,
    auditId: '7a1c0d5e-0000-4000-8000-000000000001',
    cluster: 'prod',
    verb: 'get',
    uri: '/api/v1/namespaces/shop/pods/web-0/exec?command=[2]',
    resource: 'pods/exec',
    namespace: 'shop',
    name: 'web-0',
    code: 101,
    open: true,
    address: '192.0.2.7',
  });
  expect(sessionOf(event)).toBe('session-1');
  const details = { session: 'session-1', 'delegated-session': 'session-2' };
  expect(sessionOf(eventOf('/api', { details }))).toBe('session-2');
});

test('says as whom the user acted, shortened like every other name', () => {
  const impersonated = { username: 'corp:bob', uid: '', groups: [], extra: {} };
  expect(recentOf(eventOf('/api', { impersonated }))).toMatchObject({ impersonatedUser: 'corp:bob' });
  const long = { ...impersonated, username: 'x'.repeat(1000) };
  expect(recentOf(eventOf('/api', { impersonated: long }))?.impersonatedUser).toHaveLength(256);
});

test('says why Portcullis refused, and that no one was answered', () => {
  const details = { session: 'session-1', reason: 'client_gone' };
  const { responseStatus: _none, ...event } = eventOf('/api?token=CANARY', { details });
  expect(recentOf(event)).toMatchObject({ uri: '/api?token=REDACTED', code: 0, reason: 'client_gone', cluster: '' });
});

test('is short, whatever the client asked for', () => {
  const long = 'x'.repeat(5000);
  const request = recentOf(eventOf(`/api/v1/namespaces/${long}/${long}/${long}/${long}?labelSelector=${long}`));
  expect(request?.uri).toHaveLength(512);
  expect(request?.uri).toMatch(/\.\.\.TRUNCATED$/);
  for (const part of [request?.resource, request?.namespace, request?.name]) expect(part).toHaveLength(256);
});

test('is nothing for who came without a session, or for what Portcullis itself did', () => {
  const without = eventOf('/api', { details: { cluster: 'prod' } });
  const own = eventOf('/api', { details: { session: 'session-1', event: 'signed-in' } });
  for (const event of [without, own, { ...eventOf('/api'), stage: 'RequestReceived' as const }]) {
    expect(recentOf(event)).toBeUndefined();
    expect(sessionOf(event)).toBeUndefined();
  }
});
