import { afterEach, describe, expect, test } from 'vitest';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import { post } from './admin-at.ts';
import { closeStages, openSession, signedInAs, type AdminAt } from './harness.ts';

afterEach(closeStages);

describe('a revocation is in the audit log before it is in force', () => {
  test.each<[string, (at: AdminAt) => PromiseLike<unknown>, object]>([
    [
      'of an admin, with who asked for which lock',
      (at) => post(at, 'locks', { account: 'corp/sub-alice', reason: 'INC-1', force: true }),
      { target: 'account:corp/sub-alice', lock: 'true', reason: 'INC-1' },
    ],
    [
      'of a user who signs out',
      (at) => at.browser.post('/logout').type('form').set('Origin', 'http://localhost:7444').send({ csrf: at.csrf }),
      { target: expect.stringMatching(/^session:/), reason: 'signed_out' },
    ],
    [
      'of a user who ends a session of theirs',
      async (at) => {
        await openSession(at.stage, 'laptop', 'root');
        const form = at.browser.post('/me/sessions/laptop/end').type('form').set('Origin', 'http://localhost:7444');
        await form.send({ csrf: at.csrf }).expect(200);
      },
      { target: 'session:laptop', reason: 'ended_by_owner' },
    ],
  ])('%s: a process that dies while it waits for the proof leaves an event', async (_who, ask, facts) => {
    const at = await signedInAs('root');
    const before: (AuditEvent | undefined)[] = [];
    const append = at.stage.store.log.append.bind(at.stage.store.log);
    at.stage.store.log.append = async (request) => {
      before.push(at.stage.events.at(-1));
      return append(request);
    };
    await ask(at);
    const [begun] = before;
    expect(before).toHaveLength(1);
    expect(begun).toMatchObject({ stage: 'RequestReceived', user: { username: 'corp:root@example.com' } });
    const own = Object.entries({ event: 'revocation-begun', ...facts });
    expect(begun?.annotations).toMatchObject(
      Object.fromEntries(own.map(([key, value]) => [`portcullis.dev/${key}`, value])),
    );
    // What comes of it has the same id, so that `audit query` shows that one alone; nothing is counted twice.
    const outcomes = ['revocation', 'logout'].flatMap((name) => at.stage.named(name));
    expect(outcomes.map(({ auditID }) => auditID)).toEqual([begun?.auditID]);
  });
});
