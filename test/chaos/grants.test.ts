/** Groups for a while: what may happen to replicas, to Redis and to clocks while a session has them, and when they end. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, vi } from 'vitest';
import { chaos } from './chaos.ts';
import { operator, redisServer, type OwnRedis } from './ground.ts';
import { createLink } from './link.ts';
import {
  GRANT_DEADLINE,
  GRANT_END_KNOWN,
  GRANT_ENTRY,
  GRANT_NEVER_EXTENDED,
  RUN_ID,
  STORE_TIME,
} from './safeguards.ts';
import { now, revokeWholly, serves, STALENESS_SECONDS, type Grant, type Replica } from './stage.ts';

/** Long enough to be in use everywhere (a machine that is slow gets more), short enough to wait for. */
const SECONDS = 2;
/** A lease that lasts beyond the end of such a grant. */
const LASTING_SECONDS = 60;
const LONG_SECONDS = 600;
const A_WHILE_MS = 400;
const AN_HOUR_SECONDS = 3600;
/** Of a replica that looks for the ends of grants: enough to find and to write one that is over. */
const LOOKS = 20;

/** Resolves a while after the end of the grant. */
const past = ({ endsAt }: Grant): Promise<void> => delay(Math.max((endsAt - now()) / 1e6, 0) + A_WHILE_MS);

/** What the store keeps of each session's grants, sealed, as an attacker who can read and write it does. */
const sealedGrants = (redis: OwnRedis): Promise<readonly (readonly [key: string, grants: string])[]> =>
  operator(redis, async (bare) => {
    const keys = await bare.keys('{chaos}:session:*');
    const found = await Promise.all(
      keys.map(async (key) => [key, await bare.hget(key, 'gr').catch(() => null)] as const),
    );
    return found.flatMap(([key, grants]) => (grants === null ? [] : [[key, grants] as const]));
  });

describe.concurrent('a grant is over', () => {
  chaos(
    'while one replica is stopped and its clock is an hour back, and the other hears nothing and is an hour ahead',
    {
      safeguards: [GRANT_DEADLINE],
      async play(stage) {
        await using redis = await redisServer();
        await using link = await createLink(redis.port);
        // The store lets users sign in after the longest lease that there was.
        const first = await stage.start('first', { url: redis.url });
        const alice = await stage.signIn(first);
        // Their leases last beyond the end: only the deadline of the grant is in the way.
        const lasting = { stalenessSeconds: LASTING_SECONDS, anyClock: true };
        const [stopped, deaf] = await Promise.all([
          stage.start('stopped', { ...lasting, url: redis.url }),
          stage.start('deaf', { ...lasting, url: link.url }),
        ]);
        const grant = await stage.grant(alice, SECONDS, [stopped, deaf]);
        await stopped.ask('clock', { offsetMs: -AN_HOUR_SECONDS * 1000 });
        await deaf.ask('clock', { offsetMs: AN_HOUR_SECONDS * 1000 });
        stopped.stop();
        link.hold();
        await past(grant);
        stopped.wake();
        await stage.seen(stopped, alice);
        await delay(A_WHILE_MS);
        return { accepted: stage.grantedAfter(grant.endsAt, alice) };
      },
    },
  );

  chaos('and the clock of the store was set back an hour meanwhile, before another replica read of it', {
    staged: STORE_TIME,
    safeguards: [GRANT_NEVER_EXTENDED, GRANT_END_KNOWN],
    async play(stage) {
      await using redis = await redisServer();
      const options = { url: redis.url, anyClock: true };
      const [knowing, late] = await Promise.all([stage.start('knowing', options), stage.start('late', options)]);
      const alice = await stage.signIn(knowing);
      const grant = await stage.grant(alice, SECONDS, [knowing]);
      await knowing.ask('writeEnds', { dies: false });
      await operator(redis, (bare) => bare.set('{chaos}:moved', -AN_HOUR_SECONDS));
      await knowing.ask('prove', alice);
      await late.ask('carryGranted', alice);
      await stage.seen(late, alice, 'granted-chunk');
      await past(grant);
      // Where no one writes it, the other replica goes on for an hour.
      await noted(knowing, grant.id, LOOKS);
      const at = now();
      await delay(A_WHILE_MS);
      const known = stage.grantedAfter(grant.endsAt, alice).filter(({ replica }) => replica === 'knowing');
      return { accepted: [...known, ...stage.grantedAfter(at, alice)] };
    },
  });

  chaos('early where the clock of the store is set an hour ahead, and the end is written', {
    staged: STORE_TIME,
    safeguards: [],
    async play(stage) {
      await using redis = await redisServer();
      const a = await stage.start('a', { url: redis.url, anyClock: true });
      const alice = await stage.signIn(a);
      const { id } = await stage.grant(alice, LONG_SECONDS, [a]);
      await a.ask('writeEnds', { dies: false });
      await operator(redis, (bare) => bare.set('{chaos}:moved', AN_HOUR_SECONDS));
      await noted(a, id);
      const at = now();
      await delay(A_WHILE_MS);
      return { accepted: stage.grantedAfter(at, alice) };
    },
  });

  chaos('and the replica that writes it dies before it has noted it: another one does', {
    safeguards: [],
    async play(stage) {
      await using redis = await redisServer();
      const [dying, other] = await Promise.all([
        stage.start('dying', { url: redis.url }),
        stage.start('other', { url: redis.url }),
      ]);
      const alice = await stage.signIn(dying);
      const grant = await stage.grant(alice, SECONDS, [dying, other]);
      await dying.ask('writeEnds', { dies: true });
      await dying.gone;
      const before = await other.ask('grant', grant);
      await other.ask('writeEnds', { dies: false });
      const ending = await noted(other, grant.id);
      return {
        accepted: stage.grantedAfter(grant.endsAt, alice),
        holds: { 'it was not noted': before?.state === 'granted', 'it is noted by the other': ending === 'expired' },
      };
    },
  });

  chaos('because it was ended early, and an attacker writes it back into Redis', {
    safeguards: [GRANT_ENTRY],
    async play(stage) {
      await using redis = await redisServer();
      const [a, b] = await Promise.all([stage.start('a', { url: redis.url }), stage.start('b', { url: redis.url })]);
      const alice = await stage.signIn(a);
      const { id } = await stage.grant(alice, LONG_SECONDS, [a, b]);
      const sealed = await sealedGrants(redis);
      const { at, answer } = await revokeWholly(a, { target: { kind: 'grant', grant: id, session: alice.session } });
      await operator(redis, (bare) => Promise.all(sealed.map(([key, grants]) => bare.hset(key, 'gr', grants))));
      await b.ask('prove', alice);
      const late = await stage.start('late', { url: redis.url });
      await late.ask('carryGranted', alice);
      await Promise.all([a, b, late].map((replica) => stage.seen(replica, alice)));
      await delay(A_WHILE_MS);
      const accepted = stage.grantedAfter(at, alice);
      return {
        accepted,
        holds: {
          'something was written back': sealed.length === 1,
          'each replica says that it has applied it': answer.replicas.every(({ state }) => state === 'applied'),
        },
      };
    },
  });
});

