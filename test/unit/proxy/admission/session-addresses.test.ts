import { expect, it } from 'vitest';
import { SessionAddresses } from '../../../../src/proxy/admission/session-addresses.ts';

const uses = (addresses: SessionAddresses, session: string, places: readonly string[], now: number): boolean[] =>
  places.map((route) => addresses.isOneTooMany(session, route, now));

it('reports once when a session comes from a fifth address within the hour, and not again', () => {
  const addresses = new SessionAddresses();
  expect(uses(addresses, 's', ['1.0.0.1', '1.0.0.2', '1.0.0.1', '1.0.0.3', '1.0.0.4'], 0)).not.toContain(true);
  expect(uses(addresses, 's', ['1.0.0.5', '1.0.0.5', '1.0.0.6', '1.0.0.7'], 10)).toEqual([true, false, false, false]);
});

it('counts an IPv6 /64 as one address, and each session by itself', () => {
  const addresses = new SessionAddresses();
  const hosts = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8::4', '2001:db8::5', '2001:db8::6'];
  expect(uses(addresses, 's', hosts, 0)).not.toContain(true);
  for (const session of ['a', 'b', 'c', 'd', 'e']) expect(uses(addresses, session, hosts, 0)).not.toContain(true);
});

it('starts again after an hour: a user who travels is no attacker', () => {
  const addresses = new SessionAddresses();
  expect(uses(addresses, 's', ['1.0.0.1', '1.0.0.2', '1.0.0.3', '1.0.0.4'], 0)).not.toContain(true);
  expect(uses(addresses, 's', ['1.0.0.5'], 3600)).toEqual([false]);
  expect(uses(addresses, 's', ['1.0.0.6', '1.0.0.7', '1.0.0.8', '1.0.0.9'], 3700)).toEqual([false, false, false, true]);
});
