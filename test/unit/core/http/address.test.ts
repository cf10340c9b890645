import { expect, it } from 'vitest';
import { plainAddress, siteOf } from '../../../../src/core/http/address.ts';

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

it.each([
  ['192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
  ['2001:db8::1', '2001:db8:0::/48'],
])('takes %s for one of the site %s', (address, site) => {
  expect(siteOf(address)).toBe(site);
});
