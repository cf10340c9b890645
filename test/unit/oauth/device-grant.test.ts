import { describe, expect, test } from 'vitest';
import { artefactAdapter } from '../../../src/oauth/artefact-adapter.ts';
import { createDevicePace, deviceInfo } from '../../../src/oauth/device-grant.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';

function paced() {
  let time = 1_000_000;
  const pace = createDevicePace({ beginsPerMinute: 3, now: () => time });
  return { pace, after: (seconds: number) => void (time += seconds * 1000) };
}

describe('a device that polls', () => {
  test('every five seconds is never told to slow down, nor where the network brings it half a second early', () => {
    const { pace, after } = paced();
    for (let poll = 0; poll < 10; poll += 1) {
      expect(pace.poll('code')).toBe(true);
      after(poll % 2 === 0 ? 4.6 : 5);
    }
  });

  test('too early has to wait five seconds longer each time, from then on (RFC 8628 §3.5)', () => {
    const { pace, after } = paced();
    const polls: boolean[] = [];
    for (const seconds of [1, 5, 10, 20, 20]) {
      polls.push(pace.poll('code'));
      after(seconds);
    }
    expect(polls).toEqual([true, false, false, false, true]);
  });

  test('does not slow another down', () => {
    const { pace } = paced();
    pace.poll('code');
    expect(pace.poll('code')).toBe(false);
    expect(pace.poll('other')).toBe(true);
  });
});

test('an address begins so many sign-ins a minute, and others begin theirs', () => {
  const { pace, after } = paced();
  expect(Array.from({ length: 4 }, () => pace.begin('203.0.113.7'))).toEqual([0, 0, 0, 20]);
  expect(pace.begin('203.0.113.8')).toBe(0);
  // A whole IPv6 network is one address.
  expect([1, 2, 3, 4].map((host) => pace.begin(`2001:db8::${host}`))).toEqual([0, 0, 0, 20]);
  after(20);
  expect(pace.begin('203.0.113.7')).toBe(0);
});

test('a clock that is set back keeps no device waiting', () => {
  const { pace, after } = paced();
  pace.poll('code');
  after(-3600);
  expect(pace.poll('code')).toBe(true);
});

test('what a device says of itself is shortened and holds no control or bidirectional character', () => {
  const headers = { 'user-agent': `a\u0007b\u202ec${'x'.repeat(500)}`, 'x-forwarded-for': '198.51.100.1' };
  const req = { headers, socket: { remoteAddress: '::ffff:203.0.113.7' } };
  const info = deviceInfo({ req } as unknown as Parameters<typeof deviceInfo>[0]);
  expect(info).toEqual({ address: '203.0.113.7', userAgent: `abc${'x'.repeat(253)}` });
});

test('a code is known for five minutes after its end, so that the device hears that it has expired', async () => {
  let time = Date.now();
  const { artefacts } = createMemoryStore({ clock: { now: () => time } });
  const codes = artefactAdapter({ artefacts, endSession: () => Promise.resolve() })('DeviceCode');
  if (typeof codes !== 'object') throw new Error('no adapter');
  await codes.upsert('device-code', { kind: 'DeviceCode', userCode: 'BCDFGHJK' }, 600);
  time += 899_000;
  expect(await codes.find('device-code')).toBeDefined();
  expect(await codes.findByUserCode('BCDFGHJK')).toBeDefined();
  time += 2000;
  expect(await codes.find('device-code')).toBeUndefined();
});
