/** What may happen to replicas while a user is revoked. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe } from 'vitest';
import { chaos, type Scene } from './chaos.ts';
import { redisServer } from './ground.ts';
import { createLink } from './link.ts';
import {
  ANCESTORS,
  CLOCK,
  EVERY_ENTRY,
  IDX,
  INCARNATION,
  LEASE,
  LEASE_OF_THE_SILENT,
  NUMBER_FIRST,
  LOCAL_GUARD,
  SLOW_JOIN,
  WAIT_FOR_SILENT,
} from './safeguards.ts';
import {
  complete,
  fenced,
  LONGER_SECONDS,
  now,
  revokeWholly,
  serves,
  WAIT_MS,
  written,
  type Replica,
  type Stage,
} from './stage.ts';
import type { Bearer } from './protocol.ts';

const ALICE = { target: { kind: 'account', account: 'corp/alice' } } as const;
/** Long enough for a replica that would admit something to do so many times. */
const A_WHILE_MS = 400;
const AN_HOUR_MS = 3_600_000;
/** Sign-ins that a store has done within the time of one, on a busy machine too. */
const AT_ONCE = 50;

async function pair(stage: Stage, url: string): Promise<readonly [Replica, Replica]> {
  return await Promise.all([stage.start('a', { url }), stage.start('b', { url })]);
}

describe.concurrent('replicas', () => {
  chaos('one is stopped past its lease and resumed', {
    safeguards: [LEASE],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      b.stop();
      const { answer, at } = await revokeWholly(a, ALICE);
      b.wake();
      await delay(A_WHILE_MS);
      return {
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'b is called fenced': answer.replicas.some(({ id, state }) => id === 'b' && state === 'fenced') },
      };
    },
  });

  chaos('one loses the store and still has a lease', {
    safeguards: [WAIT_FOR_SILENT],
    async play(stage) {
      await using redis = await redisServer();
      await using link = await createLink(redis.port);
      const [a, b] = await Promise.all([stage.start('a', { url: redis.url }), stage.start('b', { url: link.url })]);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      // A replica that has just begun cannot prove anything for W, whatever the others do.
      await delay(WAIT_MS);
      link.hold();
      const { at } = await revokeWholly(a, ALICE);
      await delay(WAIT_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });

  chaos('each carries what is beneath the session that is revoked', {
    safeguards: [ANCESTORS],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      const child = await stage.delegate(a, alice);
      const grandchild = await stage.delegate(b, child);
      for (const bearer of [child, grandchild]) await stage.carry(bearer, [a, b]);
      const target = { kind: 'session', session: alice.session } as const;
      const { answer, at } = await revokeWholly(a, { target });
      await delay(A_WHILE_MS);
      return {
        accepted: [child, grandchild].flatMap((bearer) => stage.acceptedAfter(at, bearer)),
        holds: { 'all three are counted': answer.sessions === 3 },
      };
    },
  });

  chaos('one is killed, and comes back under its name', {
    safeguards: [IDX],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      await b.kill();
      const { at } = await revokeWholly(a, ALICE);
      const again = await stage.start('b', { url: redis.url });
      await again.ask('carry', alice);
      await delay(A_WHILE_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });

  chaos('two have the same name, and one of them is not notified', {
    safeguards: [INCARNATION],
    async play(stage) {
      await using redis = await redisServer();
      await using link = await createLink(redis.port);
      const [a, b, namesake] = await Promise.all([
        stage.start('a', { url: redis.url }),
        stage.start('twin', { url: redis.url }),
        stage.start('twin', { url: link.url }),
      ]);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b, namesake]);
      await delay(WAIT_MS);
      link.hold();
      const { at } = await revokeWholly(a, ALICE);
      await delay(WAIT_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });

  chaos('one joins while the revocation is written', {
    staged: SLOW_JOIN,
    safeguards: [NUMBER_FIRST],
    async play(stage) {
      await using redis = await redisServer();
      const a = await stage.start('a', { url: redis.url });
      const bob = await stage.signIn(a, 'corp/bob');
      const alice = await stage.signIn(a);
      // So that there is something to read.
      await revokeWholly(a, { target: { kind: 'session', session: bob.session } });
      const c = await stage.start('c', { url: redis.url, ready: false });
      await c.joining;
      const { at } = await revokeWholly(a, ALICE);
      await c.ready;
      await c.ask('carry', alice);
      await delay(A_WHILE_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });

  chaos('the one that is asked is fenced', {
    safeguards: [LOCAL_GUARD],
    async play(stage) {
      await using redis = await redisServer();
      await using link = await createLink(redis.port);
      const b = await stage.start('b', { url: link.url });
      const alice = await stage.signIn(b);
      await stage.carry(alice, [b]);
      link.hold();
      await fenced(b);
      const told = await b.ask('revoke', ALICE);
      const at = now();
      link.release();
      await serves(b);
      await delay(A_WHILE_MS);
      return {
        // Nothing is promised, and nothing was called complete; but the replica that was asked keeps the target blocked.
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'it says that nothing was written': 'failed' in told },
      };
    },
  });
});

describe.concurrent('the setting of the lease is changed, replica by replica', () => {
  chaos('one that still has the longer lease loses the store', {
    safeguards: [LEASE_OF_THE_SILENT],
    async play(stage) {
      await using redis = await redisServer();
      await using link = await createLink(redis.port);
      const fresh = await stage.start('fresh', { url: redis.url });
      const alice = await stage.signIn(fresh);
      const old = await stage.start('old', { url: link.url, stalenessSeconds: LONGER_SECONDS });
      await stage.carry(alice, [old, fresh]);
      link.hold();
      // The replica that is asked has heard nothing from the other for its own W, but not yet for the longer W of the other.
      await delay(WAIT_MS);
      const { answer, at } = await revokeWholly(fresh, ALICE);
      await fenced(old);
      return {
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'old is called fenced': answer.replicas.some(({ id, state }) => id === 'old' && state === 'fenced') },
      };
    },
  });
});