describe.concurrent('redis is killed', () => {
  chaos('between the question and the approval', {
    safeguards: [],
    async play(stage) {
      await using redis = await redisServer({ keepData: true });
      const a = await stage.start('a', { url: redis.url });
      const alice = await stage.signIn(a);
      await a.ask('ask', { id: 'asked', session: alice.session, account: alice.account });
      await a.ask('carryGranted', alice);
      await redis.kill();
      const told = await a.ask('approve', { id: 'asked', seconds: LONG_SECONDS }).catch((error: unknown) => error);
      await redis.restart();
      await serves(a);
      await delay(A_WHILE_MS);
      return {
        accepted: stage.grantedAfter(0, alice),
        holds: {
          'the approver is told so': told instanceof Error,
          'nothing is left of it': (await a.ask('grant', { id: 'asked' })) === null,
        },
      };
    },
  });

  chaos('in the middle of a grant, and comes back with its data', {
    safeguards: [RUN_ID],
    async play(stage) {
      await using redis = await redisServer({ keepData: true });
      const a = await stage.start('a', { url: redis.url });
      const alice = await stage.signIn(a);
      await stage.grant(alice, LONG_SECONDS, [a]);
      await redis.kill();
      await delay(STALENESS_SECONDS * 1000 + 50);
      const at = now();
      await redis.restart();
      await serves(a);
      // Another user's requests are admitted again, after the session was read: so would those of the first one be.
      const bob = await stage.signIn(a, 'corp/bob');
      await a.ask('carryGranted', bob);
      await stage.seen(a, bob);
      await delay(A_WHILE_MS);
      return { accepted: stage.grantedAfter(at, alice) };
    },
  });
});

/**
 * Waits until the end of a grant is noted.
 * @param mostLooks after which no one notes it any more
 * @returns why it is over; undefined: it is not noted
 */
async function noted(at: Replica, id: string, mostLooks = Number.POSITIVE_INFINITY): Promise<string | undefined> {
  let last = Number.POSITIVE_INFINITY;
  return await vi.waitFor(
    async () => {
      const found = await at.ask('grant', { id });
      if (found?.state === 'ended') return found.ending;
      last = Math.min(last, (found?.looks ?? 0) + mostLooks);
      if (found === null || found.looks < last) throw new Error(`it is ${found?.state}`);
      return undefined;
    },
    { timeout: 15_000, interval: 50 },
  );
}
