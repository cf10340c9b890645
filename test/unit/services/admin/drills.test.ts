import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import type { DrillResult } from '../../../../src/services/admin/drills.ts';
import { memoryGuard } from '../../../support/memory-guard.ts';
import { alsoAt, API, LateProof, post } from '../../web/admin-at.ts';
import { annotation, closeStages, openStage, signedInAs, type Stage } from '../../web/harness.ts';

afterEach(closeStages);

interface Part {
  readonly opens: 'open' | 'failed' | 'never';
  readonly cuts: 'cut' | 'failed' | 'never';
  /** Reports nothing before this resolves. */
  readonly until?: Promise<void>;
}

const GOOD: Part = { opens: 'open', cuts: 'cut' };

/**
 * Plays a replica's part of a drill, without the stream: reports the states of its watch.
 * @returns the requests for a drill that it received
 */
function takePart({ guard, store }: Stage, { opens, cuts, until }: Part = GOOD): object[] {
  const asked: object[] = [];
  let id = '';
  const report = (state: 'open' | 'cut' | 'failed' | 'never', reason: string): void => {
    if (state === 'never') return;
    guard.reportDrill({ id, state, ...(state === 'failed' ? { reason } : {}) });
  };
  const begin = async (): Promise<void> => {
    asked.push((await store.artefacts.find('Drill', id)) ?? {});
    await until;
    report(opens, 'list namespaces is not allowed');
  };
  guard.onChange((change) => {
    if (change?.kind === 'drill') {
      ({ id } = change);
      void begin();
    }
    if (change?.kind === 'revoked' && id !== '' && opens === 'open') report(cuts, 'it ended by itself');
  });
  return asked;
}

const resultOf = ({ body }: { readonly body: unknown }): DrillResult => body as DrillResult;

