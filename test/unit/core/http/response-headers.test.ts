import { expect, test } from 'vitest';
import { filterResponseHeaders } from '../../../../src/core/http/response-headers.ts';

const filter = (raw: string[], proxySubresource = false) => filterResponseHeaders(raw, { proxySubresource });

test('passes what the API server says, repeated headers included', () => {
  const raw = [
    'Content-Type',
    'application/json',
    'Warning',
    '299 - "a"',
    'Warning',
    '299 - "b"',
    'X-Kubernetes-Pf-Flowschema-Uid',
    'x',
    'Content-Length',
    '2',
  ];
  expect(filter(raw)).toEqual(raw);
});

test.each([
  'Set-Cookie',
  'set-cookie2',
  'Set_Cookie',
  'Connection',
  'Keep-Alive',
  'Transfer-Encoding',
  'Upgrade',
  'Trailer',
  'Proxy-Authenticate',
  'Alt-Svc',
  'Strict-Transport-Security',
])('drops %s', (name) => {
  expect(filter([name, 'x'])).toEqual([]);
});

test('drops what Connection names and what no header may hold', () => {
  expect(filter(['Connection', 'X-Internal', 'X-Internal', 'a', 'X-Bad', 'a\r\nSet-Cookie: b', 'X Bad', 'c'])).toEqual(
    [],
  );
});

test('puts what came from a pod or service into a sandbox, whatever policy it brings', () => {
  const raw = ['Content-Security-Policy', 'default-src *', 'Clear-Site-Data', '"cookies"', 'Content-Type', 'text/html'];
  expect(filter(raw, true)).toEqual(['Content-Type', 'text/html', 'Content-Security-Policy', 'sandbox']);
  // Nothing of it reads like a word of ours either: kubectl prints a warning, and asks for a credential.
  expect(filter(['Warning', '299 - "run this"', 'WWW-Authenticate', 'Bearer', 'Audit-Id', 'x'], true)).toEqual(
    filter([], true),
  );
  expect(filter([], true)).toEqual(['Content-Security-Policy', 'sandbox']);
});
