/** A join that reads more than one page, and what happens to the log meanwhile. */
import { randomBytes } from 'node:crypto';

import type { Redis } from 'ioredis';
import { expect, it } from 'vitest';

import { sessionKey } from '../../src/core/credential/revocation.ts';
import { Connection } from '../../src/store/redis/connection.ts';
import { readLog } from '../../src/store/redis/join.ts';
import { Runner, type RunnerOptions } from '../../src/store/redis/runner.ts';
import { livePage } from '../../src/store/redis/scripts.ts';
import { replica } from './fixtures.ts';
import { ANY_SKEW, workbench, type Workbench } from './redis-stores.ts';

const ROWS = 12_000;

/** Writes live entries as revocations would. */
async function fill(bare: Redis, until: number): Promise<void> {
  const pipeline = bare.pipeline();
  for (let number = 1; number <= ROWS; number += 1) {
    pipeline.zadd('{portcullis}:idx', number, `${number} ${until} ${sessionKey(`session-${number}`)}`);
  }
  pipeline.hset('{portcullis}:epoch', 'n', ROWS);
  pipeline.xadd(
    '{portcullis}:log',
    `${ROWS}-0`,
    'h',
    (await bare.hget('{portcullis}:epoch', 'h')) ?? '',
    'u',
    until,
    'k',
    'revoked',
    't',
    'all',
  );
  await pipeline.exec();
}

/** A real one, which lets something happen before each page that it asks for. */
class InterruptedRunner extends Runner {
  readonly #between: (page: number) => Promise<void>;
  #pages = 0;

  constructor(options: RunnerOptions, between: (page: number) => Promise<void>) {
    super(options);
    this.#between = between;
  }

  override async runOnce(...args: Parameters<Runner['runOnce']>): Promise<readonly unknown[]> {
    if (args[1] === livePage) {
      this.#pages += 1;
      await this.#between(this.#pages);
    }
    return await super.runOnce(...args);
  }
}

async function joinInterrupted(bench: Workbench, between: (page: number) => Promise<void>) {
  const writes = new Connection({ url: bench.redis.url, prefix: 'portcullis' }, 'join', () => {});
  const options = {
    base: '{portcullis}:',
    clock: bench.clock,
    clockSkewMs: ANY_SKEW * 1000,
    writes,
    emptyStore: 'init',
    onEpoch: () => {},
  } as const;
  const asked = { longestTokenSeconds: 300, seconds: bench.clock.seconds() };
  try {
    await expect.poll(() => writes.run((redis) => redis.ping()).catch(() => 'away'), { timeout: 10_000 }).toBe('PONG');
    return await readLog(new InterruptedRunner(options, between), writes, asked);
  } finally {
    writes.close();
  }
}

it('reads every live entry once, in order, however many pages there are', async () => {
  await using bench = await workbench();
  await bench.store();
  await fill(bench.bare, bench.clock.seconds() + 600);
  const { position, live } = await (await bench.fresh()).log.join(300);
  expect(position.number).toBe(ROWS);
  expect(live.map(({ number }) => number)).toEqual(Array.from({ length: ROWS }, (_, index) => index + 1));
  expect(live[6789]?.change).toEqual({ kind: 'revoked', key: sessionKey('session-6790') });
});

it('leaves what is appended while it reads to the renewal from the number that it took first', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await fill(bench.bare, bench.clock.seconds() + 600);
  const joined = await joinInterrupted(bench, async (page) => {
    if (page > 1) await store.log.append({ requestId: `between-${page}`, target: { kind: 'all' } });
  });
  expect(joined.place.number).toBe(ROWS);
  expect(joined.live).toHaveLength(ROWS);
  const renewed = await store.log.renew(replica(), { epoch: joined.place.epoch, number: ROWS });
  expect(renewed.ok && renewed.entries.map(({ number }) => number)).toEqual([ROWS + 1, ROWS + 2]);
});

it('starts over where the epoch ends while it reads, and mixes nothing of the two', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await fill(bench.bare, bench.clock.seconds() + 600);
  const { epoch } = await store.log.position();
  const joined = await joinInterrupted(bench, async (page) => {
    if (page !== 2) return;
    await bench.bare.flushall();
    await store.log.append({ requestId: 'new', target: { kind: 'all' } });
  });
  expect(joined.place.epoch).not.toBe(epoch);
  expect(joined.live).toMatchObject([{ number: 1, change: { kind: 'revoked', key: 'all' } }]);
});

it('gives up where epochs end faster than it can read', async () => {
  await using bench = await workbench();
  await bench.store();
  const rename = async (): Promise<void> => {
    await fill(bench.bare, bench.clock.seconds() + 600);
    await bench.bare.hset('{portcullis}:epoch', 'id', randomBytes(16).toString('base64url'));
  };
  await rename();
  await expect(joinInterrupted(bench, rename)).rejects.toMatchObject({ reason: 'epoch_unsettled' });
});

it('is not misled for ever by a row that stands in a wrong place', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  await fill(bench.bare, bench.clock.seconds() + 600);
  await bench.bare.zadd('{portcullis}:idx', 5000, `1 ${bench.clock.seconds() + 600} all`);
  await expect(store.log.join(300)).rejects.toMatchObject({ reason: 'log_entry_unreadable' });
});

it('keeps the index as small as what is alive, also behind entries of a clock that is wrong', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const { bare, clock } = bench;
  await store.log.append({ requestId: 'first', target: { kind: 'all' } });
  await bare.del('{portcullis}:idx');
  // Of a replica that believed itself in another century, and 100 that have been over for long.
  for (let number = 1; number <= 150; number += 1) {
    const until = number <= 50 ? clock.seconds() + 4e9 : clock.seconds() - 1;
    await bare.zadd('{portcullis}:idx', number, `${number} ${until} all`);
  }
  await bare.hset('{portcullis}:epoch', 'n', 150);
  await bare.del('{portcullis}:log');
  const other = await bench.fresh();
  for (let count = 0; count < 500; count += 1) {
    await other.log.append({ requestId: `r-${count}`, target: { kind: 'all' } });
    if ((await bare.zcount('{portcullis}:idx', 51, 150)) === 0) break;
  }
  expect(await bare.zcount('{portcullis}:idx', 51, 150)).toBe(0);
});
