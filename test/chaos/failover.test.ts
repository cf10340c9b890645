/** One master with two followers: what a failover may lose, and which master must not be trusted meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, vi } from 'vitest';
import { NEW_GENERATION } from '../../src/revocation/proof.ts';
import { chaos } from './chaos.ts';
import { operator, sentinels, trio } from './ground.ts';
import { createLink } from './link.ts';
import { ACKNOWLEDGED, LEASE } from './safeguards.ts';
import type { Told } from './protocol.ts';
import { now, serves, WAIT_MS, written, type Replica } from './stage.ts';

const ALICE = { target: { kind: 'account', account: 'corp/alice' } } as const;

/**
 * Revokes as an admin does who follows the responses: tries again where nothing was written, and sends it again where the store has
 * meanwhile started a new primary generation, as a failover may while the first one is being verified.
 */
async function insist(replica: Replica): Promise<Told> {
  const asked = await written(replica, ALICE);
  if (asked.answer.complete) return asked;
  const told = await vi.waitFor(
    async () => {
      const answered = await replica.ask('answer', { id: asked.answer.id });
      if (answered === null || !(answered.answer.complete || isVoid(answered))) {
        throw new Error(`open: ${JSON.stringify(answered)}`);
      }
      return answered;
    },
    { timeout: 15_000, interval: 20 },
  );
  return told.answer.complete ? told : await insist(replica);
}

const isVoid = ({ answer }: Told): boolean => answer.missing?.includes(NEW_GENERATION) ?? false;

describe.concurrent('three nodes', () => {
  chaos('a replica is still connected to a master that its followers have left', {
    safeguards: [ACKNOWLEDGED],
    async play(stage) {
      await using nodes = await trio();
      const { master, followers } = nodes;
      const [promoted, other] = followers;
      if (promoted === undefined || other === undefined) throw new Error('two followers are needed');
      await using link = await createLink(master.port);
      const [a, b] = await Promise.all([
        stage.start('a', { url: link.url, nodes: 3 }),
        stage.start('b', { url: master.url, nodes: 3 }),
      ]);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      await operator(promoted, (redis) => redis.replicaof('NO', 'ONE'));
      await operator(other, (redis) => redis.replicaof('127.0.0.1', String(promoted.port)));
      link.leadTo(promoted.port);
      const { at } = await insist(a);
      await delay(WAIT_MS);
      return { accepted: stage.acceptedAfter(at, alice) };
    },
  });

  chaos('a master is lost, Sentinel promotes another, and one replica is not notified', {
    safeguards: [LEASE],
    async play(stage) {
      await using nodes = await trio();
      await using watch = await sentinels(nodes.master);
      await using link = await createLink(nodes.master.port);
      const sentinel = { addresses: watch.addresses, master: watch.master };
      const [a, b] = await Promise.all([
        stage.start('a', { url: nodes.master.url, nodes: 3, sentinel }),
        stage.start('b', { url: link.url, nodes: 3 }),
      ]);
      const alice = await stage.signIn(a);
      await stage.carry(alice, [a, b]);
      link.hold();
      await nodes.master.kill();
      const { answer, at } = await insist(a);
      await delay(WAIT_MS);
      const state = await b.ask('status', null);
      return {
        accepted: stage.acceptedAfter(at, alice),
        holds: { 'it was proven': answer.complete, 'who hears nothing is fenced': state.fenced },
      };
    },
  });

  chaos('two of three are lost: nothing is confirmed and nothing admitted', {
    safeguards: [ACKNOWLEDGED],
    async play(stage) {
      await using nodes = await trio();
      const a = await stage.start('a', { url: nodes.master.url, nodes: 3 });
      const bob = await stage.signIn(a, 'corp/bob');
      await stage.carry(bob, [a]);
      for (const follower of nodes.followers) follower.pause();
      await delay(WAIT_MS);
      const from = now();
      const told = await a.ask('revoke', ALICE);
      await delay(WAIT_MS);
      const until = now();
      for (const follower of nodes.followers) follower.resume();
      await serves(a);
      return {
        // No revocation covers Bob; but no user may be admitted on a view that no follower confirms.
        accepted: stage.acceptedAfter(from, bob).filter(({ at }) => at < until),
        holds: { 'nothing was claimed': 'failed' in told || !told.answer.complete },
      };
    },
  });
});
