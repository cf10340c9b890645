/** Grants of which a replica died, or got no response, between what it wrote to the store and what it audited. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AccessStore } from '../../../../src/store/store.ts';
import { Stage, problem } from './stage.ts';

const ORDER = { role: 'shop-admins', seconds: 600, reason: 'INC-4711' };

let stage: Stage;
beforeEach(async () => {
  stage = new Stage();
  await stage.start();
});
afterEach(() => stage.guard.stop());

/** Runs an act while a method of the store does what it is asked to, and its response is lost. */
async function withoutResponse(method: 'create' | 'begin' | 'note', act: () => Promise<unknown>): Promise<void> {
  const { access } = stage.store;
  const own = access[method].bind(access) as (...args: unknown[]) => Promise<unknown>;
  const lost = async (...args: unknown[]): Promise<never> => {
    await own(...args);
    throw new Error('connection closed');
  };
  Object.assign(access, { [method]: lost } as unknown as AccessStore);
  await act();
  Object.assign(access, { [method]: own } as unknown as AccessStore);
}

const facts = (event: string) =>
  stage.audited
    .filter(({ annotations }) => annotations['portcullis.dev/event'] === event)
    .map(({ annotations }) => annotations);
const idOf = async (): Promise<string> => (await stage.store.access.active())[0]?.stored.request.id ?? '';
/** As of another replica. */
const elsewhere = (name = 'another replica') =>
  stage.access(
    {},
    {
      guard: new Proxy(stage.guard, {
        get: (guard, key) => {
          const own: unknown = key === 'incarnation' ? name : Reflect.get(guard, key, guard);
          return typeof own === 'function' ? (own.bind(guard) as unknown) : own;
        },
      }),
    },
  );

describe('a grant that has begun without anyone learning of it', () => {
  it('is audited with who approved it by the replica that finds it, once', async () => {
    const access = stage.access();
    const { id } = await access.requests.request(await stage.caller('alice'), ORDER);
    await withoutResponse('begin', async () => {
      expect(await problem(access.requests.approve(await stage.caller('bob'), id))).toBe('500 internal');
    });
    stage.notices.splice(0);
    // The replica that began it may be about to audit it.
    await access.endings.check();
    expect(facts('access-begun')).toEqual([]);
    stage.nowMs += 5000;
    await Promise.all([access.endings.check(), elsewhere().endings.check()]);
    await access.endings.check();
    expect(facts('access-begun')).toMatchObject([
      {
        'portcullis.dev/grant-id': id,
        'portcullis.dev/account': 'corp/alice',
        'portcullis.dev/approved-by': 'corp:bob@example.com',
      },
    ]);
    expect(facts('access-approved')).toMatchObject([{ 'portcullis.dev/account': 'corp/bob' }]);
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['granted']);
    expect(stage.counted).toContain('grant begun shop-admins');
  });

  it('is audited and counted as break-glass where it needed no approval', async () => {
    const access = stage.access();
    await withoutResponse('create', async () => {
      const order = { ...ORDER, role: 'break-glass' };
      expect(await problem(access.requests.request(await stage.caller('alice'), order))).toBe('500 internal');
    });
    stage.nowMs += 5000;
    await access.endings.check();
    for (const event of ['access-requested', 'access-begun']) {
      expect(facts(event)).toMatchObject([
        { 'portcullis.dev/grant-id': await idOf(), 'portcullis.dev/account': 'corp/alice' },
      ]);
    }
    expect(stage.counted).toContain('break-glass break-glass');
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['break-glass']);
  });

  it('is audited before its end', async () => {
    const access = stage.access();
    await withoutResponse('create', async () => {
      const order = { ...ORDER, role: 'break-glass' };
      expect(await problem(access.requests.request(await stage.caller('alice'), order))).toBe('500 internal');
    });
    await access.requests.end(await stage.caller('alice'), await idOf());
    const events = stage.events().map((event) => event.split(' ')[0]);
    expect(events).toEqual(['access-refused', 'access-requested', 'access-begun', 'access-ended']);
  });

  it('is audited once where that was noted', async () => {
    const access = stage.access();
    await access.requests.request(await stage.caller('alice'), { ...ORDER, role: 'break-glass' });
    stage.nowMs += 60_000;
    await Promise.all([access.endings.check(), elsewhere().endings.check()]);
    expect(facts('access-begun')).toHaveLength(1);
  });

  it('begins all the same where that could not be noted', async () => {
    const access = stage.access();
    await withoutResponse('note', async () => {
      await access.requests.request(await stage.caller('alice'), { ...ORDER, role: 'break-glass' });
    });
    expect(facts('access-begun')).toHaveLength(1);
  });
});

