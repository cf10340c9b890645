import { expect, it } from 'vitest';
import { judgeClientHello } from '../../../../src/proxy/listener/client-hello.ts';

/** Of any content: only OpenSSL looks at that. */
const HELLO = message(1, 300);

function message(type: number, length: number): Buffer {
  const bytes = Buffer.alloc(4 + length, 7);
  bytes.writeUInt32BE(length);
  bytes[0] = type;
  return bytes;
}

/** @param length as it is announced */
function record(payload: Buffer, { type = 22, length = payload.length, major = 3 } = {}): Buffer {
  return Buffer.concat([Buffer.from([type, major, 1, length >> 8, length & 255]), payload]);
}

it.each([
  ['one record', record(HELLO)],
  ['records of a byte', Buffer.concat([...HELLO].map((byte) => record(Buffer.from([byte]))))],
])('a ClientHello in %s is whole with its last byte, and not before', (_in, bytes) => {
  const states = Array.from({ length: bytes.length + 1 }, (_, end) => judgeClientHello(bytes.subarray(0, end)));
  expect(states).toEqual([...Array.from({ length: bytes.length }, () => 'partial'), 'whole']);
});

it.each<[what: string, judged: string, bytes: Buffer]>([
  ['a record that begins one', 'partial', record(HELLO.subarray(0, 10))],
  ['a whole one in a record that is not', 'partial', record(HELLO, { length: 400 })],
  ['a warning, for which OpenSSL waits', 'invalid', record(Buffer.from([1, 90]), { type: 21 })],
  ['a warning in the middle', 'invalid', Buffer.concat([record(HELLO.subarray(0, 9)), record(HELLO, { type: 21 })])],
  ['an empty record', 'invalid', record(Buffer.alloc(0))],
  ['another message', 'invalid', record(message(2, 20))],
  ['HTTP', 'invalid', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['another protocol', 'invalid', record(HELLO, { major: 2 })],
  ['a longer message', 'too_large', record(message(1, 16_381).subarray(0, 9))],
  ['a longer record', 'too_large', record(HELLO.subarray(0, 1), { length: 16_380 })],
])('of %s it is %s', (_what, judged, bytes) => {
  expect(judgeClientHello(bytes)).toBe(judged);
});
