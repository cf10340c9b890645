import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpProof } from '../../../../src/services/step-up/step-ups.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { SELF_AUDIENCE } from '../../../../src/core/core.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import type { Caller } from '../../../../src/core/credential/credential.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import type { Delegation } from '../../../../src/core/delegation/delegation.ts';
import type { RevocationGuard } from '../../../../src/revocation/revocation.ts';
import { createStepUps } from '../../../../src/services/step-up/step-up.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import type { Store } from '../../../../src/store/store.ts';
import { STEP_UP } from '../../../../src/core/api/rejections.ts';
import { atEdge } from '../../../support/at-edge.ts';
import { memoryGuard } from '../../../support/memory-guard.ts';

const REDIRECT = 'http://127.0.0.1:9/callback';
const context = { requestId: 'r', address: '192.0.2.1', userAgent: 'test' };
const identity = { username: 'corp:alice', uid: 'corp/alice', groups: ['corp:developers'], extra: {} };

let now: number;
let store: Store;
let guard: RevocationGuard;
let audited: AuditEvent[];
let counted: string[];

beforeEach(async () => {
  now = Date.UTC(2030, 0, 1);
  store = createMemoryStore({ clock: { nowMs: () => now } });
  guard = memoryGuard(store);
  await guard.start();
  [audited, counted] = [[], []];
  const opened = await store.sessions.open(
    {
      id: 'own',
      account: 'corp/alice',
      provider: 'corp',
      subject: 'alice',
      client: 'portcullis-cli',
      identity,
      createdAt: now / 1000,
      expiresAt: now / 1000 + 7200,
      idleSeconds: 7200,
      address: '192.0.2.1',
      userAgent: 'test',
      startedAt: await store.log.position(),
      authTime: now / 1000 - 3600,
    },
    {},
  );
  if (!opened.ok) throw new Error(opened.reason);
});
afterEach(() => guard.stop());

const stepUps = (deviceCode: 'on' | 'off' = 'on') =>
  atEdge(
    STEP_UP,
    createStepUps({
      config: {
        publicUrl: 'https://portcullis.example.com',
        clockSkew: 60,
        stepUp: [],
        sessions: { deviceCode },
        providers: [
          { name: 'corp', freshness: 'auto' },
          { name: 'hub', freshness: 'none' },
        ],
      },
      store,
      guard,
      audit: { record: (event) => void audited.push(event), blocked: false },
      clock: { nowMs: () => now },
      countStepUp: (outcome) => counted.push(outcome),
    }),
  );

const callerOf = (provider = 'corp', delegation?: Delegation): Caller => {
  const who = { session: 'own', account: `${provider}/alice`, provider } as const;
  return {
    credential: {
      ...who,
      keys: coveringKeys(who),
      tokenId: 't',
      audience: SELF_AUDIENCE,
      client: 'portcullis-cli',
      issuedAt: 0,
      expiresAt: 0,
      position: { epoch: 'e', number: 0 },
      thumbprint: 'key',
    },
    identity,
    sessionExpiresAt: 0,
    sessionIdleAt: 0,
    ...(delegation === undefined ? {} : { delegation }),
  };
};

const proof = async (change: Partial<StepUpProof> = {}): Promise<StepUpProof> => ({
  account: 'corp/alice',
  groups: ['corp:developers', 'corp:new'],
  authTime: now / 1000,
  startedAt: await store.log.position(),
  ...change,
});

async function begun() {
  const all = stepUps();
  const { id } = await all.begin(callerOf(), { redirect: REDIRECT, state: 's' }, context);
  return { all, id, pending: await all.find(id) };
}

const authTime = async (): Promise<number | undefined> => (await store.sessions.read('own'))?.authTime;
const codeIn = (url: string | undefined): string => new URL(url ?? '').searchParams.get('code') ?? '';

describe('who may begin', () => {
  const delegation: Delegation = { ancestors: ['above'], actors: [{ name: 'claude' }], clusters: [], limits: [] };
  test.each<[string, Caller, 'on' | 'off', object, string]>([
    ['a delegated session', callerOf('corp', delegation), 'on', { redirect: REDIRECT }, 'step_up_delegated'],
    ['a workload', callerOf('ci'), 'on', { redirect: REDIRECT }, 'step_up_workload'],
    ['a provider that proves nothing', callerOf('hub'), 'on', { redirect: REDIRECT }, 'freshness_unprovable'],
    ['a code, where codes are off', callerOf(), 'off', {}, 'device_code_off'],
  ])('is not %s', async (_who, caller, deviceCode, order, problem) => {
    await expect(stepUps(deviceCode).begin(caller, order, context)).rejects.toMatchObject({ problem, status: 403 });
  });
});

describe('what counts', () => {
  test.each<[string, Partial<StepUpProof>, string]>([
    ['another account', { account: 'corp/bob' }, 'other_account'],
    ['the same subject at another provider', { account: 'other/alice' }, 'other_account'],
    ['of a user who has left a group of the session', { groups: ['corp:new'] }, 'groups_changed'],
    ['a moment in the future', { authTime: Date.UTC(2030, 0, 1) / 1000 + 61 }, 'fresh_sign_in_needed'],
  ])('is not %s', async (_what, change, reason) => {
    const { all, pending } = await begun();
    await expect(all.finish(pending, await proof(change), context)).rejects.toMatchObject({ reason });
    expect(await authTime()).toBe(now / 1000 - 3600);
    expect(audited).toEqual([]);
  });

  test('is no proof without a moment', async () => {
    const { all, pending } = await begun();
    const { authTime: _none, ...without } = await proof();
    await expect(all.finish(pending, without, context)).rejects.toMatchObject({ reason: 'fresh_sign_in_needed' });
  });

  test('is a moment, and never one before that which is known', async () => {
    const { all, pending, id } = await begun();
    const code = codeIn(await all.finish(pending, await proof({ authTime: now / 1000 - 30 }), context));
    const later = await begun();
    const second = codeIn(await later.all.finish(later.pending, await proof(), context));
    await later.all.redeem(callerOf(), later.id, second, context);
    await all.redeem(callerOf(), id, code, context);
    expect(await authTime()).toBe(now / 1000);
    expect(counted).toEqual(['done', 'done']);
  });
});

