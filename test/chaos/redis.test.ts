/** What may happen to Redis while a user is revoked, and after. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe } from 'vitest';
import { chaos } from './chaos.ts';
import { operator, redisServer, type OwnRedis } from './ground.ts';
import { createLink } from './link.ts';
import { EPOCH, LEASE, LEASES_KEPT, RUN_ID, SETTLED, SURVIVOR } from './safeguards.ts';
import {
  fenced,
  LONGER_SECONDS,
  now,
  revokeWholly,
  serves,
  STALENESS_SECONDS,
  type Replica,
  type Stage,
} from './stage.ts';

const ALICE = { target: { kind: 'account', account: 'corp/alice' } } as const;
const A_WHILE_MS = 400;
/** Shorter by far than an epoch takes to settle. */
const A_MOMENT_MS = 100;

/** Everything that a lease granted before this moment could still admit is over by then. */
const leaseOver = (): Promise<void> => delay(STALENESS_SECONDS * 1000 + 50);

async function pair(stage: Stage, url: string): Promise<readonly [Replica, Replica]> {
  return await Promise.all([stage.start('a', { url }), stage.start('b', { url })]);
}

/** Redis becomes unavailable; a replica that is asked to revoke then must not confirm anything, and no user is admitted any more. */
async function withoutRedis(stage: Stage, goAway: (redis: OwnRedis) => unknown) {
  await using redis = await redisServer();
  const [a, b] = await pair(stage, redis.url);
  const alice = await stage.signIn(a);
  await stage.carry(alice, [a, b]);
  await goAway(redis);
  const told = await a.ask('revoke', ALICE);
  await leaseOver();
  const at = now();
  await delay(A_WHILE_MS);
  return {
    accepted: stage.acceptedAfter(at, alice),
    holds: { 'it says that nothing was written': 'failed' in told && told.failed === 'revocation_not_written' },
  };
}

describe.concurrent('redis is unavailable', () => {
  chaos('because it hangs', {
    safeguards: [LEASE],
    play: (stage) => withoutRedis(stage, (redis) => redis.pause()),
  });

  chaos('because it was killed', {
    safeguards: [LEASE],
    play: (stage) => withoutRedis(stage, (redis) => redis.kill()),
  });
});

describe.concurrent('redis comes back', () => {
  chaos('with its own data, while a replica with a longer lease is not notified', {
    safeguards: [LEASES_KEPT],
    async play(stage) {
      await using redis = await redisServer();
      await using oldLink = await createLink(redis.port);
      await using newLink = await createLink(redis.port);
      const first = await stage.start('first', { url: redis.url });
      const alice = await stage.signIn(first);
      const old = await stage.start('old', { url: oldLink.url, stalenessSeconds: LONGER_SECONDS });
      await stage.carry(alice, [old]);
      // The new one has never seen the old one: only the store knows of it.
      newLink.hold();
      const fresh = await stage.start('fresh', { url: newLink.url, ready: false });
      await operator(redis, (bare) => bare.save());
      oldLink.hold();
      await Promise.all([first.kill(), redis.kill()]);
      await redis.restart();
      newLink.release();
      await fresh.ready;
      const { at } = await revokeWholly(fresh, ALICE);
      await stage.signIn(fresh, 'corp/bob');
      const isFenced = (await old.ask('status', null)).fenced;
      await fenced(old);
      return {
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'no user signs in before the longer lease is over': isFenced },
      };
    },
  });

  chaos('as another server that was given an old snapshot', {
    safeguards: [RUN_ID],
    async play(stage) {
      await using redis = await redisServer();
      await using other = await redisServer();
      await using link = await createLink(redis.port);
      const a = await stage.start('a', { url: redis.url });
      const alice = await stage.signIn(a);
      await operator(redis, (bare) => bare.save());
      await other.kill();
      await copyFile(join(redis.dir, 'dump.rdb'), join(other.dir, 'dump.rdb'));
      const { at } = await revokeWholly(a, ALICE);
      await a.kill();
      await other.restart();
      link.leadTo(other.port);
      const c = await stage.start('c', { url: link.url });
      await c.ask('carry', alice);
      await delay(A_WHILE_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });

  chaos('empty', {
    safeguards: [EPOCH],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      const { at } = await revokeWholly(a, ALICE);
      const before = await a.ask('status', null);
      await redis.kill();
      await Promise.all([fenced(a), fenced(b)]);
      await redis.restart();
      await Promise.all([serves(a), serves(b)]);
      const after = await a.ask('status', null);
      await delay(A_WHILE_MS);
      return {
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'a new life has begun': after.epoch !== before.epoch },
      };
    },
  });

  chaos('empty, and a locked user sends a request immediately', {
    safeguards: [SURVIVOR, SETTLED],
    async play(stage) {
      await using redis = await redisServer();
      await using link = await createLink(redis.port);
      const survivor = await stage.start('survivor', { url: link.url });
      const alice = await stage.signIn(survivor);
      const { at } = await revokeWholly(survivor, { ...ALICE, lock: 'INC-1' });
      // The one that knows the lock sees the new primary generation a moment later than the one that is new itself.
      link.hold();
      await redis.kill();
      await redis.restart();
      const fresh = await stage.start('fresh', { url: redis.url, ready: false });
      const knocking = knock(stage, fresh);
      const early = await Promise.race([knocking, fresh.ready.then(() => delay(A_MOMENT_MS))]);
      if (early !== undefined && !('refused' in early)) {
        await stage.carry(early, [fresh]);
        return { accepted: stage.acceptedAfter(at, early) };
      }
      link.release();
      const bearer = await knocking;
      if ('refused' in bearer) {
        return {
          accepted: stage.acceptedAfter(at, alice),
          holds: { 'she is locked': bearer.refused === 'account_locked' },
        };
      }
      await stage.carry(bearer, [fresh]);
      return { accepted: stage.acceptedAfter(at, bearer) };
    },
  });
});

/** Tries to sign alice in until the store accepts or rejects it. */
async function knock(stage: Stage, at: Replica) {
  for (;;) {
    try {
      return await stage.tryToSignIn(at, 'corp/alice');
    } catch {
      // Not settled yet, or not even there.
      await delay(20);
    }
  }
}
