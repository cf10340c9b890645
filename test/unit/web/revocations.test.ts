import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import { coveringKeys } from '../../../src/core/credential/revocation.ts';
import type { RevocationResult } from '../../../src/revocation/revocation.ts';
import { createRevocationResults } from '../../../src/services/admin/revocation-results.ts';
import type { WebDeps } from '../../../src/web/dependencies.ts';
import { alsoAt, API, LateProof, post } from './admin-at.ts';
import { annotation, closeStages, openStage, openSession, signedInAs, type AdminAt } from './harness.ts';
import { TestProvider } from './test-provider.ts';

afterEach(closeStages);

const WORKLOAD = { workload: [{ name: 'ci', role: 'none', clusters: [] }] } as const;

const answerOf = ({ body }: { readonly body: unknown }): RevocationResult => body as RevocationResult;

describe('what may be named', () => {
  test('a workload is its rule and its subject, and an unknown rule is 404', async () => {
    const at = await signedInAs('root', { config: WORKLOAD });
    await openSession(at.stage, 'ci-1', 'brief', 'ci/repo:corp/app:ref');
    await openSession(at.stage, 'ci-2', 'brief', 'ci/repo:corp/other');
    const body = { workload: 'ci', subject: 'repo:corp/app:ref', reason: 'INC-1' };
    expect((await post(at, 'revocations', body).expect(200)).body).toMatchObject({ sessions: 1, canSignInAgain: true });
    expect(await at.stage.store.sessions.read('ci-1')).toBeUndefined();
    expect(await at.stage.store.sessions.read('ci-2')).toBeDefined();
    expect(annotation(at.stage.named('revocation')[0], 'target')).toBe('account:ci/repo:corp/app:ref');
    const wrong = await post(at, 'revocations', { ...body, workload: 'cl' }).expect(404);
    expect(wrong.body).toMatchObject({ code: 'workload_not_found' });
    expect(annotation(at.stage.named('revocation')[1], 'reason')).toBe('workload_not_found');
  });

  test.each([
    ['a workload without its subject', { workload: 'ci' }],
    ['a subject without its workload', { account: 'corp/x', subject: 'y' }],
    ['a lock on everything', { all: true, lock: true }],
    ['a lock on a session', { session: 'alice-1', lock: true }],
    ['a lock on a provider', { provider: 'corp', lock: true }],
    ['a request id that is no UUID', { account: 'corp/x', requestId: 'again' }],
  ])('%s is 400, and audited', async (_what, body) => {
    const at = await signedInAs('root', { config: WORKLOAD });
    await post(at, 'revocations', { ...body, reason: 'x' }).expect(400);
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('request_malformed');
    expect(await at.stage.store.sessions.count()).toBe(1);
  });
});

describe('whether they can sign in again by themselves', () => {
  test.each([
    ['an account whose provider proves freshness', { account: 'corp/sub-alice' }, false],
    ['a session of such an account', { session: 'alice-1' }, false],
    ['an account whose provider does not', { account: 'lab/sub-alice' }, true],
    ['an account of a provider that is gone', { account: 'old/sub-alice' }, true],
    ['a provider', { provider: 'corp' }, true],
    ['a lock', { account: 'lab/sub-alice', lock: true, force: true }, false],
    ['an account that is locked already', { account: 'lab/locked' }, false],
  ])('%s', async (_what, body, again) => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await openSession(at.stage, 'old-1', 'alice', 'old/sub-alice');
    await post(at, 'locks', { account: 'lab/locked', force: true, reason: 'x' }).expect(200);
    const { body: answer } = await post(at, 'revocations', { ...body, reason: 'x' }).expect(200);
    expect(answer).toMatchObject({ complete: true, canSignInAgain: again });
  });

  test('a store that cannot say whether there is a lock stops no revocation', async () => {
    const at = await signedInAs('root', {
      config: { admin: { groups: ['corp:platform'], auditors: [], freshness: 'off', dualControl: 'off' } },
      providers: [new TestProvider('corp', { provesFreshness: false })],
      change: (deps) => {
        deps.store.locks.find = () => Promise.reject(new AppError('store_unavailable', 'away'));
        return deps;
      },
    });
    const { body } = await post(at, 'revocations', { account: 'corp/sub-alice', reason: 'x' }).expect(200);
    expect(body).toMatchObject({ canSignInAgain: true });
  });
});

