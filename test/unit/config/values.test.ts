import { expect, test } from 'vitest';
import { pathText } from '../../../src/config/validation-errors.ts';
import { cidr, parseAddress, parseDuration, parseSize } from '../../../src/config/values.ts';
import { nearest } from '../../../src/core/nearest.ts';

test.each([
  ['90s', 90],
  ['5m', 300],
  ['12h', 43_200],
  ['0s', 0],
  ['5', undefined],
  ['5 m', undefined],
  ['-5m', undefined],
  ['1.5h', undefined],
  ['5M', undefined],
  ['5d', undefined],
  ['', undefined],
  ['9999999999s', undefined],
])('the duration %j is %s seconds', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each([
  ['16KiB', 16_384],
  ['1MiB', 1_048_576],
  ['512B', 512],
  ['16KB', undefined],
  ['16', undefined],
  ['KiB', undefined],
])('the size %j is %s bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  ['0.0.0.0:6443', { host: '0.0.0.0', port: 6443 }],
  ['[::]:6443', { host: '::', port: 6443 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['6443', undefined],
  [':6443', undefined],
  ['::1:6443', undefined],
  ['localhost:65536', undefined],
  ['localhost:', undefined],
  ['local host:1', undefined],
])('the address %j is %j', (text, address) => {
  expect(parseAddress(text)).toEqual(address);
});

test.each([
  ['10.0.0.0/8', true],
  ['192.0.2.7/32', true],
  ['fd00::/8', true],
  ['::1/128', true],
  ['10.0.0.0', false],
  ['10.0.0.0/0', false],
  ['::/0', false],
  ['10.0.0.0/33', false],
  ['fd00::/129', false],
  ['10.0.0/8', false],
  ['10.0.0.0/8 ', false],
  ['10.0.0.0/08', false],
  ['host/8', false],
])('%j is a CIDR: %j', (text, good) => {
  expect(cidr.safeParse(text).success).toBe(good);
});

test('a place reads as in a program', () => {
  expect(pathText(['providers', 0, 'rules', 12, 'message'])).toBe('providers[0].rules[12].message');
  expect(pathText([])).toBe('');
});

test('only a near name is offered', () => {
  expect(nearest('adress', ['address', 'certFile'])).toBe('address');
  expect(nearest('CERTFILE', ['address', 'certFile'])).toBe('certFile');
  expect(nearest('zzz', ['address', 'certFile'])).toBeUndefined();
});
