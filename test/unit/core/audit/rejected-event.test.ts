import { describe, expect, it, test } from 'vitest';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import {
  portcullisEvent,
  requestEvent,
  type AuditEvent,
  type PortcullisEvent,
} from '../../../../src/core/audit/event.ts';
import { AUDIT_BACKLOG, isRefused, isRejection, shortened } from '../../../../src/core/audit/rejected-event.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const ALICE = { username: 'corp:alice', uid: 'corp/1', groups: ['corp:dev'], extra: {} };

const REVOKED = { code: 401, reason: 'Unauthorized' };

const asked = (change: Partial<Parameters<typeof requestEvent>[0]> = {}): AuditEvent =>
  requestEvent({
    auditId: 'a',
    stage: 'ResponseComplete',
    requestUri: '/api/v1/pods',
    info: requestInfo('GET', '/api/v1/pods'),
    sourceIps: ['203.0.113.7'],
    receivedAt: 0,
    at: 0,
    ...change,
  });

const said = (change: Partial<PortcullisEvent> & Pick<PortcullisEvent, 'event'>): AuditEvent =>
  portcullisEvent({ auditId: 'b', at: 0, requestUri: '/x', sourceIps: ['203.0.113.7'], code: 200, ...change });

test.each<[string, AuditEvent, boolean]>([
  ['a request of no one that was refused', asked({ status: { code: 404 } }), true],
  ['a request of no one that ended before it was answered', asked(), true],
  ['a request with a token that was revoked', asked({ identity: ALICE, status: REVOKED }), true],
  ['a request of a user that a pod behind …/proxy refused', asked({ identity: ALICE, status: { code: 401 } }), false],
  [
    'a request whose token was revoked when the API server may have had it',
    asked({ identity: ALICE, status: REVOKED, details: { admitted: 'true' } }),
    false,
  ],
  ['a request of a user that the cluster refused', asked({ identity: ALICE, status: { code: 403 } }), false],
  [
    'a request of a user who has more than a share of the events that wait',
    asked({ identity: ALICE, status: { code: 429, reason: 'TooManyRequests' }, details: { reason: AUDIT_BACKLOG } }),
    true,
  ],
  [
    'what an admin did for a reason of that name',
    said({ event: 'lock', code: 429, reason: AUDIT_BACKLOG, identity: ALICE }),
    false,
  ],
  ['a request of a user', asked({ identity: ALICE, status: { code: 200 } }), false],
  ['a request of a user who left', asked({ identity: ALICE }), false],
  ['what is no HTTP', said({ event: 'malformed-request', code: 400 }), true],
  ['a sign-in that was refused, of any user', said({ event: 'sign-in-refused', account: 'corp/1', code: 403 }), true],
  ['a sign-in', said({ event: 'sign-in', account: 'corp/1', code: 303 }), false],
  ['an admin call without a credential', said({ event: 'admin-refused', code: 401 }), true],
  ['an admin call of a user who is none', said({ event: 'admin-refused', identity: ALICE, code: 403 }), false],
  [
    'the same from behind a proxy that hides its address',
    said({ event: 'admin-refused', sourceIps: [], code: 401 }),
    true,
  ],
  ['what the server did by itself', said({ event: 'unlock', requestUri: '', sourceIps: [], code: 404 }), false],
  ['the count of what was left out', said({ event: 'rejections-omitted', sourceIps: [] }), true],
])('%s: is a rejection or not', (_what, event, expected) => {
  expect(isRejection(event)).toBe(expected);
});

test.each<[string, AuditEvent, boolean]>([
  ['a request of a user', asked({ identity: ALICE, status: { code: 200 } }), false],
  ['one that the cluster rejected', asked({ identity: ALICE, status: { code: 403 } }), false],
  ['one of which no response came', asked({ identity: ALICE }), false],
  [
    'one that Portcullis rejected',
    asked({ identity: ALICE, status: { code: 403, reason: 'Forbidden', message: '' } }),
    true,
  ],
  [
    'one that was cut after it was admitted',
    asked({
      identity: ALICE,
      status: { code: 503, reason: 'ServiceUnavailable', message: '' },
      details: { admitted: 'true' },
    }),
    false,
  ],
  ['a sign-in', said({ event: 'sign-in', account: 'corp/1', code: 303 }), false],
  ['a sign-in that was rejected', said({ event: 'sign-in-refused', account: 'corp/1', code: 502 }), true],
  ['an admin who may not', said({ event: 'revocation', identity: ALICE, code: 403 }), true],
  ['an approval that was asked for', said({ event: 'approval-asked', identity: ALICE, code: 409 }), false],
  ['a revocation that is held', said({ event: 'revocation', identity: ALICE, code: 503 }), false],
  [
    'one that was rejected because nothing could be audited',
    said({ event: 'revocation', identity: ALICE, code: 503, reason: 'audit_unavailable' }),
    true,
  ],
])('%s: is left out where there is no space or not', (_what, event, expected) => {
  expect(isRefused(event)).toBe(expected);
});

describe('a shortened event', () => {
  it('is the same where nothing in it is long', () => {
    const event = asked({ status: REVOKED, userAgent: 'kubectl' });
    expect(shortened(event)).toBe(event);
  });

  it('says what was cut, leaves out groups, and ends with the event’s name', () => {
    const groups = Array.from({ length: 1000 }, (_, n) => `corp:team-${n}`);
    const event = shortened(
      said({ event: 'refresh-refused', identity: { ...ALICE, groups }, userAgent: 'x'.repeat(500), code: 400 }),
    );
    expect(event).toMatchObject({
      user: { username: 'corp:alice', uid: 'corp/1' },
      userAgent: `${'x'.repeat(128)}...TRUNCATED`,
    });
    expect(event.user).not.toHaveProperty('groups');
    expect(Object.entries(event.annotations)).toEqual([
      ['portcullis.dev/cut', 'user.groups=1000 userAgent=500'],
      ['portcullis.dev/event', 'refresh-refused'],
    ]);
  });

  it.each(['x', '\u0000', '"', '\\', '\u2028', '\u202e', 'ü', '𝄞', '%', '/'])(
    'is a short line where everything is full of %j',
    (one) => {
      const text = one.repeat(9000);
      const requestUri = `/api/v1/namespaces/${text}/pods/${text}/exec?command=${text}`;
      const info = requestInfo(text, requestUri);
      const impersonated = { ...ALICE, username: text, groups: [text], extra: { a: [text] } };
      const event = asked({
        requestUri,
        info,
        userAgent: text,
        identity: ALICE,
        impersonated,
        status: REVOKED,
      });
      const line = encodeLine(shortened(event));
      expect(line.length).toBeLessThan(4500);
      expect(JSON.parse(line.toString())).toMatchObject({ auditID: 'a', responseStatus: REVOKED });
    },
  );
});