describe('the same request again', () => {
  test('is the same revocation, also by the header, and also when its session is gone', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const requestId = randomUUID();
    const body = { session: 'alice-1', reason: 'INC-1' };
    const first = answerOf(await post(at, 'revocations', { ...body, requestId }).expect(200));
    expect(first.id).toBe(requestId);
    for (const key of [requestId, `"${requestId.toUpperCase()}"`]) {
      const again = await post(at, 'revocations', body).set('Idempotency-Key', key).expect(200);
      expect(answerOf(again)).toMatchObject({ id: requestId, sessions: first.sessions, at: first.at });
    }
    expect(at.stage.named('revocation')).toHaveLength(1);
  });

  test.each([
    ['another target', { account: 'corp/sub-root' }],
    ['another reason', { reason: 'INC-2' }],
    ['a lock besides', { lock: true }],
  ])('with %s is 409 and revokes nothing', async (_what, change) => {
    const at = await signedInAs('root');
    const requestId = randomUUID();
    const body = { account: 'corp/sub-alice', reason: 'INC-1', requestId };
    await post(at, 'revocations', body).expect(200);
    const { body: problem } = await post(at, 'revocations', { ...body, ...change }).expect(409);
    expect(problem).toMatchObject({ code: 'request_id_reused' });
    expect(await at.stage.store.sessions.count()).toBe(1);
    expect(await at.stage.store.locks.list()).toEqual([]);
    const last = at.stage.named('revocation').at(-1);
    expect(last?.responseStatus?.code).toBe(409);
    expect(annotation(last, 'reason')).toBe('request_id_reused');
  });

  test('by another admin is 409: the answer is not theirs', async () => {
    const at = await signedInAs('root');
    const body = { account: 'corp/sub-alice', reason: 'INC-1', requestId: randomUUID() };
    await post(at, 'revocations', body).expect(200);
    await post(await alsoAt(at.stage, 'ann'), 'revocations', body).expect(409);
    expect(annotation(at.stage.named('revocation')[1], 'reason')).toBe('request_id_reused');
  });

  test('two ids in one request are 400', async () => {
    const at = await signedInAs('root');
    const body = { account: 'corp/sub-alice', reason: 'x', requestId: randomUUID() };
    await post(at, 'revocations', body).set('Idempotency-Key', randomUUID()).expect(400);
    await post(at, 'revocations', { ...body })
      .set('Idempotency-Key', 'not-a-uuid')
      .expect(400);
    expect(at.stage.named('revocation').map((event) => annotation(event, 'reason'))).toEqual([
      'request_id_twice',
      'idempotency_key_malformed',
    ]);
  });
});