describe('a drill', () => {
  test('passes when every replica has opened its watch and reported it cut', async () => {
    const at = await signedInAs('root');
    const beside = await openStage({ beside: at.stage });
    await beside.guard.refresh();
    const asked = takePart(at.stage);
    takePart(beside);
    const result = resultOf(await post(at, 'drills', { reason: 'monthly' }).expect(200));
    expect(result.verdict).toBe('passed');
    expect(result.receipt).toMatchObject({ complete: true, sessions: 1 });
    expect(result.replicas.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual([
      { id: 'portcullis-0', opened: true, cut: true, ms: expect.any(Number) },
      { id: 'portcullis-1', opened: true, cut: true, ms: expect.any(Number) },
    ]);
    expect(asked).toMatchObject([{ cluster: 'prod', path: '/api/v1/namespaces?watch=1' }]);
    expect(await at.stage.store.sessions.count()).toBe(1);
    const [event] = at.stage.named('drill');
    expect([annotation(event, 'verdict'), annotation(event, 'reason')]).toEqual(['passed', 'monthly']);
    expect(annotation(event, 'replicas-passed')).toBe('2');
    expect(annotation(at.stage.named('revocation')[0], 'revocation')).toBe(result.receipt.id);
  });

  test('leaves out a command on the server’s own shell, which serves nothing and can open no watch', async () => {
    const at = await signedInAs('root');
    const shell = memoryGuard(at.stage.store, { replicaName: 'root@portcullis-0', servesNothing: true });
    onTestFinished(() => shell.stop());
    await shell.start();
    takePart(at.stage);
    const result = resultOf(await post(at, 'drills', { reason: 'monthly' }).expect(200));
    expect(at.stage.guard.replicas).toContainEqual(expect.objectContaining({ id: 'root@portcullis-0', state: 'live' }));
    expect(result).toMatchObject({ verdict: 'passed', replicas: [{ id: 'portcullis-0', cut: true }] });
  });

  test('acts as the caller, in their account and with their sign-in, and asks them for no fresh one', async () => {
    const at = await signedInAs('root');
    const seen: object[] = [];
    const open = at.stage.store.sessions.open.bind(at.stage.store.sessions);
    at.stage.store.sessions.open = (session, secret) => {
      seen.push(session, secret);
      return open(session, secret);
    };
    takePart(at.stage);
    for (const reason of ['first', 'second']) {
      expect(resultOf(await post(at, 'drills', { reason }).expect(200)).verdict).toBe('passed');
    }
    expect(seen).toMatchObject([
      { account: 'corp/sub-root', client: 'drill:watch', identity: { username: 'corp:root@example.com' } },
      {},
      { provider: 'corp' },
      {},
    ]);
    const [own] = await at.stage.store.sessions.list({ limit: 1 }).then(({ sessions }) => sessions);
    expect(own?.authTime).toBeTypeOf('number');
    expect(seen[0]).toMatchObject({ authTime: own?.authTime, account: own?.account });
    // Another revocation of one of root's own sessions would require a fresh sign-in here.
    await alsoAt(at.stage, 'root');
    await at.browser.get(`${API}/sessions`).expect(200);
  });

  test.each([
    ['does not open it', { opens: 'failed', cuts: 'cut' }, false, 'list namespaces is not allowed'],
    ['loses it before its time', { opens: 'open', cuts: 'failed' }, true, 'it ended by itself'],
  ] as const)('fails where a replica %s, and says why', async (_what, part, opened, reason) => {
    const at = await signedInAs('root');
    takePart(at.stage, part);
    const result = resultOf(await post(at, 'drills', { reason: 'x' }).expect(200));
    expect(result).toMatchObject({ verdict: 'failed', receipt: { complete: true } });
    expect(result.replicas).toEqual([{ id: 'portcullis-0', opened, cut: false, reason }]);
    expect(annotation(at.stage.named('drill')[0], 'verdict')).toBe('failed');
  });

  test('fails when the watch was cut but the revocation is not proven', async () => {
    const at = await signedInAs('root', { change: new LateProof().change });
    takePart(at.stage);
    const result = resultOf(await post(at, 'drills', { reason: 'x' }).expect(200));
    expect(result).toMatchObject({ verdict: 'failed', receipt: { complete: false } });
  });

  test('runs only once at a time', async () => {
    const at = await signedInAs('root');
    const hold = Promise.withResolvers<void>();
    const asked = takePart(at.stage, { ...GOOD, until: hold.promise });
    const first = post(at, 'drills', { reason: 'x' }).then(resultOf);
    await expect.poll(() => asked).toHaveLength(1);
    expect((await post(at, 'drills', { reason: 'y' }).expect(409)).body).toMatchObject({ code: 'drill_running' });
    expect(annotation(at.stage.named('drill')[0], 'reason')).toBe('drill_running');
    hold.resolve();
    expect((await first).verdict).toBe('passed');
    expect(resultOf(await post(at, 'drills', { reason: 'z' }).expect(200)).verdict).toBe('passed');
  });

  test('is rejected while one of another replica runs', async () => {
    const at = await signedInAs('root');
    const beside = await openStage({ beside: at.stage });
    beside.guard.reportDrill({ id: 'another', state: 'open' });
    await beside.guard.refresh();
    await at.stage.guard.refresh();
    const { body } = await post(at, 'drills', { reason: 'x' }).expect(409);
    expect(body).toMatchObject({ code: 'drill_running' });
  });

  test.each([
    ['no reason', {}, 400, 'bad_request'],
    ['a cluster that is not there', { cluster: 'nowhere', reason: 'x' }, 404, 'cluster_not_found'],
    ['a path that is no watch', { path: '/api/v1/pods', reason: 'x' }, 400, 'bad_request'],
    [
      'a path below a proxy',
      { path: '/api/v1/namespaces/a/services/b/proxy/c?watch=1', reason: 'x' },
      400,
      'bad_request',
    ],
    ['a watch of a proxy', { path: '/api/v1/watch/pods/b/proxy?watch=1', reason: 'x' }, 400, 'bad_request'],
    ['a path outside the API', { path: '/-/admin?watch=1', reason: 'x' }, 400, 'bad_request'],
    ['a path that breaks a line', { path: '/api/v1/pods?watch=1\r\nX: y', reason: 'x' }, 400, 'bad_request'],
  ])('with %s is rejected and audited', async (_what, body, status, code) => {
    const at = await signedInAs('root');
    const refused = await post(at, 'drills', body).expect(status);
    expect(refused.body).toMatchObject({ code });
    expect(at.stage.named('drill')[0]?.responseStatus?.code).toBe(status);
    expect(await at.stage.store.sessions.count()).toBe(1);
  });

  test('ends its session also when it cannot be announced', async () => {
    const at = await signedInAs('root');
    at.stage.store.log.announceDrill = () => Promise.reject(new AppError('store_unavailable', 'away'));
    await post(at, 'drills', { reason: 'x' }).expect(503);
    expect(await at.stage.store.sessions.count()).toBe(1);
    expect(at.stage.named('drill')[0]?.responseStatus?.code).toBe(503);
  });

  test('fails and is audited when its revocation cannot be written', async () => {
    const at = await signedInAs('root');
    takePart(at.stage);
    at.stage.store.log.append = () => Promise.reject(new AppError('store_unavailable', 'away'));
    await post(at, 'drills', { reason: 'x' }).expect(503);
    const [event] = at.stage.named('drill');
    expect([annotation(event, 'verdict'), annotation(event, 'outcome')]).toEqual(['failed', 'revocation_not_written']);
  });

  test.each([
    ['auditor', 'auditor_may_not_act'],
    ['alice', 'no_role'],
  ])('is rejected for %s', async (who, reason) => {
    const at = await signedInAs(who);
    await post(at, 'drills', { reason: 'x' }).expect(403);
    expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe(reason);
  });
});

test('admins and auditors see the replicas', async () => {
  const at = await signedInAs('auditor');
  const { body } = await at.browser.get(`${API}/replicas`).expect(200);
  expect(body).toMatchObject({ replicas: [{ id: 'portcullis-0', self: true, state: 'live' }] });
  expect(annotation(at.stage.named('admin-read')[0], 'reason')).toBe('replicas');
  await (await alsoAt(at.stage, 'alice')).browser.get(`${API}/replicas`).expect(403);
});