describe('a grant that the store does not have any more', () => {
  type Replica = ReturnType<typeof elsewhere>;
  async function lost(): Promise<readonly [id: string, Replica, Replica]> {
    const replicas = [stage.access(), elsewhere()] as const;
    const { id } = await stage
      .access()
      .requests.request(await stage.caller('alice'), { ...ORDER, role: 'break-glass' });
    for (const { endings } of replicas) await endings.check();
    stage.audited.splice(0);
    stage.notices.splice(0);
    Object.assign(stage.store.access, {
      active: async () => [],
      find: async () => undefined,
      ended: async () => undefined,
    });
    return [id, ...replicas];
  }

  it('has ended with its session, where a new epoch has forgotten both; audited once', async () => {
    const [id, ...replicas] = await lost();
    await stage.guard.revoke({ target: { kind: 'session', session: 'alice' } });
    for (const { endings } of replicas) await endings.check();
    stage.nowMs += 60_000;
    for (const { endings } of replicas) await endings.check();
    expect(facts('access-ended')).toMatchObject([
      { 'portcullis.dev/grant-id': id, 'portcullis.dev/ending': 'session', 'portcullis.dev/account': 'corp/alice' },
    ]);
    expect(stage.notices).toMatchObject([{ kind: 'ended', request: { id, grant: { ending: 'session' } } }]);
  });

  it('is ended by a revocation where its session goes on: an attacker has removed or changed the request', async () => {
    const [id, ...replicas] = await lost();
    for (const { endings } of replicas) await endings.check();
    expect(facts('access-ended')).toMatchObject([
      { 'portcullis.dev/grant-id': id, 'portcullis.dev/ending': 'lost', 'portcullis.dev/complete': 'true' },
    ]);
    expect((await stage.store.sessions.read('alice'))?.grants ?? []).toEqual([]);
  });

  it('is kept in mind while the store does not respond', async () => {
    const [, { endings }] = await lost();
    const find = stage.store.access.find.bind(stage.store.access);
    stage.store.access.find = () => Promise.reject(new Error('away'));
    await endings.check();
    expect(facts('access-ended')).toEqual([]);
    stage.store.access.find = find;
    await endings.check();
    expect(facts('access-ended')).toHaveLength(1);
  });
});

describe('a grant that was ended early, by a replica that died then', () => {
  async function granted(): Promise<string> {
    const access = stage.access();
    const { id } = await access.requests.request(await stage.caller('alice'), ORDER);
    await access.requests.approve(await stage.caller('bob'), id);
    stage.audited.splice(0);
    return id;
  }
  const ENDED = { 'portcullis.dev/ending': 'approver', 'portcullis.dev/by': 'corp:carol@example.com' };

  it.each(['before the revocation', 'after it'])('%s, is ended and audited as what it was', async (when) => {
    const id = await granted();
    const dying = elsewhere('dying');
    const revoke = stage.guard.revoke.bind(stage.guard);
    stage.guard.revoke = async (order) => {
      if (when === 'after it') await revoke(order);
      throw new Error('killed');
    };
    expect(await problem(dying.requests.end(await stage.caller('carol'), id))).toBe('500 internal');
    stage.guard.revoke = revoke;
    stage.nowMs += 30_000;
    await stage.access().endings.check();
    expect(facts('access-ended')).toMatchObject([ENDED]);
    expect((await stage.store.access.find(id))?.request).toMatchObject({
      state: 'ended',
      grant: { ending: 'approver', endedBy: 'corp:carol@example.com' },
    });
  });

  it('is audited as what it was where another one was about to write an end', async () => {
    const id = await granted();
    await stage.store.access.claimEnding(id, 'a replica that is gone', 30);
    const access = stage.access();
    const { result } = await access.requests.end(await stage.caller('carol'), id);
    expect(result).toMatchObject({ complete: true });
    stage.nowMs += 30_000;
    await access.endings.check();
    expect(facts('access-ended')).toMatchObject([ENDED]);
  });
});
