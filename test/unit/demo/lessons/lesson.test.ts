import { describe, expect, it } from 'vitest';
import { portcullisEvent, requestEvent, type AuditEvent } from '../../../../src/core/audit/event.ts';
import type { PortcullisEventName } from '../../../../src/core/audit/catalogue.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { happened, type Evidence } from '../../../../demo/lessons/lesson.ts';
import { lessonOf } from '../../../../demo/lessons/lessons.ts';

const identity = (name: string) => ({ username: `demo:${name}`, uid: `demo/${name}`, groups: [], extra: {} });

interface AuditedAct {
  readonly target?: string;
  readonly session?: string;
  readonly reason?: string;
  readonly code?: number;
}

const instance = (
  event: PortcullisEventName,
  name: string,
  { target, code = 200, ...rest }: AuditedAct = {},
): AuditEvent =>
  portcullisEvent({
    event,
    auditId: 'a',
    at: 0,
    requestUri: '',
    sourceIps: [],
    code,
    identity: identity(name),
    account: `demo/${name}`,
    ...rest,
    ...(target === undefined ? {} : { details: { target } }),
  });

function asked(name: string, method: string, path: string, code: number, session?: string): AuditEvent {
  const info = requestInfo(method, path);
  const common = { identity: identity(name), sourceIps: [], receivedAt: 0, at: 0, status: { code } };
  const details = session === undefined ? {} : { details: { session } };
  return requestEvent({ auditId: 'a', stage: 'ResponseComplete', requestUri: path, info, ...common, ...details });
}

const PODS = '/api/v1/namespaces/default/pods';

const seen = (...events: readonly AuditEvent[]): Evidence => ({
  events,
  answered: new Set(),
  may: () => Promise.resolve(false),
});

function lesson(number: number) {
  const found = lessonOf(String(number));
  if (typeof found === 'string') throw new Error(found);
  return found;
}

describe('what happened in the audit log', () => {
  const evidence = seen(instance('sign-in', 'alice'), asked('alice', 'GET', PODS, 200));

  it.each([
    { wanted: { event: 'sign-in' }, so: true },
    { wanted: { event: 'sign-in', who: 'demo:bob' }, so: false },
    { wanted: { verb: 'list', resource: 'pods', namespace: 'default', code: 200 }, so: true },
    { wanted: { verb: 'list', resource: 'pods', code: 403 }, so: false },
    { wanted: { facts: { target: /x/ } }, so: false },
  ])('looks for $wanted: $so', ({ wanted, so }) => {
    expect(happened(evidence, wanted)).toBe(so);
  });

  it('is a series only in its order', () => {
    expect(happened(evidence, { event: 'sign-in' }, { verb: 'list' })).toBe(true);
    expect(happened(evidence, { verb: 'list' }, { event: 'sign-in' })).toBe(false);
  });

  it('is not a series where one event would have to count twice', () => {
    expect(happened(evidence, { verb: 'list' }, { verb: 'list' })).toBe(false);
  });
});

