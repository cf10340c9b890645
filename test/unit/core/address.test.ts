import { expect, it } from 'vitest';
import { plainAddress } from '../../../src/core/address.ts';

it.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::FFFF:192.0.2.1', '192.0.2.1'],
  ['2001:db8::1', '2001:db8::1'],
  ['::ffff:0:1', '::ffff:0:1'],
  ['', ''],
])('writes %s as %s', (address, plain) => {
  expect(plainAddress(address)).toBe(plain);
});
