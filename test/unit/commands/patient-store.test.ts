import { expect, test } from 'vitest';
import { patiently } from '../../../src/commands/patient-store.ts';
import { AppError } from '../../../src/core/errors.ts';

const away = new AppError('store_unavailable', 'away');

/** @returns a question that fails so often, and then returns how often it was asked */
function failing(times: number, error: Error) {
  let asked = 0;
  return () => {
    asked += 1;
    return asked > times ? Promise.resolve(asked) : Promise.reject(error);
  };
}

test('asks a store that is unavailable again, until the limit, and asks about nothing else twice', async () => {
  expect(await patiently(failing(3, away), { everyMs: 1 })).toBe(4);
  await expect(patiently(failing(1, away), { everyMs: 1, limitMs: 0 })).rejects.toBe(away);
  const broken = new Error('broken');
  await expect(patiently(failing(1, broken), { everyMs: 1 })).rejects.toBe(broken);
});
