import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { bearerToken, withoutBearerProtocol } from '../../../../src/core/credential/bearer-token.ts';

const PREFIX = 'base64url.bearer.authorization.k8s.io.';
const protocol = (token: string): string => PREFIX + Buffer.from(token).toString('base64url');

test.each([
  [['Authorization', 'Bearer abc.DEF-_~+/=='], 'abc.DEF-_~+/=='],
  [['AUTHORIZATION', 'bearer  abc'], 'abc'],
  [['Sec-WebSocket-Protocol', `v4.channel.k8s.io, ${protocol('abc.def')}`], 'abc.def'],
  [['Sec-WebSocket-Protocol', protocol('abc'), 'sec-websocket-protocol', 'v4.channel.k8s.io'], 'abc'],
  [['Sec-WebSocket-Protocol', 'v4.channel.k8s.io'], undefined],
  [['Accept', 'x'], undefined],
  [[], undefined],
])('%j carries %s', (raw, token) => {
  expect(bearerToken(raw)).toEqual({ ok: true, value: token });
});

test.each([
  [['Authorization', 'Bearer a', 'authorization', 'Bearer a'], 'authorization_repeated'],
  [['Authorization', 'Basic abc'], 'authorization_not_bearer'],
  [['Authorization', ''], 'authorization_not_bearer'],
  [['Authorization', 'abc'], 'authorization_not_bearer'],
  [['Authorization', 'Bearer'], 'token_malformed'],
  [['Authorization', 'Bearer a b'], 'token_malformed'],
  [['Authorization', 'Bearer a,b'], 'token_malformed'],
  [['Authorization', 'Bearer \u00e9'], 'token_malformed'],
  [['Authorization', 'Bearer a', 'Sec-WebSocket-Protocol', `x, ${protocol('b')}`], 'token_in_two_places'],
  [['Sec-WebSocket-Protocol', `x, ${protocol('a')}, ${protocol('b')}`], 'subprotocol_repeated'],
  [['Sec-WebSocket-Protocol', protocol('a')], 'subprotocol_alone'],
  [['Sec-WebSocket-Protocol', `x, ${PREFIX}`], 'token_malformed'],
  [['Sec-WebSocket-Protocol', `x, ${PREFIX}YQ==`], 'token_malformed'],
  [['Sec-WebSocket-Protocol', `x, ${PREFIX}Y!Q`], 'token_malformed'],
  [['Sec-WebSocket-Protocol', `x, ${protocol('a\r\nb')}`], 'token_malformed'],
])('%j is refused: %s', (raw, reason) => {
  expect(bearerToken(raw)).toEqual({ ok: false, reason });
});

test('strips every spelling of the subprotocol that carries a token', () => {
  const other = fc.constantFrom('v4.channel.k8s.io', 'v5.channel.k8s.io', 'chat');
  const carrying = fc.string({ minLength: 1 }).map(protocol);
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          other,
          carrying,
          carrying.map((text) => text.toUpperCase()),
        ),
        { maxLength: 6 },
      ),
      (list) => {
        const kept = list.filter((text) => !text.toLowerCase().startsWith(PREFIX));
        expect(withoutBearerProtocol(list.join(' ,'))).toBe(kept.join(', '));
      },
    ),
  );
});
