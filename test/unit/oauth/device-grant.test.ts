import { describe, expect, test } from 'vitest';
import { artefactAdapter } from '../../../src/oauth/artefact-adapter.ts';
import { createDeviceLimits, deviceInfo } from '../../../src/oauth/device-grant.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';

function limited() {
  let time = 1_000_000;
  const limits = createDeviceLimits({ signInsPerMinute: 3, clock: { nowMs: () => time } });
  return { limits, after: (seconds: number) => void (time += seconds * 1000) };
}

describe('a device that polls', () => {
  test('every five seconds is never told to slow down, nor where the network brings it half a second early', () => {
    const { limits, after } = limited();
    for (let poll = 0; poll < 10; poll += 1) {
      expect(limits.poll('code')).toBe(true);
      after(poll % 2 === 0 ? 4.6 : 5);
    }
  });

  test('too early has to wait five seconds longer each time, from then on (RFC 8628 §3.5)', () => {
    const { limits, after } = limited();
    const polls: boolean[] = [];
    for (const seconds of [1, 5, 10, 20, 20]) {
      polls.push(limits.poll('code'));
      after(seconds);
    }
    expect(polls).toEqual([true, false, false, false, true]);
  });

  test('does not slow another down', () => {
    const { limits } = limited();
    limits.poll('code');
    expect(limits.poll('code')).toBe(false);
    expect(limits.poll('other')).toBe(true);
  });
});

test('an address begins so many sign-ins a minute, and others begin theirs', () => {
  const { limits, after } = limited();
  expect(Array.from({ length: 4 }, () => limits.start('203.0.113.7'))).toEqual([0, 0, 0, 20]);
  expect(limits.start('203.0.113.8')).toBe(0);
  // A whole IPv6 network is one address.
  expect([1, 2, 3, 4].map((host) => limits.start(`2001:db8::${host}`))).toEqual([0, 0, 0, 20]);
  after(20);
  expect(limits.start('203.0.113.7')).toBe(0);
});

test('a clock that is set back keeps no device waiting', () => {
  const { limits, after } = limited();
  limits.poll('code');
  after(-3600);
  expect(limits.poll('code')).toBe(true);
});

test('what a device says of itself is shortened and holds no control or bidirectional character', () => {
  const headers = { 'user-agent': `a\u0007b\u202ec${'x'.repeat(500)}`, 'x-forwarded-for': '198.51.100.1' };
  const req = { headers, socket: { remoteAddress: '::ffff:203.0.113.7' } };
  const info = deviceInfo({ req } as unknown as Parameters<typeof deviceInfo>[0]);
  expect(info).toEqual({ address: '203.0.113.7', userAgent: `abc${'x'.repeat(253)}` });
});

test('a code is known for five minutes after its end, so that the device hears that it has expired', async () => {
  let time = Date.now();
  const { artefacts } = createMemoryStore({ clock: { nowMs: () => time } });
  const codes = artefactAdapter({ artefacts, endSession: () => Promise.resolve() })('DeviceCode');
  if (typeof codes !== 'object') throw new Error('no adapter');
  await codes.upsert('device-code', { kind: 'DeviceCode', userCode: 'BCDFGHJK' }, 600);
  time += 899_000;
  expect(await codes.find('device-code')).toBeDefined();
  expect(await codes.findByUserCode('BCDFGHJK')).toBeDefined();
  time += 2000;
  expect(await codes.find('device-code')).toBeUndefined();
});
