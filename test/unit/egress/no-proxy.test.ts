import { expect, test } from 'vitest';
import { isProxied } from '../../../src/egress/no-proxy.ts';

/** As golang.org/x/net/http/httpproxy documents and tests it. */
test.each([
  { noProxy: '', target: 'https://portcullis.example.com', through: true },
  { noProxy: '*', target: 'https://portcullis.example.com', through: false },
  { noProxy: 'other.com , *', target: 'https://portcullis.example.com', through: false },
  { noProxy: 'example.com', target: 'https://example.com', through: false },
  { noProxy: 'example.com', target: 'https://portcullis.example.com', through: false },
  { noProxy: 'example.com', target: 'https://notexample.com', through: true },
  { noProxy: '.example.com', target: 'https://example.com', through: true },
  { noProxy: '.example.com', target: 'https://portcullis.example.com', through: false },
  { noProxy: '*.example.com', target: 'https://example.com', through: true },
  { noProxy: '*.example.com', target: 'https://a.portcullis.example.com', through: false },
  { noProxy: ' EXAMPLE.com ,', target: 'https://portcullis.example.com', through: false },
  { noProxy: 'example.com:8443', target: 'https://portcullis.example.com', through: true },
  { noProxy: 'example.com:8443', target: 'https://portcullis.example.com:8443', through: false },
  { noProxy: 'example.com:443', target: 'https://portcullis.example.com', through: false },
  { noProxy: '192.0.2.0/24', target: 'https://192.0.2.77', through: false },
  { noProxy: '192.0.2.0/24', target: 'https://198.51.100.1', through: true },
  { noProxy: '192.0.2.0/33', target: 'https://192.0.2.77', through: true },
  { noProxy: '192.0.2.77', target: 'https://192.0.2.77:6443', through: false },
  { noProxy: '192.0.2.77:443', target: 'https://192.0.2.77:6443', through: true },
  { noProxy: '2001:db8::/32', target: 'https://[2001:db8::1]:6443', through: false },
  { noProxy: '2001:db8:0::1', target: 'https://[2001:db8::1]', through: false },
  { noProxy: '[2001:db8::1]:443', target: 'https://[2001:db8::1]', through: false },
  { noProxy: '[2001:db8::1]:443', target: 'https://[2001:db8::1]:6443', through: true },
  { noProxy: '2001:db8::/32', target: 'https://192.0.2.77', through: true },
  { noProxy: ':443,/,[', target: 'https://portcullis.example.com', through: true },
])('NO_PROXY=$noProxy: $target through the proxy: $through', ({ noProxy, target, through }) => {
  expect(isProxied(new URL(target), noProxy)).toBe(through);
});

test.each([
  'https://localhost:8443',
  'https://127.0.0.1',
  'https://127.8.9.1:1',
  'https://[::1]:1',
  'http://localhost',
])('%s never leaves the machine, so it goes through no proxy', (target) => {
  expect(isProxied(new URL(target), '')).toBe(false);
});
