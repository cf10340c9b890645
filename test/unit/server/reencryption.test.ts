import { afterEach, expect, it, vi } from 'vitest';
import { startReencryption } from '../../../src/server/reencryption.ts';
import type { ReencryptOutcome } from '../../../src/store/store.ts';
import { createMetrics } from '../../../src/telemetry/telemetry.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

/** A store that answers so, one round after the other; the last answer for ever. */
function bench(...outcomes: readonly (ReencryptOutcome | Error)[]) {
  const metrics = createMetrics();
  const said: string[] = [];
  const holders = new Set<string>();
  let round = 0;
  const reencrypt = async (holder: string): Promise<ReencryptOutcome> => {
    holders.add(holder);
    const outcome = outcomes[Math.min(round, outcomes.length - 1)];
    round += 1;
    if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error('nothing to say');
    return outcome;
  };
  const stop = startReencryption(
    {
      store: { sealed: { reencrypt } },
      sealing: {
        all: new Map([
          ['a', new Uint8Array()],
          ['b', new Uint8Array()],
        ]),
      },
      logger: { info: (...text: unknown[]) => void said.push(String(text.at(-1))) },
      metrics,
    },
    { everyMs: 1, pauseMs: 0 },
  );
  stops.push(stop);
  const gauge = async (): Promise<string | undefined> =>
    /^portcullis_sealed_with_old_key (\S+)$/m.exec((await metrics.render()).body)?.[1];
  return { gauge, said, holders, stop, rounds: () => round };
}

it('says how many there were, and once that the older keys may go', async () => {
  const { gauge, said, rounds, holders } = bench({ kind: 'done', found: 7 }, { kind: 'done', found: 0 });
  await vi.waitFor(() => expect(rounds()).toBeGreaterThan(5));
  expect(await gauge()).toBe('0');
  expect(said).toEqual([
    'values were re-encrypted with the current sealing key',
    'the older sealing keys are no longer needed',
  ]);
  expect(holders.size).toBe(1);
});

it('says nothing of what another replica is at, and goes on after a failure', async () => {
  const { gauge, rounds } = bench(new Error('away'), { kind: 'elsewhere' });
  await vi.waitFor(() => expect(rounds()).toBeGreaterThan(3));
  expect(await gauge()).toBeUndefined();
});

it('ends when it is told to', async () => {
  const { stop, rounds } = bench({ kind: 'done', found: 0 });
  await vi.waitFor(() => expect(rounds()).toBeGreaterThan(1));
  await stop();
  const before = rounds();
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  expect(rounds()).toBe(before);
});
