import { randomUUID } from 'node:crypto';
import { AppError } from '../../../../src/core/errors.ts';
import { afterEach, describe, expect, test } from 'vitest';
import type { RecheckedUser } from '../../../../src/services/admin/confirmed-user.ts';
import type { SessionRecord } from '../../../../src/store/store.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import { apiDoor, RULES } from '../../../support/admin-doors.ts';
import { alsoAt, post } from '../../web/admin-at.ts';
import {
  annotation,
  browserAt,
  closeStages,
  csrfOf,
  locationOf,
  openSession,
  PUBLIC_URL,
  signedInAs,
  type Stage,
  signIn,
} from '../../web/harness.ts';

afterEach(closeStages);

const DUAL = {
  config: {
    admin: { groups: ['corp:platform'], auditors: ['corp:security'], freshness: 900, dualControl: 'on' },
    workload: [{ name: 'ci', role: 'none', clusters: [] }],
  },
} as const;

interface Asked {
  readonly approval: string;
  readonly expiresAt: string;
  readonly code: string;
  readonly detail: string;
}

const asked = ({ body }: { readonly body: unknown }): Asked => body as Asked;

const everyone = { all: true, reason: 'break-in' };

describe('dual control', () => {
  test('a workload neither asks for what takes two admins nor is the second one', async () => {
    const at = await signedInAs('root', { config: { ...DUAL.config, workload: RULES } });
    const api = await apiDoor(at.stage);
    const siem = await api.as('siem');
    const send = (body: object) => siem({ method: 'post', path: '/revocations' }).send({ ...everyone, ...body });
    await send({}).expect(403);
    expect(at.stage.named('approval-asked')).toEqual([]);
    const { approval } = asked(await post(at, 'revocations', everyone).expect(409));
    await send({ approval }).expect(403);
    const refused = at.stage.named('admin-refused').map((event) => annotation(event, 'reason'));
    expect(refused).toEqual(['workload_may_not_approve', 'workload_may_not_approve']);
    expect(at.stage.named('revocation')).toEqual([]);
    api.close();
  });

  test.each([
    ['everything', { all: true }, 'all'],
    ['a provider', { provider: 'lab' }, 'provider:lab'],
    ['a lock on an admin', { account: 'corp/sub-ann', lock: true }, 'account:corp/sub-ann'],
    [
      'a lock on an account without a session',
      { account: 'corp/unknown', lock: true, force: true },
      'account:corp/unknown',
    ],
  ])('%s waits for a second admin, and then has both names', async (_what, target, name) => {
    const at = await signedInAs('root', DUAL);
    const second = await alsoAt(at.stage, 'ann');
    const body = { ...target, reason: 'INC-1' };
    const first = asked(await post(at, 'revocations', body).expect(409));
    expect(first).toMatchObject({ code: 'second_admin_needed', expiresAt: '2026-11-25T12:15:00Z' });
    expect(first.detail).toContain(first.approval);
    expect(await at.stage.store.sessions.count()).toBe(2);
    expect(await at.stage.store.locks.list()).toEqual([]);
    const [ask] = at.stage.named('approval-asked');
    expect([annotation(ask, 'target'), annotation(ask, 'reason')]).toEqual([name, 'INC-1']);
    expect(at.stage.named('revocation')).toEqual([]);

    const { body: response } = await post(second, 'revocations', { ...body, approval: first.approval }).expect(200);
    expect(response).toMatchObject({ complete: true });
    const [done] = at.stage.named('revocation');
    expect(done).toMatchObject({ user: { username: 'corp:ann@example.com' } });
    expect(annotation(done, 'asked-by')).toBe('corp:root@example.com');
    expect(annotation(done, 'asked-by-account')).toBe('corp/sub-root');
    const locks = await at.stage.store.locks.list();
    expect(locks.map(({ by }) => by)).toEqual('lock' in target ? ['corp:root@example.com, corp:ann@example.com'] : []);
  });

  test.each([
    ['a session', { session: 'alice-1' }],
    ['an account, an admin’s too', { account: 'corp/sub-ann' }],
    ['a lock on a workload', { workload: 'ci', subject: 'repo:a/b', lock: true, force: true }],
    ['a lock on a signed-in user who is not an admin', { account: 'corp/sub-alice', lock: true }],
  ])('%s takes one admin', async (_what, target) => {
    const at = await signedInAs('root', DUAL);
    await openSession(at.stage, 'alice-1', 'alice');
    await post(at, 'revocations', { ...target, reason: 'INC-1' }).expect(200);
    expect(at.stage.named('approval-asked')).toEqual([]);
  });

  test('an admin whose sessions were revoked before still counts as an admin', async () => {
    const at = await signedInAs('root', DUAL);
    await alsoAt(at.stage, 'ann');
    await post(at, 'revocations', { account: 'corp/sub-ann', reason: 'x' }).expect(200);
    await post(at, 'locks', { account: 'corp/sub-ann', reason: 'x' }).expect(409);
    expect(await at.stage.store.locks.list()).toEqual([]);
  });

  test('the same admin cannot be the second one, not even from another session', async () => {
    const at = await signedInAs('root', DUAL);
    const { approval } = asked(await post(at, 'revocations', everyone).expect(409));
    for (const self of [at, await alsoAt(at.stage, 'root')]) {
      const { body } = await post(self, 'revocations', { ...everyone, approval }).expect(403);
      expect(body).toMatchObject({ code: 'same_admin' });
    }
    expect(at.stage.named('admin-refused').map((event) => annotation(event, 'reason'))).toEqual([
      'same_admin',
      'same_admin',
    ]);
    expect(await at.stage.store.sessions.count()).toBe(2);
    // The wrong attempts have not consumed the approval.
    await post(await alsoAt(at.stage, 'ann'), 'revocations', { ...everyone, approval }).expect(200);
  });

  test.each([
    ['for something else', () => ({ provider: 'lab', reason: 'x' })],
    ['that no admin received', () => ({ ...everyone, approval: 'made-up' })],
  ])('an approval %s is 409', async (_what, change) => {
    const at = await signedInAs('root', DUAL);
    const second = await alsoAt(at.stage, 'ann');
    const { approval } = asked(await post(at, 'revocations', everyone).expect(409));
    const { body } = await post(second, 'revocations', { approval, ...change() }).expect(409);
    expect(body).toMatchObject({ code: 'approval_not_good' });
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('approval_not_good');
    expect(await at.stage.store.sessions.count()).toBe(2);
  });

  test.each([
    ['was revoked', (at: Stage, session: string) => at.guard.revoke({ target: { kind: 'session', session } })],
    [
      'was revoked with their provider',
      (at: Stage) => at.guard.revoke({ target: { kind: 'provider', provider: 'corp' } }),
    ],
    [
      'was signed out by time',
      async ({ store: { sessions } }: Stage, session: string) => {
        const read = sessions.read.bind(sessions);
        sessions.read = async (id) => (id === session ? undefined : await read(id));
      },
    ],
    [
      'is no admin any more',
      async ({ store: { sessions } }: Stage, session: string) => {
        const record = await sessions.read(session);
        if (record === undefined) throw new Error('no session');
        return await sessions.update(session, { identity: { ...record.identity, groups: [] }, secret: {} });
      },
    ],
  ])('an approval is not good where the first admin %s since', async (_what, happens) => {
    const at = await signedInAs('root', DUAL);
    const { approval } = asked(await post(at, 'revocations', everyone).expect(409));
    const [first] = (await at.stage.store.sessions.list({ limit: 10 })).sessions;
    await happens(at.stage, first?.id ?? '');
    at.stage.clock.advance(120);
    const second = await alsoAt(at.stage, 'ann');
    const { body } = await post(second, 'revocations', { ...everyone, approval }).expect(409);
    expect(body).toMatchObject({ code: 'approval_not_good' });
    expect(at.stage.named('revocation').map((event) => annotation(event, 'reason'))).toEqual(['approval_not_good']);
    expect((await at.stage.store.sessions.list({ account: 'corp/sub-ann', limit: 1 })).sessions).toHaveLength(1);
  });

  const unasked = (record: SessionRecord): RecheckedUser => ({ kind: 'same', record });
  const SAID: readonly (readonly [string, (record: SessionRecord) => RecheckedUser, string])[] = [
    ['was disabled at their provider', () => ({ kind: 'refused', message: 'No.' }), 'second_admin_is_none'],
    [
      'has left the admins there',
      (record) => ({ kind: 'changed', record: { ...record, identity: { ...record.identity, groups: [] } } }),
      'second_admin_is_none',
    ],
    ['signed in a while ago, at a provider that cannot be asked', unasked, 'second_admin_not_confirmed'],
  ];

  /** Two admins, of whom the provider says something about one, and the approval of the first. */
  async function saidOfOne(username: string, says: (record: SessionRecord) => RecheckedUser) {
    const asks: string[] = [];
    const change = (deps: WebDeps): WebDeps => ({
      ...deps,
      recheckUser: async (session) => {
        asks.push(session);
        const record = await deps.store.sessions.read(session);
        return record?.identity.username === username ? says(record) : deps.recheckUser(session);
      },
    });
    const at = await signedInAs('root', { ...DUAL, change });
    const second = await alsoAt(at.stage, 'ann');
    const { approval } = asked(await post(at, 'revocations', everyone).expect(409));
    at.stage.clock.advance(361);
    return { at, second, approval, asks };
  }

  test.each(SAID)(
    'an approval is not good where the first admin %s, though their session says nothing of it',
    async (_what, says) => {
      const { at, second, approval, asks } = await saidOfOne('corp:root@example.com', says);
      const { body } = await post(second, 'revocations', { ...everyone, approval }).expect(409);
      expect(body).toMatchObject({ code: 'approval_not_good' });
      expect(asks).toHaveLength(1);
      expect(await at.stage.store.sessions.count()).toBe(2);
    },
  );

  test.each(SAID)(
    'a second admin who %s does nothing, and the approval stays for another one',
    async (_what, says, reason) => {
      const { at, second, approval } = await saidOfOne('corp:ann@example.com', says);
      await post(second, 'revocations', { ...everyone, approval }).expect(403);
      expect(annotation(at.stage.named('admin-refused').at(-1), 'reason')).toBe(reason);
      expect(at.stage.named('revocation')).toEqual([]);
      expect(await at.stage.store.sessions.count()).toBe(2);
      expect(await at.stage.store.artefacts.find('Approval', approval)).toBeDefined();
    },
  );

  test('where the provider of the first admin does not answer, nothing is done, and the approval stays', async () => {
    let isDown = true;
    const change = (deps: WebDeps): WebDeps => ({
      ...deps,
      recheckUser: async (session) => {
        if (isDown) throw new AppError('provider_unavailable', 'no answer', { reason: 'provider_timeout' });
        return deps.recheckUser(session);
      },
    });
    const at = await signedInAs('root', { ...DUAL, change });
    const { approval } = asked(await post(at, 'revocations', everyone).expect(409));
    const second = await alsoAt(at.stage, 'ann');
    const { body } = await post(second, 'revocations', { ...everyone, approval }).expect(502);
    expect(body).toMatchObject({ code: 'provider_unavailable' });
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('provider_timeout');
    expect(await at.stage.store.sessions.count()).toBe(2);
    isDown = false;
    await post(second, 'revocations', { ...everyone, approval }).expect(200);
  });

  test.each([
    ['asks first', { provider: 'lab' }],
    ['needs no second one', { username: 'corp:alice@example.com' }],
  ])('an admin who %s and is revoked while that is looked at does nothing', async (_what, target) => {
    const at = await signedInAs('root', DUAL);
    const [own] = (await at.stage.store.sessions.list({ limit: 10 })).sessions;
    await openSession(at.stage, 'alice-1', 'alice');
    const { artefacts, sessions } = at.stage.store;
    const [find, list] = [artefacts.find.bind(artefacts), sessions.list.bind(sessions)];
    const revoked = () => at.stage.guard.revoke({ target: { kind: 'session', session: own?.id ?? '' } });
    artefacts.find = async (kind, id) => {
      if (kind === 'RevocationAnswer') await revoked();
      return await find(kind, id);
    };
    sessions.list = async (query) => {
      if (query.username !== undefined) await revoked();
      return await list(query);
    };
    await post(at, 'revocations', { ...target, reason: 'x', requestId: randomUUID() }).expect(401);
    expect(at.stage.named('approval-asked')).toEqual([]);
    expect(await sessions.read('alice-1')).toBeDefined();
  });

  test('an approval can be used once, and for 15 minutes', async () => {
    const at = await signedInAs('root', DUAL);
    const second = await alsoAt(at.stage, 'ann');
    const target = { provider: 'lab', reason: 'x' };
    const { approval } = asked(await post(at, 'revocations', target).expect(409));
    const tries = [1, 2, 3, 4].map(() => post(second, 'revocations', { ...target, approval }));
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.toSorted((one, other) => one - other)).toEqual([200, 409, 409, 409]);
    const late = asked(await post(at, 'revocations', target).expect(409));
    at.stage.clock.advance(901);
    await post(second, 'revocations', { ...target, approval: late.approval }).expect(409);
  });

  describe('when the store fails to write', () => {
    const lab = { provider: 'lab', reason: 'x' };

    /** Makes the next write fail, before or after it is done. */
    function loseNext({ store: { log } }: Stage, written: boolean): void {
      const append = log.append.bind(log);
      log.append = async (request) => {
        log.append = append;
        if (written) await append(request);
        throw new AppError('store_unavailable', 'away');
      };
    }

    test('the approval is not consumed, and the same admin sends it again', async () => {
      const at = await signedInAs('root', DUAL);
      const second = await alsoAt(at.stage, 'ann');
      const { approval } = asked(await post(at, 'revocations', lab).expect(409));
      loseNext(at.stage, false);
      const { body } = await post(second, 'revocations', { ...lab, approval }).expect(503);
      expect(body).toMatchObject({ code: 'revocation_not_written' });
      await post(second, 'revocations', { ...lab, approval }).expect(200);
      await post(second, 'revocations', { ...lab, approval }).expect(409);
      const lines = at.stage.named('revocation');
      expect(lines.map((line) => [annotation(line, 'approval'), annotation(line, 'asked-by')])).toEqual([
        [approval, 'corp:root@example.com'],
        [approval, 'corp:root@example.com'],
        [undefined, undefined],
      ]);
      expect(annotation(at.stage.named('approval-asked')[0], 'approval')).toBe(approval);
    });

    /** A request of the second admin that was written, and whose response was lost on the way back. */
    async function writtenAndLost() {
      const at = await signedInAs('root', DUAL);
      const second = await alsoAt(at.stage, 'ann');
      const { approval } = asked(await post(at, 'revocations', lab).expect(409));
      loseNext(at.stage, true);
      const order = { ...lab, approval, requestId: randomUUID() };
      await post(second, 'revocations', order).expect(503);
      return { at, second, approval, order };
    }

    test('the same request succeeds where it was written after all, and another one with that approval does not', async () => {
      const { at, second, order } = await writtenAndLost();
      const { number } = await at.stage.store.log.position();
      await post(second, 'revocations', { ...order, requestId: randomUUID() }).expect(409);
      await post(second, 'revocations', { ...order, provider: 'corp' }).expect(409);
      await post(second, 'revocations', order).expect(200);
      expect((await at.stage.store.log.position()).number).toBe(number);
    });

    test('the same request of another admin does nothing, whatever approval comes with it', async () => {
      const { at, second, approval, order } = await writtenAndLost();
      const orders: string[] = [];
      const { guard } = at.stage;
      const revoke = guard.revoke.bind(guard);
      guard.revoke = async (given) => {
        orders.push(given.target.kind);
        return revoke(given);
      };
      for (const known of [approval, 'made-up']) {
        const { body } = await post(at, 'revocations', { ...order, approval: known }).expect(409);
        expect(body).toMatchObject({ code: 'approval_not_good' });
      }
      expect(orders).toEqual([]);
      await post(second, 'revocations', order).expect(200);
    });

    test('a used approval does not reject the target here, not even for a moment', async () => {
      const at = await signedInAs('root', DUAL);
      const second = await alsoAt(at.stage, 'ann');
      const { approval } = asked(await post(at, 'revocations', lab).expect(409));
      await post(second, 'revocations', { ...lab, approval }).expect(200);
      const orders: string[] = [];
      const { guard } = at.stage;
      const revoke = guard.revoke.bind(guard);
      guard.revoke = async (order) => {
        orders.push(order.target.kind);
        return revoke(order);
      };
      await post(second, 'revocations', { ...lab, approval }).expect(409);
      expect(orders).toEqual([]);
    });
  });

  test('works on the pages: the first admin receives the id, and the second enters it', async () => {
    const at = await signedInAs('root', DUAL);
    const send = (browser: typeof at.browser, csrf: string, approval: string) =>
      browser.post('/admin/revoke').type('form').set('Origin', PUBLIC_URL).send({
        csrf,
        kind: 'provider',
        value: 'lab',
        word: 'lab',
        reason: 'INC-1',
        approval,
        requestId: randomUUID(),
      });
    const told = await send(at.browser, at.csrf, '').expect(409);
    const approval = /--approval ([\w-]+)/.exec(told.text)?.[1] ?? '';
    const ann = browserAt(at.stage);
    await signIn(ann, 'ann');
    const link = `/admin/revoke?kind=provider&value=lab&approval=${approval}`;
    expect((await ann.get(link).expect(200)).text).toMatch(new RegExp(`name="approval"\\s+value="${approval}"`));
    const sent = await send(ann, await csrfOf(ann), approval).expect(303);
    expect((await ann.get(locationOf(sent)).expect(200)).text).toContain('Complete.');
  });

  test('one admin is enough for everything when dual control is off', async () => {
    const at = await signedInAs('root');
    await post(at, 'revocations', everyone).expect(200);
    expect(await at.stage.store.sessions.count()).toBe(0);
  });
});
