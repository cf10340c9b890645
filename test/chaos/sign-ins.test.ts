/** Sign-ins that are half-way when the account is revoked. */
import { describe } from 'vitest';
import { chaos } from './chaos.ts';
import { redisServer } from './ground.ts';
import { WATERMARK } from './safeguards.ts';
import { revokeWholly } from './stage.ts';

const ALICE = { target: { kind: 'account', account: 'corp/alice' } } as const;

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
});
