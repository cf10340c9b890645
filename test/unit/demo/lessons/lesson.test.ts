import { describe, expect, it } from 'vitest';
import { gateEvent, requestEvent, type AuditEvent } from '../../../../src/core/audit-event.ts';
import type { GateEventName } from '../../../../src/core/audit-catalogue.ts';
import { requestInfo } from '../../../../src/core/request-info.ts';
import { happened, type Evidence } from '../../../../src/demo/lessons/lesson.ts';
import { lessonOf } from '../../../../src/demo/lessons/lessons.ts';

const identity = (name: string) => ({ username: `demo:${name}`, uid: `demo/${name}`, groups: [], extra: {} });

const gate = (event: GateEventName, name: string, details: { readonly target?: string } = {}): AuditEvent =>
  gateEvent({
    event,
    auditId: 'a',
    at: 0,
    requestUri: '',
    sourceIps: [],
    code: 200,
    identity: identity(name),
    details,
  });

function asked(name: string, method: string, path: string, code: number): AuditEvent {
  const info = requestInfo(method, path);
  const person = { identity: identity(name), sourceIps: [], receivedAt: 0, at: 0, status: { code } };
  return requestEvent({ auditId: 'a', stage: 'ResponseComplete', requestUri: path, info, ...person });
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

describe('what happened in the record', () => {
  const evidence = seen(gate('sign-in', 'alice'), asked('alice', 'GET', PODS, 200));

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
  it('are seven, and another number is answered with the list of them', () => {
    for (let number = 1; number <= 7; number += 1) expect(lesson(number).number).toBe(number);
    for (const typed of ['8', '0', '', '01', 'x'])
      expect(lessonOf(typed)).toMatch(/ 1 {2}Signing in[^]* 7 {2}An incident/);
  });

  it.each([1, 2, 3, 4, 5, 6, 7])('lesson %i has no task done before anything was done', async (number) => {
    const done = await Promise.all(lesson(number).tasks.map(async (task) => task.done(seen())));
    expect(done).toEqual(done.map(() => false));
  });

  it('do not take what somebody else did for the learner', async () => {
    const others = seen(gate('sign-in', 'bob'), asked('bob', 'GET', PODS, 200));
    const done = await Promise.all(lesson(1).tasks.map(async (task) => task.done(others)));
    expect(done).toEqual([false, false, false, false]);
  });

  it('do not take a revocation of somebody else for that of the stolen laptop', () => {
    const task = lesson(3).tasks.find(({ words }) => words === "root ends alice's sessions");
    const after = (target: string) =>
      task?.done(seen(gate('sign-in', 'alice'), gate('revocation', 'root', { target })));
    expect(after('account:demo/bob')).toBe(false);
    expect(after('account:demo/alice')).toBe(true);
  });

  it('want the cluster itself to say that a right is no wider than asked for', async () => {
    const task = lesson(4).tasks.at(-1);
    const cluster = (...verbs: readonly string[]): Evidence => ({
      ...seen(),
      may: ({ verb, resource }) => Promise.resolve(verbs.includes(`${verb} ${resource}`)),
    });
    expect(await task?.done(cluster('list pods'))).toBe(true);
    expect(await task?.done(cluster('list pods', 'delete pods'))).toBe(false);
    expect(await task?.done(cluster('list pods', 'list secrets'))).toBe(false);
    expect(await task?.done(cluster())).toBe(false);
  });
});
