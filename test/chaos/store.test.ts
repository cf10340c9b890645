/**
 * What the server of the store itself decides: what it still has after a restart and under which run id, how it trims a stream, and whether scripts
 * run one after another when many connections send them. So this file runs on every server that is a store (vitest.config.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describe } from 'vitest';
import { chaos } from './chaos.ts';
import { operator, redisServer } from './ground.ts';
import { GAP, MINTED_AT, PARENT_ALIVE, RUN_ID } from './safeguards.ts';
import { revokeWholly, serves, type Replica, type Stage } from './stage.ts';

const ALICE = { target: { kind: 'account', account: 'corp/alice' } } as const;
/** Long enough for a replica that would admit something to do so many times. */
const A_WHILE_MS = 400;

async function pair(stage: Stage, url: string): Promise<readonly [Replica, Replica]> {
  return await Promise.all([stage.start('a', { url }), stage.start('b', { url })]);
}

describe.concurrent('the server comes back', () => {
  chaos('with its own data, which does not have the revocation', {
    safeguards: [RUN_ID],
    async play(stage) {
      await using redis = await redisServer();
      const a = await stage.start('a', { url: redis.url });
      const alice = await stage.signIn(a);
      await operator(redis, (bare) => bare.save());
      const { at } = await revokeWholly(a, ALICE);
      await Promise.all([a.kill(), redis.kill()]);
      await redis.restart();
      const c = await stage.start('c', { url: redis.url });
      await c.ask('carry', alice);
      await delay(A_WHILE_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });
});

describe.concurrent('the log', () => {
  chaos('was trimmed past a replica that was stopped', {
    safeguards: [GAP],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      const others = await Promise.all([1, 2, 3].map((index) => stage.signIn(a, `corp/other-${index}`)));
      await stage.carry(alice, [a, b]);
      b.stop();
      const { at } = await revokeWholly(a, ALICE);
      for (const { account } of others) await revokeWholly(a, { target: { kind: 'account', account } });
      await operator(redis, (bare) => bare.xtrim('{chaos}:log', 'MAXLEN', 1));
      b.wake();
      await serves(b);
      await delay(A_WHILE_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });
});

describe('many at once', () => {
  chaos('refreshes: they race with the revocation', {
    safeguards: [MINTED_AT],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      const racing = Array.from({ length: 40 }, () => b.ask('refresh', { session: alice.session }));
      await Promise.race(racing);
      const [outcomes, { at }] = await Promise.all([Promise.all(racing), revokeWholly(a, ALICE)]);
      const bearers = outcomes.flatMap((outcome) => ('refused' in outcome ? [] : [outcome]));
      for (const bearer of bearers) await b.ask('carry', bearer);
      await delay(A_WHILE_MS);
      return {
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'some came before it': bearers.length > 0 },
      };
    },
  });

  chaos('delegations: they race with the revocation of the session above', {
    safeguards: [PARENT_ALIVE],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await pair(stage, redis.url);
      const alice = await stage.signIn(a);
      const child = await stage.delegate(b, alice);
      const racing = Array.from({ length: 40 }, (_, index) => stage.tryToDelegate(b, index % 2 === 0 ? alice : child));
      await Promise.race(racing);
      const target = { kind: 'session', session: alice.session } as const;
      const [outcomes, { at }] = await Promise.all([Promise.all(racing), revokeWholly(a, { target })]);
      const late = await stage.tryToDelegate(b, alice);
      const bearers = [...outcomes, late].flatMap((outcome) => ('refused' in outcome ? [] : [outcome]));
      for (const bearer of bearers) await b.ask('carry', bearer);
      await delay(A_WHILE_MS);
      return {
        accepted: bearers.flatMap((bearer) => stage.acceptedAfter(at, bearer)),
        holds: { 'some came before it': bearers.length > 0, 'none comes after it': 'refused' in late },
      };
    },
  });
});
