import { afterEach, describe, expect, test } from 'vitest';
import { termsOf } from '../../src/core/access/role.ts';
import { askedByAlice, BY_ADMINS, withAccess } from '../support/admin-access.ts';
import { alsoAt, API, post, remove } from '../unit/web/admin-at.ts';
import { annotation, closeStages, openSession, signedInAs } from '../unit/web/harness.ts';

afterEach(closeStages);

describe('access requests in the admin API', () => {
  test('an admin decides at the pages or with the command line: this API has the history and the end alone', async () => {
    const at = await signedInAs('root', withAccess({ roles: [BY_ADMINS] }));
    await openSession(at.stage, 'alice-1', 'alice');
    const id = await askedByAlice(at.stage, 'alice-1', { terms: termsOf(BY_ADMINS) });
    await post(at, `access/${id}/approve`, { reason: 'ok' }).expect(404);
    await at.browser.get(`${API}/access/${id}`).expect(405);
    expect((await at.stage.store.access.find(id))?.request.state).toBe('open');
  });

  test('an auditor reads the history, and decides nothing', async () => {
    const at = await signedInAs('root', withAccess());
    await openSession(at.stage, 'alice-1', 'alice');
    await askedByAlice(at.stage, 'alice-1');
    const auditor = await alsoAt(at.stage, 'auditor');
    const { body } = await auditor.browser.get(`${API}/access?state=open`).expect(200);
    expect(body).toMatchObject({ requests: [{ id: 'request-of-alice-1', user: 'corp:alice@example.com', may: [] }] });
    expect(JSON.stringify(body)).not.toContain('knownAs');
    await auditor.browser.get(`${API}/access?role=other`).expect(200, { requests: [] });
    const refused = await remove(auditor, 'access/request-of-alice-1');
    expect([refused.status, annotation(at.stage.events.at(-1), 'reason')]).toEqual([403, 'auditor_may_not_act']);
  });

  test('an admin ends a grant, and the receipt is that of a revocation', async () => {
    const at = await signedInAs('root', withAccess());
    await openSession(at.stage, 'alice-1', 'alice');
    const id = await askedByAlice(at.stage, 'alice-1');
    const stored = await at.stage.store.access.find(id);
    if (stored === undefined) throw new Error('no request');
    await at.stage.store.access.begin(stored, { ...stored.request, state: 'granted' }, 600);
    const { body } = await remove(at, `access/${id}?reason=INC-1%20closed`).expect(200);
    expect(body).toMatchObject({ complete: true, sessions: 0 });
    const last = at.stage.named('access-ended').at(-1);
    expect([annotation(last, 'ending'), annotation(last, 'by'), annotation(last, 'reason')]).toEqual([
      'admin',
      'corp:root@example.com',
      'INC-1 closed',
    ]);
    const receipt = await at.browser.get(`${API}/revocations/${(body as { id: string }).id}`).expect(200);
    expect(receipt.body).toMatchObject({ target: `grant:${id}`, by: 'corp:root@example.com', reason: 'INC-1 closed' });
    expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
  });
});