describe('time', () => {
  test('a step-up is over after ten minutes', async () => {
    const { all, id, pending } = await begun();
    now += 600_000;
    await expect(all.find(id)).rejects.toMatchObject({ code: 'sign_in_expired' });
    await expect(all.finish(pending, await proof(), context)).rejects.toMatchObject({ code: 'sign_in_expired' });
    await expect(all.stateOf(callerOf(), id)).rejects.toMatchObject({ status: 404 });
  });

  test('its code is over after a minute', async () => {
    const { all, id, pending } = await begun();
    const code = codeIn(await all.finish(pending, await proof(), context));
    now += 60_000;
    await expect(all.redeem(callerOf(), id, code, context)).rejects.toMatchObject({ problem: 'step_up_code' });
    expect(await authTime()).toBeLessThan(now / 1000 - 3000);
  });
});

describe('a session that ended meanwhile', () => {
  test('ends its step-ups', async () => {
    const { all, id } = await begun();
    await guard.revoke({ target: { kind: 'session', session: 'own' } });
    await expect(all.find(id)).rejects.toMatchObject({ reason: 'step_up_unknown' });
  });

  test('is not proven, by what a browser holds still', async () => {
    const { all, pending } = await begun();
    const before = await proof();
    await guard.revoke({ target: { kind: 'account', account: 'corp/alice' } });
    await expect(all.finish(pending, before, context)).rejects.toMatchObject({ code: 'sign_in_expired' });
    const own = { session: 'own', account: 'corp/alice' };
    await expect(all.proveOwn(own, before, context)).rejects.toMatchObject({ code: 'sign_in_expired' });
    expect(audited).toEqual([]);
  });
});

test('of two browsers that finish, one does', async () => {
  const { all, pending } = await begun();
  const given = await proof();
  const both = await Promise.allSettled([all.finish(pending, given, context), all.finish(pending, given, context)]);
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
});

describe('a code that is redeemed again, because the store failed the first time', () => {
  const steps = {
    'at the proof, unwritten': () => failOnce(store.sessions, 'prove', 'before'),
    'at the proof, written': () => failOnce(store.sessions, 'prove', 'after'),
    'at the code, unwritten': () => failOnce(store.artefacts, 'consume', 'before'),
    'at the code, written': () => failOnce(store.artefacts, 'consume', 'after'),
    'at what became of it': () => failOnce(store.artefacts, 'save', 'before'),
  };

  /** The store fails once, before or after it has written. */
  function failOnce<Name extends string>(
    part: Readonly<Record<Name, unknown>>,
    name: Name,
    when: 'before' | 'after',
  ): void {
    const parts = part as Record<Name, (...given: readonly unknown[]) => Promise<unknown>>;
    const real = parts[name].bind(part);
    parts[name] = async (...given) => {
      parts[name] = real;
      if (when === 'after') await real(...given);
      throw new AppError('store_unavailable', 'away');
    };
  }

  test.each(Object.entries(steps))('proves nothing that is in no audit log: %s', async (_step, fail) => {
    const { all, id, pending } = await begun();
    const code = codeIn(await all.finish(pending, await proof(), context));
    fail();
    await all.redeem(callerOf(), id, code, context).catch(() => undefined);
    await all.redeem(callerOf(), id, code, context);
    expect(await authTime()).toBe(now / 1000);
    const named = audited.map(({ annotations }) => annotations['portcullis.dev/event']);
    // Whether it is written twice where the store said nothing of the code is of less weight.
    expect(new Set(named)).toEqual(new Set(['step-up']));
    expect(counted).toHaveLength(named.length);
  });

  test('is audited once, of several calls at once', async () => {
    const { all, id, pending } = await begun();
    const code = codeIn(await all.finish(pending, await proof(), context));
    await Promise.all([1, 2, 3].map(() => all.redeem(callerOf(), id, code, context)));
    expect([audited.length, counted]).toEqual([1, ['done']]);
  });
});

test('a code of one step-up is none of another', async () => {
  const one = await begun();
  const other = await begun();
  const code = codeIn(await one.all.finish(one.pending, await proof(), context));
  await expect(other.all.redeem(callerOf(), other.id, code, context)).rejects.toMatchObject({
    problem: 'step_up_code',
  });
});

test('the code of a user finds no step-up of an attacker who can write to Redis, where names are not sealed', async () => {
  const all = stepUps();
  const own = await all.begin(callerOf(), {}, context);
  const attackers = await all.begin(callerOf(), {}, context);
  expect((await all.findByCode(own.userCode ?? '')).id).toBe(own.id);
  const find = store.artefacts.findByUserCode.bind(store.artefacts);
  store.artefacts.findByUserCode = async (kind) => find(kind, attackers.userCode ?? '');
  await expect(all.findByCode(own.userCode ?? '')).rejects.toMatchObject({ reason: 'step_up_unknown' });
});
