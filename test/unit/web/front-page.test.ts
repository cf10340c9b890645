import { afterEach, expect, test } from 'vitest';
import type { DeviceRequests } from '../../../src/contracts/authorization.ts';
import { browserAt, closeStages, openStage, pendingAt } from './harness.ts';

afterEach(closeStages);

/** No device waits. */
const devices: DeviceRequests = {
  find: () => Promise.reject(new Error('there is no such code')),
  allow: () => Promise.reject(new Error('there is no such code')),
  refuse: () => Promise.reject(new Error('there is no such code')),
};

test.each([
  ['on', true],
  ['sameNetwork', true],
  ['off', false],
] as const)(
  'the front page leads to where a device’s code is typed, if there is such a page: %s',
  async (deviceCode, there) => {
    const stage = await openStage({
      change: (deps) => ({
        ...deps,
        devices,
        config: { ...deps.config, sessions: { ...deps.config.sessions, deviceCode } },
      }),
    });
    const browser = browserAt(stage);
    const front = await browser.get('/').expect(200);
    expect(front.text.includes('href="/device"')).toBe(there);
    await browser.get('/device').expect(there ? 200 : 404);
    // A sign-in for a program has no such link.
    const waiting = await pendingAt(stage, 'u1').get('/login/u1');
    expect(waiting.text).not.toContain('href="/device"');
  },
);
