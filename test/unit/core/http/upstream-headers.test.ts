import * as fc from 'fast-check';

import { describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import { findImpersonation, pairs } from '../../../../src/core/http/header-names.ts';
import {
  bodyLength,
  buildUpstreamHeaders,
  limitIdentity,
  type UpstreamHeadersInput,
  flatHeaders,
} from '../../../../src/core/http/upstream-headers.ts';

const INPUT: UpstreamHeadersInput = {
  raw: [],
  belowProxy: false,
  upgrade: false,
  upstreamToken: 'upstream',
  identity: {
    username: 'corp:alice',
    uid: 'corp/1',
    groups: ['corp:a', 'corp:b,c'],
    extra: { 'example.com/team': ['red', 'blue'] },
  },
  sessionId: 's1',
  auditId: 'a1',
  forwardedFor: '192.0.2.7',
};

const OWN = [
  'Authorization',
  'Bearer upstream',
  'Impersonate-User',
  'corp:alice',
  'Impersonate-Uid',
  'corp/1',
  'Impersonate-Group',
  'corp:a',
  'Impersonate-Group',
  'corp:b,c',
  'Impersonate-Extra-example.com%2Fteam',
  'red',
  'Impersonate-Extra-example.com%2Fteam',
  'blue',
  'Impersonate-Extra-portcullis.dev%2Fsession',
  's1',
  'Audit-ID',
  'a1',
  'X-Forwarded-For',
  '192.0.2.7',
];

const build = (raw: string[], changes: Partial<UpstreamHeadersInput> = {}) =>
  flatHeaders(buildUpstreamHeaders({ ...INPUT, ...changes, raw }));
/** What passed of the client's own headers. */
const passed = (raw: string[], changes: Partial<UpstreamHeadersInput> = {}) =>
  build(raw, changes).slice(0, -OWN.length);

test('says who is asking, one line a group and a value', () => {
  expect(build([])).toEqual(OWN);
});

test.each([
  'Accept',
  'accept-encoding',
  'Content-Type',
  'If-Match',
  'Range',
  'User-Agent',
  'Kubectl-Command',
  'X-Stream-Protocol-Version',
  'traceparent',
])('lets %s pass as it was written', (name) => {
  expect(passed([name, 'x'])).toEqual([name, 'x']);
});

test.each([
  'Authorization',
  'Cookie',
  'Forwarded',
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Remote-User',
  'X-Remote-Extra-Scopes',
  'Audit-ID',
  'Expect',
  'Proxy-Authorization',
  'Host',
  'TE',
  'Trailer',
  'Keep-Alive',
  'Connection',
  'Upgrade',
  'Transfer-Encoding',
  'HTTP2-Settings',
  'Impersonate-User',
  'impersonate-group',
  'IMPERSONATE-EXTRA-x',
  'Impersonate_User',
  'X_Remote_User',
  'X_Forwarded_For',
  'Audit_ID',
])('never lets %s pass, below …/proxy neither', (name) => {
  expect(passed([name, 'x'])).toEqual([]);
  expect(passed([name, 'x'], { belowProxy: true })).toEqual([]);
});

test('lets other headers pass below …/proxy only', () => {
  expect(passed(['X-Grafana-Org', '1'])).toEqual([]);
  expect(passed(['X-Grafana-Org', '1'], { belowProxy: true })).toEqual(['X-Grafana-Org', '1']);
});

test('drops what Connection names', () => {
  expect(passed(['Connection', 'close, Accept', 'Accept', 'x', 'Range', 'y'])).toEqual(['Range', 'y']);
  expect(passed(['Connection', 'X_Foo', 'X-Foo', 'x'], { belowProxy: true })).toEqual([]);
});

test('cannot be made to drop its own headers', () => {
  const raw = ['Connection', 'Impersonate-User, Impersonate-Group, Authorization, Audit-ID'];
  expect(build(raw)).toEqual(OWN);
});

describe('bodies', () => {
  test('have one length', () => {
    expect(bodyLength(['content-length', '12'])).toBe(12);
    expect(bodyLength(['Content-Length', '12', 'Content-Length', '13'])).toBeUndefined();
    expect(bodyLength(['Content-Length', '+12'])).toBeUndefined();
    expect(bodyLength(['Content_Length', '12'])).toBeUndefined();
  });
  test('have no length where they are chunked', () => {
    expect(bodyLength(['Content-Length', '12', 'Transfer-Encoding', 'chunked'])).toBeUndefined();
  });
  test('are framed by the connection to the cluster alone', () => {
    expect(passed(['content-length', '12', 'Transfer-Encoding', 'chunked', 'Content_Length', '12'])).toEqual([]);
  });
});

describe('upgrades', () => {
  const raw = ['Connection', 'keep-alive, Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Key', 'k'];
  test('keep the protocol and WebSocket’s headers', () => {
    expect(passed(raw, { upgrade: true })).toEqual([
      'Sec-WebSocket-Key',
      'k',
      'Connection',
      'Upgrade',
      'Upgrade',
      'websocket',
    ]);
  });
  test('are not asked for by a request that is none', () => {
    expect(passed(raw)).toEqual([]);
  });
  test('pass on no second protocol', () => {
    expect(passed(['Upgrade', 'websocket', 'Upgrade', 'h2c'], { upgrade: true })).toEqual([]);
    expect(passed(['Upgrade', 'SPDY/3.1'], { upgrade: true })).toEqual([
      'Connection',
      'Upgrade',
      'Upgrade',
      'SPDY/3.1',
    ]);
    expect(passed(['Upgrade', 'websocket, h2c'], { upgrade: true })).toEqual([]);
    expect(passed(['Upgrade', 'h2c'], { upgrade: true })).toEqual([]);
  });
  test('lose the subprotocol with the token and keep the others', () => {
    const protocols = [
      'Sec-WebSocket-Protocol',
      'v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9r, v4.channel.k8s.io',
    ];
    expect(passed(protocols, { upgrade: true })).toEqual([
      'Sec-WebSocket-Protocol',
      'v5.channel.k8s.io, v4.channel.k8s.io',
    ]);
    expect(passed(['Sec-WebSocket-Protocol', 'BASE64URL.bearer.authorization.k8s.io.dG9r'], { upgrade: true })).toEqual(
      [],
    );
  });
});

describe('identities', () => {
  const dial = (identity: Partial<UpstreamHeadersInput['identity']>) => () =>
    build([], { identity: { ...INPUT.identity, ...identity } });
  test.each([
    '',
    ' ',
    ' alice',
    'alice ',
    'al\u0000ice',
    'al\r\nImpersonate-Group: system:masters',
    'al\tice',
    'al\ud800ice',
  ])('with the username %j are never dialled', (username) => {
    expect(dial({ username })).toThrow(AppError);
    expect(dial({ username })).toThrow(expect.objectContaining({ code: 'internal', reason: 'unusable_username' }));
  });
  test('with a group, uid or extra that HTTP would change are never dialled', () => {
    expect(dial({ groups: ['a', ''] })).toThrow(AppError);
    expect(dial({ groups: ['a\n'] })).toThrow(AppError);
    expect(dial({ uid: '' })).toThrow(AppError);
    expect(dial({ extra: { a: ['b\r'] } })).toThrow(AppError);
    expect(dial({ extra: { Upper: ['b'] } })).toThrow(AppError);
    expect(dial({ extra: { 'portcullis.dev/session': ['other'] } })).toThrow(AppError);
  });
  test('that are not ASCII go as UTF-8 bytes', () => {
    const headers = build([], { identity: { ...INPUT.identity, username: 'corp:zoë', groups: ['corp:日本'] } });
    expect(Buffer.from(headers[3] ?? '', 'latin1').toString('utf8')).toBe('corp:zoë');
    expect(Buffer.from(headers[7] ?? '', 'latin1').toString('utf8')).toBe('corp:日本');
  });
  test('have extra keys encoded as client-go encodes them', () => {
    const headers = build([], { identity: { ...INPUT.identity, extra: { 'a.b/c%d e:ä': ['1'] } } });
    expect(headers).toContain('Impersonate-Extra-a.b%2Fc%25d%20e%3A%C3%A4');
  });
});

test('finds a client’s own impersonation in any spelling', () => {
  const names = ['Impersonate-User', 'impersonate-group', 'IMPERSONATE_UID', 'Impersonate-Extra-x', 'Impersonate'];
  const raw = [...names, 'Accept', 'X-Impersonate-User'].flatMap((name) => [name, 'v']);
  expect(findImpersonation(raw)).toEqual(names);
});

test('says which grants a request is made with, as one value, also of a user who acts as another', () => {
  const extra = ['Impersonate-Extra-portcullis.dev%2Fgrant-id', 'g1 g2'];
  const own = OWN.slice(0, -4);
  expect(build([], { grantIds: 'g1 g2' })).toEqual([...own, ...extra, ...OWN.slice(-4)]);
  const actingAs = { username: 'limited', uid: '', groups: [], extra: {} };
  expect(build([], { grantIds: 'g1 g2', actingAs }).join('\n')).toContain(extra.join('\n'));
});

test('a cluster’s limits only take away', () => {
  expect(limitIdentity(INPUT.identity, { groups: '*', extra: ['example.com/team'] })).toEqual(INPUT.identity);
  expect(limitIdentity(INPUT.identity, { groups: ['corp:a', 'corp:z'], extra: [] })).toEqual({
    ...INPUT.identity,
    groups: ['corp:a'],
    extra: {},
  });
});

test('what is remembered of earlier requests changes nothing, whatever users send in whatever order', () => {
  const identities = [INPUT.identity, { ...INPUT.identity }, { ...INPUT.identity, groups: ['corp:b,c'] }];
  const clients = [['Accept', 'a'], ['Accept', 'b', 'Connection', 'accept'], []];
  const settings = [{ groups: '*', extra: [] } as const, { groups: ['corp:a'], extra: ['example.com/team'] }];
  const DELEGATED = [
    { session: 'd1', actor: 'claude' },
    { session: 'd2', actor: 'claude' },
  ];
  const one = fc.record({
    identity: fc.constantFrom(...identities),
    actingAs: fc.constantFrom(undefined, undefined, ...identities),
    raw: fc.constantFrom(...clients),
    impersonate: fc.constantFrom(...settings),
    upstreamToken: fc.constantFrom('before', 'after'),
    sessionId: fc.constantFrom('s1', 's2'),
    delegated: fc.constantFrom(undefined, ...DELEGATED),
    grantIds: fc.constantFrom(undefined, 'g1', 'g1 g2'),
    auditId: fc.uuid(),
    belowProxy: fc.boolean(),
    upgrade: fc.boolean(),
  });
  type Request = typeof one extends fc.Arbitrary<infer T> ? T : never;
  const headersOf = ({ identity, impersonate, ...request }: Request) =>
    flatHeaders(buildUpstreamHeaders({ ...INPUT, ...request, identity: limitIdentity(identity, impersonate) }));
  fc.assert(
    fc.property(fc.array(one, { maxLength: 20 }), (requests) => {
      // Of a copy nothing is remembered.
      for (const request of requests) expect(headersOf(request)).toEqual(headersOf(structuredClone(request)));
    }),
  );
});

describe('whatever a client sends', () => {
  const name = fc.oneof(
    fc.constantFrom(
      'Accept',
      'Connection',
      'Authorization',
      'Impersonate-User',
      'impersonate_group',
      'Upgrade',
      'Cookie',
      'Sec-WebSocket-Protocol',
      'Content-Length',
      'X-Remote-Group',
      'Content-Type',
      'If-None-Match',
    ),
    fc.string({ maxLength: 20 }),
  );
  const value = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a\r\nX: y', 'Accept', 'Impersonate-User', 'b\u0000'),
  );
  const raw = fc.array(fc.tuple(name, value), { maxLength: 8 }).map((list) => list.flat());

  test('nothing outside the allow-list gets out, and our own headers stand once, whole and last', () => {
    const allowed =
      /^(accept|accept-.*|content-.*|if-.*|kubectl-.*|range|user-agent|x-stream-protocol-version|traceparent|sec-websocket-.*|connection|upgrade)$/i;
    fc.assert(
      fc.property(raw, fc.boolean(), (headers, upgrade) => {
        const built = build(headers, { upgrade });
        expect(built.slice(-OWN.length)).toEqual(OWN);
        for (const [sent] of pairs(built.slice(0, -OWN.length))) expect(sent).toMatch(allowed);
      }),
      { numRuns: 1000 },
    );
  });

  test('no value ends a header, no client’s identity survives, and no token does', () => {
    fc.assert(
      fc.property(raw, fc.boolean(), fc.boolean(), (headers, belowProxy, upgrade) => {
        const built = build(headers, { belowProxy, upgrade });
        expect(built.length % 2).toBe(0);
        for (const end of ['\r', '\n', '\0']) expect(built.join('')).not.toContain(end);
        const own = [...pairs(built.slice(0, -OWN.length))];
        for (const [sent] of own)
          expect(sent).not.toMatch(/^(impersonate|x[-_]remote[-_]|authorization$|cookie$|audit[-_]id$)/i);
      }),
      { numRuns: 1000 },
    );
  });
});
