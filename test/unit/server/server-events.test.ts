import { expect, test } from 'vitest';
import type { Config, SealingKeys, SigningKeys } from '../../../src/config/config.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import {
  configurationDigest,
  createFenceAudit,
  recordServerEvent,
  recordConfiguration,
  recordSessionEnded,
} from '../../../src/server/server-events.ts';
import { loaded, settings } from '../config/sandbox.ts';

const AT = Date.UTC(2031, 0, 1);

function context() {
  const events: AuditEvent[] = [];
  const audit = { record: (event: AuditEvent) => void events.push(event) };
  return { events, audit, clock: { nowMs: () => AT }, replica: 'portcullis-0' };
}

const keys = {
  signing: { current: { kid: 's1', alg: 'ES256', privateJwk: { kty: 'EC', d: 'SECRET-D' } } } as SigningKeys,
  sealing: { current: { kid: 'c1', key: Buffer.from('SECRET-KEY') } } as unknown as SealingKeys,
};

test('says with which configuration and keys a replica began, and nothing secret of either', async () => {
  const { config } = await loaded(settings());
  const { events, ...who } = context();
  recordConfiguration(who, config, keys);
  expect(events[0]).toMatchObject({
    verb: 'configuration-loaded',
    annotations: {
      'portcullis.dev/replica': 'portcullis-0',
      'portcullis.dev/digest': configurationDigest(config),
      'portcullis.dev/signing-key': 's1',
      'portcullis.dev/sealing-key': 'c1',
    },
  });
  expect(JSON.stringify(events)).not.toMatch(/SECRET|upstream-token|client-secret/);
});

test('gives a configuration one digest, in whatever order it was written, and another one for each change', async () => {
  const { config } = await loaded(settings());
  const reversed = Object.fromEntries(Object.entries(config).toReversed()) as unknown as Config;
  expect(configurationDigest(config)).toMatch(/^[0-9a-f]{64}$/);
  expect(configurationDigest(reversed)).toBe(configurationDigest(config));
  const others: Config[] = [
    { ...config, admin: { ...config.admin, groups: ['corp:others'] } },
    { ...config, clusters: config.clusters.map((cluster) => ({ ...cluster, allow: 'false' })) },
    { ...config, clusters: config.clusters.map((cluster) => ({ ...cluster, hosts: [...cluster.hosts, 'b'] })) },
  ];
  expect(new Set([config, ...others].map(configurationDigest)).size).toBe(4);
});

test('says once that a replica is fenced, and once that it serves again', () => {
  const { events, ...who } = context();
  const fences = createFenceAudit(who);
  fences.observed(true);
  expect(events).toEqual([]);
  fences.started();
  for (const fenced of [false, true, true]) fences.observed(fenced);
  fences.servingAgain({ cause: 'log_gap', seconds: 2.04 });
  fences.observed(false);
  expect(events.map(({ verb }) => verb)).toEqual(['replica-fenced', 'replica-serving']);
  expect(events[1]?.annotations).toMatchObject({
    'portcullis.dev/reason': 'log_gap',
    'portcullis.dev/seconds': '2.0',
    'portcullis.dev/replica': 'portcullis-0',
  });
});

test('names the replica on each line of its own, and how many streams the end of a session cut', () => {
  const { events, ...who } = context();
  recordServerEvent(who, 'replica-fenced', { reason: 'log_gap', seconds: '2.0' });
  recordSessionEnded(who, { session: 's1', account: 'corp/1', provider: 'corp', how: 'idle', streamsCut: 3 });
  expect(events.map(({ verb, annotations }) => [verb, annotations['portcullis.dev/replica']])).toEqual([
    ['replica-fenced', 'portcullis-0'],
    ['session-ended', 'portcullis-0'],
  ]);
  expect(events[1]?.annotations).toMatchObject({
    'portcullis.dev/session': 's1',
    'portcullis.dev/reason': 'idle',
    'portcullis.dev/streams-cut': '3',
  });
});

test('names the user’s own session, and the actor, where a delegated one ended by itself', () => {
  const { events, ...who } = context();
  const delegated = { own: 's1', actor: 'claude' };
  recordSessionEnded(who, {
    session: 's2',
    delegated,
    account: 'corp/1',
    provider: 'corp',
    how: 'idle',
    streamsCut: 1,
  });
  expect(events[0]?.annotations).toMatchObject({
    'portcullis.dev/session': 's1',
    'portcullis.dev/delegated-session': 's2',
    'portcullis.dev/actor': 'claude',
  });
});
