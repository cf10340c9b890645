/** What holds for every list of headers, in both directions, and for where a token may stand. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bearerToken } from '../../../../src/core/credential/bearer-token.ts';
import { canonicalName, pairs } from '../../../../src/core/http/header-names.ts';
import { filterResponseHeaders } from '../../../../src/core/http/response-headers.ts';
import { buildUpstreamHeaders, flatHeaders } from '../../../../src/core/http/upstream-headers.ts';

const RUNS = { numRuns: 1000 };
const PREFIX = 'base64url.bearer.authorization.k8s.io.';

const name = fc.oneof(
  fc.constantFrom(
    'Accept',
    'Content-Type',
    'Connection',
    'Upgrade',
    'Set-Cookie',
    'set_cookie',
    'Keep-Alive',
    'Location',
    'X-A',
  ),
  fc.constantFrom(
    'Transfer-Encoding',
    'Content-Security-Policy',
    'Clear-Site-Data',
    'Warning',
    'Alt-Svc',
    'TE',
    'Trailer',
    'Cookie',
  ),
  fc.string({ maxLength: 12 }),
);
const value = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('X-A, Accept', 'close', 'a\r\nSet-Cookie: b'),
);
const rawHeaders = fc.array(fc.tuple(name, value), { maxLength: 8 }).map((list) => list.flat());
const token = fc.stringMatching(/^[A-Za-z0-9._~+/-]{20,60}={0,2}$/);
const asProtocol = (text: string): string => PREFIX + Buffer.from(text, 'latin1').toString('base64url');

describe('headers back to a client', () => {
  test('are some of the API server’s, in their order, and never one that ends another or speaks for Portcullis', () => {
    fc.assert(
      fc.property(rawHeaders, fc.boolean(), (raw, proxySubresource) => {
        const filtered = filterResponseHeaders(raw, { proxySubresource });
        const own = proxySubresource ? filtered.slice(0, -2) : filtered;
        let rest = [...pairs(raw)];
        for (const [sent, text] of pairs(own)) {
          expect(sent + text).not.toMatch(/[\r\n\0]/);
          expect(canonicalName(sent)).not.toMatch(
            /^(set-cookie2?|connection|transfer-encoding|upgrade|keep-alive|alt-svc|trailer|te)$/,
          );
          const at = rest.findIndex(([from, was]) => from === sent && was === text);
          expect(at).toBeGreaterThanOrEqual(0);
          rest = rest.slice(at + 1);
        }
      }),
      RUNS,
    );
  });

  test('are filtered once and for all', () => {
    fc.assert(
      fc.property(rawHeaders, (raw) => {
        const filtered = filterResponseHeaders(raw, { proxySubresource: false });
        expect(filterResponseHeaders(filtered, { proxySubresource: false })).toEqual(filtered);
      }),
      RUNS,
    );
  });

  test('have exactly one policy below …/proxy, and it is the sandbox', () => {
    fc.assert(
      fc.property(rawHeaders, (raw) => {
        const filtered = [...pairs(filterResponseHeaders(raw, { proxySubresource: true }))];
        const policies = filtered.filter(([sent]) => canonicalName(sent).startsWith('content-security-policy'));
        expect(policies).toEqual([['Content-Security-Policy', 'sandbox']]);
      }),
      RUNS,
    );
  });
});

describe('a client’s token', () => {
  const noise = fc
    .array(
      fc.tuple(
        fc.constantFrom('Accept', 'Cookie', 'X-Authorization', 'Proxy-Authorization', 'Authorization_'),
        fc.string(),
      ),
      { maxLength: 4 },
    )
    .map((list) => list.flat());
  const spelling = fc.constantFrom('Authorization', 'authorization', 'AUTHORIZATION');
  const scheme = fc.constantFrom('Bearer ', 'bearer ', 'BEARER  ');

  test('is found in the one place where it stands, whatever stands around it', () => {
    fc.assert(
      fc.property(noise, noise, token, spelling, scheme, (before, after, text, header, word) => {
        expect(bearerToken([...before, header, word + text, ...after])).toEqual({ ok: true, value: text });
        const protocols = ['Sec-WebSocket-Protocol', `v5.channel.k8s.io, ${asProtocol(text)}`];
        expect(bearerToken([...before, ...protocols, ...after])).toEqual({ ok: true, value: text });
      }),
      RUNS,
    );
  });

  test('is refused where there are two, alike or not', () => {
    const carrier = fc.oneof(
      fc.tuple(spelling, scheme, token).map(([header, word, text]) => [header, word + text]),
      token.map((text) => ['Sec-WebSocket-Protocol', `v5.channel.k8s.io, ${asProtocol(text)}`]),
    );
    fc.assert(
      fc.property(noise, carrier, noise, carrier, (before, one, between, other) => {
        expect(bearerToken([...before, ...one, ...between, ...other]).ok).toBe(false);
      }),
      RUNS,
    );
  });

  test('is never more than one whole token, whatever comes', () => {
    const header = fc.constantFrom('Authorization', 'Sec-WebSocket-Protocol');
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((tail) => `Bearer ${tail}`),
      fc.string().map((tail) => `a, ${PREFIX}${tail}`),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(header, text), { maxLength: 3 }), (list) => {
        const found = bearerToken(list.flat());
        expect((found.ok && found.value) || 'none').toMatch(/^[A-Za-z0-9._~+/-]+=*$/);
      }),
      RUNS,
    );
  });

  test('never goes on to the cluster, in whichever spelling it came', () => {
    fc.assert(
      fc.property(noise, token, fc.boolean(), fc.boolean(), (around, text, belowProxy, upgrade) => {
        const raw = [
          ...around,
          'Authorization',
          `Bearer ${text}`,
          'Sec-WebSocket-Protocol',
          `a, ${asProtocol(text)}`,
          'Cookie',
          text,
        ];
        const built = flatHeaders(
          buildUpstreamHeaders({
            raw,
            belowProxy,
            upgrade,
            upstreamToken: 'upstream',
            identity: { username: 'corp:alice', uid: 'corp/1', groups: [], extra: {} },
            sessionId: 's1',
            auditId: 'a1',
            forwardedFor: '192.0.2.7',
          }),
        ).join('\n');
        expect(built).not.toContain(text);
        expect(built).not.toContain(Buffer.from(text, 'latin1').toString('base64url'));
      }),
      RUNS,
    );
  });
});
