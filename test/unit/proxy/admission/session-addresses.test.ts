import { expect, it } from 'vitest';
import { SessionAddresses } from '../../../../src/proxy/admission/session-addresses.ts';

const uses = (addresses: SessionAddresses, session: string, places: readonly string[], now: number): boolean[] =>
  places.map((place) => addresses.isOneTooMany(session, place, now));

it('tells once when a session comes from a fifth place within the hour, and not again', () => {
  const addresses = new SessionAddresses();
  expect(uses(addresses, 's', ['1.0.0.1', '1.0.0.2', '1.0.0.1', '1.0.0.3', '1.0.0.4'], 0)).not.toContain(true);
  expect(uses(addresses, 's', ['1.0.0.5', '1.0.0.5', '1.0.0.6', '1.0.0.7'], 10)).toEqual([true, false, false, false]);
});

it('takes an IPv6 /64 for one place, and each session by itself', () => {
  const addresses = new SessionAddresses();
  const hosts = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8::4', '2001:db8::5', '2001:db8::6'];
  expect(uses(addresses, 's', hosts, 0)).not.toContain(true);
  for (const session of ['a', 'b', 'c', 'd', 'e']) expect(uses(addresses, session, hosts, 0)).not.toContain(true);
});

it('begins anew after an hour: whoever travels is not a thief', () => {
  const addresses = new SessionAddresses();
  expect(uses(addresses, 's', ['1.0.0.1', '1.0.0.2', '1.0.0.3', '1.0.0.4'], 0)).not.toContain(true);
  expect(uses(addresses, 's', ['1.0.0.5'], 3600)).toEqual([false]);
  expect(uses(addresses, 's', ['1.0.0.6', '1.0.0.7', '1.0.0.8', '1.0.0.9'], 3700)).toEqual([false, false, false, true]);
});
