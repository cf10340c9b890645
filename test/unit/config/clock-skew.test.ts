import { expect, test } from 'vitest';
import { loaded, placesOf, settings } from './sandbox.ts';

test.each([
  ['10s', 10],
  ['90s', 90],
  ['5m', 300],
])('clocks may differ by %s', async (clockSkew, seconds) => {
  const { config } = await loaded({ ...settings(), clockSkew });
  expect(config.clockSkew).toBe(seconds);
});

test.each(['301s', '6m', '9s', '0s', '-1s', 60, '', 'off'])('clocks may not differ by %j', async (clockSkew) => {
  expect(await placesOf({ ...settings(), clockSkew })).toEqual(['clockSkew']);
});
