import { describe, expect, test } from 'vitest';
import { noticeBody, noticeId } from '../../../../../src/services/access/notify/body.ts';
import { NOTICE_KINDS, type AccessNotice } from '../../../../../src/core/access/notice.ts';
import { webhookHeaders, webhookSecretsIn } from '../../../../../src/core/access/webhook-signature.ts';
import { accessRequest, notice } from '../../../../support/access-notices.ts';

const publicUrl = 'https://portcullis.example.com';
const bodyOf = (given: AccessNotice, format: 'json' | 'slack' | 'teams'): Record<string, unknown> =>
  JSON.parse(noticeBody(given, { format, publicUrl, nowMs: 1_772_442_847_120 })) as Record<string, unknown>;

/** Every text in a body. */
function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

const HOSTILE =
  '<!channel> <https://evil.example.com|approve> [here](https://evil.example.com) & **x** \u202Egnp\n\u0007';
const hostile: AccessNotice = {
  kind: 'denied',
  by: `${HOSTILE}by`,
  request: accessRequest({
    username: `${HOSTILE}user`,
    reason: `${HOSTILE}${'&'.repeat(460)}`.slice(0, 500),
    decisions: [{ account: 'corp/2', username: HOSTILE, at: 1, approved: false, reason: `${HOSTILE}no` }],
  }),
};

test('signatures are those of Standard Webhooks’ own test', () => {
  const secrets = webhookSecretsIn('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
  const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', seconds: 1_614_265_330, body: '{"test": 2432232314}' };
  expect(webhookHeaders(message, secrets)['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

test('the id of a notice tells apart what differs, has no full stop, and is the same on each replica', () => {
  const request = accessRequest();
  const approval = { account: 'corp/2', username: 'u', at: 1, approved: true } as const;
  const ids = [
    ...NOTICE_KINDS.map((kind) => noticeId({ kind, request })),
    noticeId({ kind: 'approved', request: { ...request, decisions: [approval] } }),
    noticeId({ kind: 'approved', request: { ...request, decisions: [approval, approval] } }),
  ];
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.join('')).toMatch(/^[\w-]+$/);
  expect(noticeId({ kind: 'ended', request: accessRequest() })).toBe(noticeId({ kind: 'ended', request }));
});

describe('the body for programs', () => {
  test('has what approvers need, and neither the session nor what it is known as', () => {
    const body = bodyOf(notice(), 'json');
    expect(body).toEqual({
      type: 'access.requested',
      timestamp: '2026-03-02T09:14:07.120Z',
      data: {
        id: 'request-1',
        role: 'shop-admins',
        description: 'Repairs in the shop',
        groups: ['granted:shop-admins'],
        clusters: ['prod'],
        user: 'corp:jane@example.com',
        account: 'corp/248289761001',
        address: '203.0.113.7',
        reason: 'INC-4711',
        seconds: 5400,
        state: 'open',
        requestedAt: '2026-03-02T09:14:07Z',
        openUntil: '2026-03-03T09:14:07Z',
        approvers: ['corp:platform'],
        needed: 2,
        decisions: [],
        link: `${publicUrl}/access/request-1`,
      },
    });
    expect(JSON.stringify(body)).not.toContain('session-1');
  });

  test('says why a grant is over, and who ended it', () => {
    const grant = {
      beganAt: 0,
      endsAt: 5000,
      endedAt: 4,
      ending: 'approver',
      endedBy: 'corp:bo',
      revocation: 'r',
    } as const;
    const given = { kind: 'ended', by: 'corp:bo', request: accessRequest({ state: 'ended', grant }) } as const;
    expect(bodyOf(given, 'json')).toMatchObject({
      type: 'access.ended',
      data: { by: 'corp:bo', grant: { endedAt: '1970-01-01T00:00:04Z', ending: 'approver', endedBy: 'corp:bo' } },
    });
    expect(textsIn(bodyOf(given, 'slack')).join()).toMatch(/an approver ended it/);
  });
});

/** https://docs.slack.dev/reference/block-kit/blocks/section-block */
interface SlackText {
  readonly type: string;
  readonly text: string;
}

describe('the body for Slack', () => {
  const message = bodyOf(hostile, 'slack') as {
    readonly text: string;
    readonly blocks: readonly { readonly text?: SlackText; readonly fields?: readonly SlackText[] }[];
  };
  const texts = message.blocks.flatMap(({ text, fields = [] }) => [...(text === undefined ? [] : [text]), ...fields]);

  test('calls no channel and links to Portcullis alone, whatever users write', () => {
    const links = texts.filter(({ text }) => text.includes('<'));
    expect(links).toEqual([
      { type: 'mrkdwn', text: `<${publicUrl}/access/7fK2mQ9cT4yXbN1aLw8sRg|Open it in Portcullis>`, verbatim: true },
    ]);
    expect(texts.filter(({ type }) => type === 'mrkdwn')).toHaveLength(1);
    expect(texts.map(({ text }) => text).join('\n')).toContain('&lt;!channel&gt;');
    // The notification has no text of a user at all.
    expect(message.text).toBe('Access denied: shop-admins');
  });

  test('tells an approver what the role gives, from which device it was asked for, and until when to decide', () => {
    const asked = bodyOf(
      notice(1, { request: accessRequest({ deviceName: 'jane-laptop' }) }),
      'slack',
    ) as typeof message;
    const fields = asked.blocks.flatMap(({ fields: own = [] }) => own.map(({ text }) => text));
    expect(fields).toEqual([
      'User: corp:jane@example.com',
      'Role: shop-admins',
      'Gives: Repairs in the shop',
      'For: 1 h 30 min',
      'Clusters: prod',
      'Approvals: 0 of 2',
      'Decide until: 3 Mar 2026, 09:14 UTC',
      'Device: jane-laptop',
      'From: 203.0.113.7',
    ]);
    const granted = bodyOf(
      { kind: 'granted', request: accessRequest({ grant: { beganAt: 0, endsAt: 60_000 } }) },
      'slack',
    );
    expect(textsIn(granted).filter((text) => /until/i.test(text))).toEqual(['Until: 1 Jan 1970, 00:01 UTC']);
  });

  test('is within Slack’s limits, in characters and in fields', () => {
    const fields = message.blocks.flatMap((block) => block.fields ?? []);
    expect(Math.max(...message.blocks.map((block) => block.fields?.length ?? 0))).toBeLessThanOrEqual(10);
    expect(Math.max(...fields.map(({ text }) => text.length))).toBeLessThanOrEqual(2000);
    expect(Math.max(...texts.map(({ text }) => text.length))).toBeLessThanOrEqual(3000);
  });
});

test('the body for Teams has texts of users in text runs alone, where Markdown has no meaning', () => {
  const body = bodyOf(hostile, 'teams') as { readonly type: string; readonly attachments: readonly object[] };
  const runs: string[] = [];
  const others: string[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('type' in value && value.type === 'TextRun') return void runs.push(...textsIn(value));
    for (const each of Object.values(value)) {
      if (typeof each === 'string') others.push(each);
      else walk(each);
    }
  };
  walk(body);
  expect(runs.join('\n')).toContain('[here](https://evil.example.com)');
  expect(others.join('\n')).not.toMatch(/evil|channel/);
  expect(body).toMatchObject({
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        content: {
          type: 'AdaptiveCard',
          actions: [{ type: 'Action.OpenUrl', url: expect.stringContaining(publicUrl) }],
        },
      },
    ],
  });
});

test.each(['slack', 'teams'] as const)('no control or bidirectional character gets into a message for %s', (format) => {
  for (const text of textsIn(bodyOf(hostile, format))) expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
});