describe('the lessons', () => {
  it('are eight, and another number is answered with the list of them', () => {
    for (let number = 1; number <= 8; number += 1) expect(lesson(number).number).toBe(number);
    for (const typed of ['9', '0', '', '01', 'x'])
      expect(lessonOf(typed)).toMatch(/ 1 {2}Signing in[^]* 7 {2}An incident[^]* 8 {2}A right for a while/);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('lesson %i has no task done before anything was done', async (number) => {
    const done = await Promise.all(lesson(number).tasks.map(async (task) => task.done(seen())));
    expect(done).toEqual(done.map(() => false));
  });

  it('do not take what another user did for the learner', async () => {
    const others = seen(instance('sign-in', 'bob'), asked('bob', 'GET', PODS, 200));
    const done = await Promise.all(lesson(1).tasks.map(async (task) => task.done(others)));
    expect(done).toEqual([false, false, false, false]);
  });

  it('do not take a revocation of another user for that of the stolen laptop', () => {
    const task = lesson(3).tasks.find(({ title }) => title === "root ends alice's sessions");
    const after = (target: string) =>
      task?.done(seen(instance('sign-in', 'alice'), instance('revocation', 'root', { target })));
    expect(after('account:demo/bob')).toBe(false);
    expect(after('account:demo/alice')).toBe(true);
  });

  it('want the cluster itself to say that a right is no wider than asked for', async () => {
    const task = lesson(4).tasks.at(-1);
    const cluster = (...rights: readonly string[]): Evidence => ({
      ...seen(),
      may: ({ verb, resource, namespace }) => Promise.resolve(rights.includes(`${verb} ${resource} ${namespace}`)),
    });
    const enough = 'list pods payments';
    expect(await task?.done(cluster(enough))).toBe(true);
    for (const more of ['delete pods payments', 'create pods payments', 'get secrets payments', 'list pods default']) {
      expect(await task?.done(cluster(enough, more)), more).toBe(false);
    }
    expect(await task?.done(cluster())).toBe(false);
  });

  it('do not take a binding of another user for the one that bob needs', async () => {
    const task = lesson(4).tasks.find(({ title }) => title === 'root gives him a role that reads pods there');
    const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/payments/rolebindings';
    for (const bound of [asked('root', 'POST', path, 201), asked('root', 'PATCH', `${path}/reads`, 200)]) {
      expect(await task?.done(seen(bound))).toBe(false);
      expect(await task?.done({ ...seen(bound), may: () => Promise.resolve(true) })).toBe(true);
    }
  });

  it('do not take a rejection in another namespace for the one that was asked for', () => {
    const task = lesson(4).tasks.find(({ title }) => title === 'bob is denied to delete one');
    const bound = asked('root', 'POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/payments/rolebindings', 201);
    const after = (namespace: string) =>
      task?.done(seen(bound, asked('bob', 'DELETE', `/api/v1/namespaces/${namespace}/pods/web-1`, 403)));
    expect(after('default')).toBe(false);
    expect(after('payments')).toBe(true);
  });
});

describe('signing out of what kubectl uses', () => {
  const task = lesson(2).tasks.find(({ title }) => title === 'sign out');
  const atWork = [instance('sign-in', 'alice'), asked('alice', 'GET', PODS, 200, 'laptop')];

  it.each([
    {
      how: 'with the command',
      event: instance('logout', 'alice', { session: 'laptop', reason: 'sign_out' }),
      so: true,
    },
    {
      how: 'on her page',
      event: instance('logout', 'alice', { session: 'pages', target: 'session:laptop' }),
      so: true,
    },
    {
      how: 'out of the pages alone',
      event: instance('logout', 'alice', { session: 'pages', reason: 'sign_out' }),
      so: false,
    },
    {
      how: 'of another session',
      event: instance('logout', 'alice', { session: 'pages', target: 'session:pages' }),
      so: false,
    },
  ])('is done $how: $so', ({ event, so }) => {
    expect(task?.done(seen(...atWork, event))).toBe(so);
  });
});

describe('the stolen laptop', () => {
  const task = (title: string) => lesson(3).tasks.find((one) => one.title === title);
  const atWork = [instance('sign-in', 'alice'), asked('alice', 'GET', PODS, 200, 'laptop')];
  const revoked = (target: string) => instance('revocation', 'root', { target });

  it.each([
    { target: 'session:laptop', so: true },
    { target: 'account:demo/alice', so: true },
    { target: 'all', so: true },
    { target: 'session:of-root', so: false },
    { target: 'account:demo/bob', so: false },
  ])('is cut off by a revocation of $target: $so', ({ target, so }) => {
    expect(task("root ends alice's sessions")?.done(seen(...atWork, revoked(target)))).toBe(so);
  });

  it('is refused at its renewal too, where its token has run out by then', () => {
    const refused = instance('refresh-refused', 'alice', { reason: 'invalid_grant' });
    const done = (...events: readonly AuditEvent[]) =>
      task("the thief's next request is rejected")?.done(seen(...events));
    expect(done(...atWork, revoked('account:demo/alice'), refused)).toBe(true);
    expect(done(...atWork, refused, revoked('account:demo/alice'))).toBe(false);
  });
});

describe('the case of the incident', () => {
  const root = (method: string, path: string, code = 200) => asked('root', method, path, code);
  const task = (start: string) => lesson(7).tasks.find(({ title }) => title.startsWith(start));
  const SECRETS = '/api/v1/namespaces/payments/secrets';

  it.each([
    { how: 'replaced', events: [root('PUT', `${SECRETS}/ledger-key`)], so: true },
    { how: 'patched', events: [root('PATCH', `${SECRETS}/ledger-key`)], so: true },
    { how: 'made again', events: [root('DELETE', `${SECRETS}/ledger-key`), root('POST', SECRETS, 201)], so: true },
    { how: 'only looked at', events: [root('GET', `${SECRETS}/ledger-key`)], so: false },
    { how: 'left, and another one made', events: [root('POST', SECRETS, 201)], so: false },
    { how: 'left, as the change was refused', events: [root('PUT', `${SECRETS}/ledger-key`, 403)], so: false },
  ])('has the secret $how: $so', ({ events, so }) => {
    expect(task('replace the secret')?.done(seen(...events))).toBe(so);
  });

  it('is open while the cluster lets alice act as the deployer, whatever was taken away', async () => {
    const removed = root('DELETE', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/release-week');
    const rule = task('take away the rule');
    expect(await rule?.done(seen(removed))).toBe(true);
    expect(await rule?.done({ ...seen(removed), may: () => Promise.resolve(true) })).toBe(false);
  });

  it('is not closed by an unlock that was refused', () => {
    const done = (code: number) =>
      task("take alice's lock off")?.done(seen(instance('unlock', 'root', { reason: 'INC-2207 closed', code })));
    expect(done(404)).toBe(false);
    expect(done(200)).toBe(true);
  });
});
