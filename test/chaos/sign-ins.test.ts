/** Sign-ins, refreshes and mints that are half-way when the account is revoked. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe } from 'vitest';
import { chaos } from './chaos.ts';
import { redisServer } from './ground.ts';
import { MINTED_AT, WATERMARK } from './safeguards.ts';
import { revokeWholly } from './stage.ts';

const ALICE = { target: { kind: 'account', account: 'corp/alice' } } as const;
const A_WHILE_MS = 300;

describe.concurrent('half-way', () => {
  chaos('a sign-in: the user is at the provider’s page', {
    safeguards: [WATERMARK],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await Promise.all([stage.start('a', { url: redis.url }), stage.start('b', { url: redis.url })]);
      // So that the store lets users sign in.
      await stage.signIn(a, 'corp/bob');
      const startedAt = await b.ask('position', null);
      const { at } = await revokeWholly(a, ALICE);
      const bearer = await b.ask('signIn', { session: 'half-way', account: 'corp/alice', startedAt });
      if ('refused' in bearer)
        return { accepted: [], holds: { 'she must begin again': bearer.refused === 'session_revoked' } };
      await stage.carry(bearer, [a, b]);
      return { accepted: stage.acceptedAfter(at, bearer) };
    },
  });

  chaos('refreshes: they race with the revocation', {
    safeguards: [MINTED_AT],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await Promise.all([stage.start('a', { url: redis.url }), stage.start('b', { url: redis.url })]);
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
});
