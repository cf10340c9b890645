import { describe, expect, test } from 'vitest';
import { eventLine } from '../../../../src/cli/terminal/audit-event-line.ts';
import { serverEvents, type ServerEvent } from '../../../../src/cli/http/server-sent-events.ts';
import type { JsonRecord } from '../../../../src/cli/http/json-shape.ts';

const at = new Date(2026, 10, 25, 14, 2, 9).toISOString();

const exec: JsonRecord = {
  kind: 'Event',
  stage: 'ResponseStarted',
  verb: 'create',
  requestURI: '/api/v1/namespaces/default/pods/web-0/exec?container=x',
  user: { username: 'corp:alice' },
  objectRef: { resource: 'pods', name: 'web-0', subresource: 'exec', namespace: 'default' },
  responseStatus: { code: 101 },
  sourceIPs: ['203.0.113.7', '198.51.100.4'],
  stageTimestamp: at,
  annotations: { 'portcullis.dev/cluster': 'prod' },
};

const portcullisEvent = (facts: Record<string, string>): JsonRecord => ({
  ...exec,
  stage: 'ResponseComplete',
  verb: 'revocation',
  objectRef: undefined,
  responseStatus: { code: 200 },
  annotations: Object.fromEntries(Object.entries(facts).map(([name, value]) => [`portcullis.dev/${name}`, value])),
});

describe('a line', () => {
  test.each<[string, JsonRecord, string]>([
    ['a stream that begins', exec, 'corp:alice  create pods/web-0/exec -n default @prod  101 begun  203.0.113.7'],
    [
      'a user through a delegated session',
      { ...exec, annotations: { 'portcullis.dev/cluster': 'prod', 'portcullis.dev/actor': 'claude/reviewer' } },
      'corp:alice via claude/reviewer  create pods/web-0/exec -n default @prod  101 begun  203.0.113.7',
    ],
    [
      'a user who delegates',
      portcullisEvent({ event: 'delegated', actor: 'claude', reason: 'x' }),
      'corp:alice  revocation [x]  200  203.0.113.7',
    ],
    [
      'a user who acts as another',
      { ...exec, stage: 'ResponseComplete', impersonatedUser: { username: 'limited' } },
      'corp:alice as limited  create pods/web-0/exec -n default @prod  101  203.0.113.7',
    ],
    [
      'what is about no object',
      { ...exec, stage: 'ResponseComplete', verb: 'get', objectRef: undefined, requestURI: '/version' },
      'corp:alice  get /version @prod  101  203.0.113.7',
    ],
    [
      'an event of Portcullis itself',
      portcullisEvent({ event: 'revocation', target: 'account:corp/1', reason: 'INC-4711' }),
      'corp:alice  revocation account:corp/1 [INC-4711]  200  203.0.113.7',
    ],
    [
      'one that says no more',
      portcullisEvent({ event: 'server-started' }),
      'corp:alice  revocation -  200  203.0.113.7',
    ],
  ])('shows %s', (_what, event, line) => {
    expect(eventLine(event, false)).toBe(`14:02:09  ${line}`);
  });

  test('is a line whatever the server sent', () => {
    expect(eventLine({}, false)).toBe('--:--:--  -  -  -  -');
    expect(eventLine({ user: 7, annotations: [], sourceIPs: 'x', stageTimestamp: 'soon' }, false)).not.toContain('\n');
  });

  test('has no control character of anyone’s, and an end', () => {
    const evil = 'a\r\nb\u001b[31m\u009b\u2028\u202e\u0000'.repeat(100);
    const line = eventLine(
      {
        ...exec,
        verb: evil,
        user: { username: evil },
        impersonatedUser: { username: evil },
        objectRef: { resource: evil, name: evil, namespace: evil },
        sourceIPs: [evil],
        annotations: { 'portcullis.dev/cluster': evil, 'portcullis.dev/reason': evil },
      },
      false,
    );
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(line.length).toBeLessThan(2500);
  });

  test('is red where something was refused, in colour only', () => {
    const refused = { ...exec, responseStatus: { code: 403 } };
    const line = eventLine(refused, true);
    expect([line.startsWith('\u001b[31m'), line.endsWith('\u001b[0m')]).toEqual([true, true]);
    expect(eventLine(refused, false)).not.toContain('\u001b');
  });
});

describe('server-sent events', () => {
  async function read(...chunks: readonly string[]): Promise<readonly ServerEvent[]> {
    const bytes = async function* (): AsyncGenerator<Buffer> {
      for (const chunk of chunks) yield Buffer.from(chunk, 'latin1');
    };
    const events: ServerEvent[] = [];
    for await (const event of serverEvents(bytes())) events.push(event);
    return events;
  }

  test('come in pieces of any size, in any of the three line ends', async () => {
    const text =
      'id: 1-0.x\ndata: {"a":1}\n\nid: 2\r\nevent: gap\r\ndata:b\r\n\r\n: beat\rid: 3\r\rdata: c\ndata: d\n\n';
    const events = [
      { event: 'message', id: '1-0.x', data: '{"a":1}' },
      { event: 'gap', id: '2', data: 'b' },
      { event: 'message', id: '3', data: '' },
      { event: 'message', id: undefined, data: 'c\nd' },
    ];
    expect(await read(text)).toEqual(events);
    expect(await read(...(text.match(/[^]{1,7}/g) ?? []))).toEqual(events);
  });

  test('hold text in UTF-8, also where a letter comes in two pieces', async () => {
    const bytes = Buffer.from('data: é田\n\n').toString('latin1');
    for (let cut = 1; cut < bytes.length; cut += 1) {
      expect((await read(bytes.slice(0, cut), bytes.slice(cut)))[0]?.data).toBe('é田');
    }
  });

  test('have no id that could not go back in a header', async () => {
    expect(await read('id: a b\u0000\ndata: x\n\n')).toMatchObject([{ id: undefined, data: 'x' }]);
  });

  test('that do not end are not kept', async () => {
    const endless = Array.from({ length: 40 }, () => 'x'.repeat(64 * 1024));
    await expect(read(...endless)).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'answer_too_long' });
  });
});
