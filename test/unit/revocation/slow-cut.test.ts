import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { RevocationResult } from '../../../src/revocation/revocation.ts';
import { ALICE, fly, pass, replicas } from './replica-harness.ts';

/** In steps in which fifty streams are reset, on a machine that needs 200 ms for that. */
const STEP_MS = 200;

let made: ReturnType<typeof replicas>;
let turns: (() => void)[];
beforeEach(() => {
  vi.useFakeTimers();
  turns = [];
  vi.spyOn(globalThis, 'setImmediate').mockImplementation(((turn: () => void) => turns.push(turn)) as never);
  made = replicas();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await made.stop();
  vi.useRealTimers();
});

async function goOn(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= STEP_MS) {
    for (const turn of turns.splice(0)) turn();
    await pass(STEP_MS);
  }
}

it('a revocation waits beyond W while its streams are being closed, and says how many are left', async () => {
  const { guard } = await made.started('a');
  await goOn(3_000);
  const { position } = await made.now(guard);
  for (let left = 2_400; left > 0; left -= 1) fly(guard, position);
  const results: RevocationResult[] = [];
  const revoke = () => guard.revoke({ target: { kind: 'session', session: ALICE.session } });
  void revoke().then((result) => results.push(result));
  // W and its margin are over.
  await goOn(5_000);
  expect(results).toEqual([]);
  await goOn(4_900);
  expect(results).toMatchObject([{ complete: true, streamsClosed: 2_400 }]);
  for (let left = 1_500; left > 0; left -= 1) fly(guard, position);
  void revoke().then((result) => results.push(result));
  await goOn(4_000);
  // The process is stopped, or hangs in one reset.
  await pass(3_000);
  expect(results[1]?.missing).toEqual([expect.stringMatching(/^this replica: it still closes streams, \d+ are left$/)]);
});