describe.concurrent('a clock is set by an hour', () => {
  async function beside(stage: Stage, offsetMs: number): Promise<Scene> {
    await using redis = await redisServer();
    const [a, b] = await pair(stage, redis.url);
    const alice = await stage.signIn(a);
    await stage.carry(alice, [a, b]);
    await b.ask('clock', { offsetMs });
    const { at } = await revokeWholly(a, ALICE);
    await delay(WAIT_MS);
    return { accepted: stage.acceptedAfter(at, alice) };
  }

  // An hour ahead every entry is over as soon as it has come.
  chaos('ahead, and another is asked', { safeguards: [CLOCK], play: (stage) => beside(stage, AN_HOUR_MS) });

  // With the clock an hour back, its own entry has expired for every other replica before it arrives.
  chaos('back, and the same one is asked', {
    safeguards: [CLOCK],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      await b.ask('clock', { offsetMs: -AN_HOUR_MS });
      const told = await b.ask('revoke', ALICE);
      if ('failed' in told)
        return { accepted: [], holds: { 'it says why not': told.failed === 'revocation_not_written' } };
      const { at } = told.answer.complete ? told : await complete(b, told.answer.id);
      await delay(WAIT_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });
});

describe('many at once', () => {
  chaos('a thousand revocations in a second', {
    safeguards: [EVERY_ENTRY],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const users: Bearer[] = [];
      // Only the revocations are to come at once: a thousand sign-ins would wait for each other for longer than the
      // 250 ms that a replica gives its store, and sign-ins that fail are no part of this.
      while (users.length < 1000) {
        const next = Array.from({ length: AT_ONCE }, (_, index) => `corp/person-${users.length + index}` as const);
        users.push(...(await Promise.all(next.map((account) => stage.signIn(a, account)))));
      }
      const watched = users.filter((_, index) => index % 50 === 0);
      for (const user of watched) await stage.carry(user, [a, b]);
      const told = await Promise.all(
        users.map((user) => written(a, { target: { kind: 'session', session: user.session } })),
      );
      const ends = await Promise.all(
        told.map(async (one) => (one.answer.complete ? one : await complete(a, one.answer.id))),
      );
      await delay(A_WHILE_MS);
      const accepted = users.flatMap((user, index) => stage.acceptedAfter(ends[index]?.at ?? 0, user));
      return { accepted, holds: { 'all were written': told.length === users.length } };
    },
  });
});