describe('two requests with one id, while the first is being written', () => {
  interface Held {
    readonly at: AdminAt;
    /** How many have reached the revocation guard. */
    readonly asked: () => number;
    readonly write: () => void;
  }

  async function held(): Promise<Held> {
    const at = await signedInAs('root');
    const { guard, store } = at.stage;
    const [append, revoke] = [store.log.append.bind(store.log), guard.revoke.bind(guard)];
    const { promise, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    store.log.append = async (entry) => promise.then(() => append(entry));
    guard.revoke = (order) => {
      asked += 1;
      return revoke(order);
    };
    return { at, asked: () => asked, write: resolve };
  }

  test('are one revocation where they are equal, and so is each that comes later', async () => {
    const { at, asked, write } = await held();
    const body = { account: 'corp/sub-alice', reason: 'INC-1', requestId: randomUUID() };
    const both = Promise.all([post(at, 'revocations', body), post(at, 'revocations', body)]);
    await expect.poll(asked).toBe(2);
    write();
    const third = answerOf(await both.then(() => post(at, 'revocations', body).expect(200)));
    for (const first of await both) expect(answerOf(first)).toMatchObject({ id: third.id, at: third.at });
  });

  test.each([
    ['a lock besides', { lock: true }],
    ['another target', { account: 'corp/sub-root' }],
  ])(
    'are two where the other one has %s: it is 409, and the first one’s answer stays its own',
    async (_what, change) => {
      const { at, asked, write } = await held();
      const body = { account: 'corp/sub-alice', reason: 'INC-1', requestId: randomUUID() };
      const first = post(at, 'revocations', body).then(({ status }) => status);
      await expect.poll(asked).toBe(1);
      let refused: number | undefined;
      const second = post(at, 'revocations', { ...body, ...change }).then(({ status }) => (refused = status));
      await expect.poll(() => asked() === 2 || refused !== undefined).toBe(true);
      write();
      expect([await first, await second]).toEqual([200, 409]);
      expect(at.stage.named('lock')).toEqual([]);
      expect(await at.stage.store.locks.list()).toEqual([]);
      await post(at, 'revocations', body).expect(200);
    },
  );

  test('are two also where the store cannot say what the id stood for', async () => {
    const { at, write } = await held();
    write();
    const body = { account: 'corp/sub-alice', reason: 'INC-1', requestId: randomUUID() };
    await post(at, 'revocations', body).expect(200);
    const { artefacts } = at.stage.store;
    const find = artefacts.find.bind(artefacts);
    artefacts.find = (kind, id) =>
      kind === 'RevocationAnswer' ? Promise.reject(new AppError('store_unavailable', 'away')) : find(kind, id);
    await post(at, 'revocations', { ...body, lock: true }).expect(409);
    expect(at.stage.named('lock')).toEqual([]);
  });
});

describe('following an answer', () => {
  test('any replica knows it', async () => {
    const at = await signedInAs('root');
    const beside = await openStage({ beside: at.stage });
    const other = await alsoAt(beside, 'auditor');
    const { body } = await post(at, 'revocations', { account: 'corp/sub-alice', reason: 'x' }).expect(200);
    const { id } = answerOf({ body });
    expect(beside.guard.result(id)).toBeUndefined();
    const found = await other.browser.get(`${API}/revocations/${id}`).expect(200);
    expect(found.body).toEqual(body);
  });

  test('it says who revoked what and why, at any replica for thirty days', async () => {
    const at = await signedInAs('root');
    const beside = await openStage({ beside: at.stage });
    const body = { account: 'corp/sub-alice', lock: true, force: true, reason: 'INC-<1>', requestId: randomUUID() };
    await post(at, 'revocations', body).expect(200);
    const path = `revocations/${body.requestId}`;
    const receipt = {
      target: 'account:corp/sub-alice',
      lock: true,
      reason: 'INC-<1>',
      by: 'corp:root@example.com',
      auditId: at.stage.named('revocation')[0]?.auditID,
      complete: true,
    };
    for (const [stage, seconds] of [
      [at.stage, 0],
      [beside, 0],
      [at.stage, 601],
      [beside, 29 * 86_400],
    ] as const) {
      at.stage.clock.advance(seconds);
      const { browser } = await alsoAt(stage, 'auditor');
      expect((await browser.get(`${API}/${path}`).expect(200)).body).toMatchObject(receipt);
      const { text } = await browser.get(`/admin/${path}`).expect(200);
      expect(text).toContain('<code>account:corp/sub-alice</code>, and the account was locked');
      expect(text).toContain(`href="/admin/audit?auditId=${receipt.auditId}"`);
      expect(text).toContain('Reason: INC-&lt;1&gt;\nBy: corp:root@example.com');
      expect(text).toContain('&quot;by&quot;: &quot;corp:root@example.com&quot;');
    }
    at.stage.clock.advance(86_400);
    await (await alsoAt(beside, 'auditor')).browser.get(`${API}/${path}`).expect(404);
  });

  test('what an older stored one says is missing is not missing of one that is complete', async () => {
    const given: WebDeps[] = [];
    const stage = await openStage({ change: (deps) => (given.push(deps), deps) });
    const [deps] = given;
    if (deps === undefined) throw new Error('not ready');
    const result = await stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-alice' } });
    const context = { requestId: 'r', address: '', userAgent: '' };
    const about = { context, path: '', reason: 'INC-1', target: 'x', lock: false, by: 'root', fingerprint: 'f' };
    const before = createRevocationResults(deps);
    before.expect(result.id, { ...about, receipt: true });
    await before.keep({ ...result, complete: false, missing: ['replica portcullis-1'] });
    const found = await createRevocationResults(deps).find(result.id);
    expect(found).toMatchObject({ complete: true, reason: 'INC-1', auditId: 'r' });
    expect(found).not.toHaveProperty('missing');
  });

  test('an id is the same request for ten minutes only: a later one revokes again', async () => {
    const at = await signedInAs('root');
    const body = { account: 'corp/sub-alice', reason: 'x', requestId: randomUUID() };
    const first = answerOf(await post(at, 'revocations', body).expect(200));
    at.stage.clock.advance(601);
    await openSession(at.stage, 'alice-2', 'alice');
    const beside = await openStage({ beside: at.stage });
    const again = answerOf(await post(await alsoAt(beside, 'root'), 'revocations', body).expect(200));
    expect(again.at).not.toBe(first.at);
    expect(await at.stage.store.sessions.read('alice-2')).toBeUndefined();
  });

  test('a replica keeps a thousand a day for so long, and a drill’s for ten minutes', async () => {
    const given: WebDeps[] = [];
    const stage = await openStage({ change: (deps) => (given.push(deps), deps) });
    const [deps] = given;
    if (deps === undefined) throw new Error('not ready');
    const kept: number[] = [];
    stage.store.artefacts.save = async (_kind, _id, _payload, { ttlSeconds }) => void kept.push(ttlSeconds);
    const results = createRevocationResults(deps);
    const context = { requestId: 'r', address: '', userAgent: '' };
    const about = { context, path: '', reason: 'x', target: 'all', lock: false, by: 'root', fingerprint: 'f' };
    const result = await stage.guard.revoke({ target: { kind: 'session', session: 's' } });
    async function keep(receipt: boolean, change: Partial<typeof about> = {}): Promise<void> {
      const id = randomUUID();
      results.expect(id, { ...about, ...change, receipt });
      await results.keep({ ...result, id });
    }
    // Anyone who takes grants in a loop leaves a receipt for other users, and all of theirs for admins.
    for (let count = 0; count <= 500; count += 1) await keep(true, { target: 'grant:g', by: 'mallory' });
    await keep(true, { target: 'grant:g', by: 'alice' });
    const [month, minutes] = [30 * 86_400, 600];
    expect(kept.splice(0)).toEqual([...Array.from({ length: 500 }, () => month), minutes, month]);
    await keep(false);
    for (let count = 0; count <= 1000; count += 1) await keep(true);
    stage.clock.advance(86_400);
    await keep(true);
    expect(kept).toEqual([minutes, ...Array.from({ length: 1000 }, () => month), minutes, month]);
  });

  test('a 202 that is proven later is audited then, and every replica says complete', async () => {
    const late = new LateProof();
    const at = await signedInAs('root', { change: late.change });
    const { body } = await post(at, 'revocations', { account: 'corp/sub-alice', reason: 'INC-7' }).expect(202);
    expect(body).toMatchObject({ complete: false, missing: ['replica portcullis-1'] });
    const path = `${API}/revocations/${answerOf({ body }).id}`;
    expect((await at.browser.get(path).expect(200)).body).toMatchObject({ complete: false });
    expect(at.stage.named('revocation-proven')).toEqual([]);
    late.prove();
    await expect.poll(async () => (await at.browser.get(path)).body).toMatchObject({ complete: true });
    const [asked] = at.stage.named('revocation');
    const [proven] = at.stage.named('revocation-proven');
    expect(proven).toMatchObject({ auditID: asked?.auditID, user: { username: 'corp:root@example.com' } });
    expect(annotation(proven, 'reason')).toBe('INC-7');
    expect(annotation(proven, 'revocation')).toBe(annotation(asked, 'revocation'));
  });

  test('what was said first never stands in the store behind what was said later, however slow it was', async () => {
    const late = new LateProof();
    const at = await signedInAs('root', { change: late.change });
    const { artefacts } = at.stage.store;
    const save = artefacts.save.bind(artefacts);
    const { promise: slow, resolve: goOn } = Promise.withResolvers<void>();
    let saves = 0;
    artefacts.save = async (...given) => {
      if (given[0] === 'RevocationAnswer' && (saves += 1) === 1) await slow;
      return save(...given);
    };
    const answered = post(at, 'revocations', { account: 'corp/sub-alice', reason: 'x' }).then(answerOf);
    await expect.poll(() => saves).toBe(1);
    late.prove();
    // Whatever does not wait for its turn has been saved by the time that this has.
    await save('RevocationAnswer', 'another', {}, { ttlSeconds: 1 });
    goOn();
    const path = `${API}/revocations/${(await answered).id}`;
    await expect.poll(async () => (await at.browser.get(path)).body).toMatchObject({ complete: true });
  });

  test('the proof of a revocation that another replica received is audited, too', async () => {
    const late = new LateProof();
    const at = await signedInAs('alice', { change: late.change });
    await at.browser.post('/logout').type('form').set('Origin', 'http://localhost:7444').send({ csrf: at.csrf });
    late.prove();
    expect(at.stage.named('revocation-proven')).toHaveLength(1);
  });
});

describe('with the store away', () => {
  test('a session is rejected at the replica that was asked, although it could not be looked up', async () => {
    let away = false;
    const gone = new AppError('store_unavailable', 'the store is unavailable');
    const at = await signedInAs('root', {
      change: (deps) => {
        const { sessions } = deps.store;
        const read = sessions.read.bind(sessions);
        sessions.read = (id) => (away && id === 'alice-1' ? Promise.reject(gone) : read(id));
        return deps;
      },
    });
    await openSession(at.stage, 'alice-1', 'alice');
    const owner = { session: 'alice-1', account: 'corp/sub-alice', provider: 'corp' } as const;
    const { position } = at.stage.guard;
    if (position === undefined) throw new Error('no lease');
    const credential = { keys: coveringKeys(owner), position };
    expect(at.stage.guard.check(credential)).toBeUndefined();
    away = true;
    at.stage.store.log.append = () => Promise.reject(gone);
    const { body } = await post(at, 'revocations', { session: 'alice-1', reason: 'INC-1' }).expect(503);
    expect(body).toMatchObject({ code: 'revocation_not_written' });
    expect(at.stage.guard.check(credential)).toBe('session_revoked');
    expect(annotation(at.stage.named('revocation')[0], 'outcome')).toBe('revocation_not_written');
  });

  test('an answer that cannot be kept is given all the same', async () => {
    const at = await signedInAs('root');
    at.stage.store.artefacts.save = () => Promise.reject(new AppError('store_unavailable', 'away'));
    await post(at, 'revocations', { account: 'corp/sub-alice', reason: 'x' }).expect(200);
    expect(at.stage.logged).toMatchObject([{ revocation: annotation(at.stage.named('revocation')[0], 'revocation') }]);
  });
});
