import { expect, test } from 'vitest';
import { describeLocation } from '../../../../src/web/device/device-location.ts';

const INTERNET = 'the internet';
const SAME = 'the internet, from the same address as this browser';
const PRIVATE = 'a private network, or a load balancer in front of Portcullis';

test.each([
  // Only a server with a loopback URL has its user at the same computer.
  ['127.0.0.1', '127.0.0.1', true, 'this computer'],
  ['::1', '127.0.0.1', true, 'this computer'],
  ['127.0.0.1', '127.0.0.1', false, undefined],
  ['127.9.9.9', '203.0.113.7', false, undefined],
  ['10.0.0.7', '10.0.0.7', false, PRIVATE],
  ['172.16.0.1', undefined, false, PRIVATE],
  ['172.32.0.1', undefined, false, INTERNET],
  ['192.168.1.20', '192.168.1.21', true, PRIVATE],
  ['100.64.0.1', undefined, false, PRIVATE],
  ['169.254.1.1', undefined, false, PRIVATE],
  ['fd00::7', undefined, false, PRIVATE],
  ['fe80::1%eth0', undefined, false, PRIVATE],
  ['198.51.100.7', '203.0.113.7', false, INTERNET],
  ['198.51.100.7', '198.51.100.7', false, SAME],
  // Neighbours in a public IPv4 range are unrelated.
  ['198.51.100.7', '198.51.100.8', false, INTERNET],
  // Behind a proxy that hides its clients, no address is known.
  ['198.51.100.7', undefined, false, INTERNET],
  ['2001:db8:1:2::7', '2001:db8:1:2::8', false, 'the internet, from the same network as this browser'],
  ['2001:db8:1:2::7', '2001:db8:1:3::7', false, INTERNET],
  ['2001:db8:1:2::7', '2001:db8:1:2::7', false, SAME],
  ['0.0.0.0', undefined, false, undefined],
  ['224.0.0.1', undefined, false, undefined],
  ['255.255.255.255', undefined, false, undefined],
  ['ff02::1', undefined, false, undefined],
  ['::', undefined, false, undefined],
  ['', undefined, false, undefined],
  ['nonsense', 'nonsense', false, undefined],
])('of %s, seen from a browser at %s (local: %s), it says: %s', (device, browser, local, text) => {
  expect(describeLocation({ device, browser, local })).toBe(text);
});
