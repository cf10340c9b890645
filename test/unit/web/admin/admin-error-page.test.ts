/** Errors on the admin pages: in their frame, in texts of our own, and not with the advice for users. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { closeStages, openSession, signedInAs } from '../harness.ts';
import { postForm, sendRevocation } from './admin-pages-at.ts';

afterEach(closeStages);

const FRAME = '<a href="/admin/overview"';

describe('an error on an admin page', () => {
  test.each([
    ['/admin/sessions/unknown', 404, 'There is no live session of this id'],
    ['/admin?idle=never', 400, 'idle: a duration is a number'],
    ['/admin?cursor=!', 400, 'cursor: is malformed'],
    ['/admin/revoke?kind=account&value=', 400, 'Account: an account is PROVIDER/SUBJECT'],
    ['/admin/revoke?kind=username&value=', 400, 'Username: is needed'],
    ['/admin/revocations/unknown', 404, 'No revocation of this id'],
  ])('%s has the frame, and says what is wrong', async (path, status, message) => {
    const at = await signedInAs('root');
    const { text } = await at.browser.get(path).expect(status);
    expect(text).toContain(FRAME);
    expect(text).toContain(message);
    expect(text).not.toMatch(/platform team|expected|Invalid input|Too small/);
  });

  test('of a form has the frame as well, with the tab of the form', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const sent = await sendRevocation(at, { kind: 'session', value: 'alice-1', reason: '' }).expect(400);
    expect(sent.text).toContain('Nothing was done: give a reason of at most 500 characters.');
    const drill = await postForm(at, '/admin/drill', { path: '/x', reason: 'x' }).expect(400);
    expect(drill.text).toMatch(/id="path"\s[^>]*aria-describedby="path-error path-hint" aria-invalid="true" autofocus/);
    expect(drill.text).toMatch(/name="path"\s+value="\/x"[^]*name="reason"\s+value="x"/);
    expect(drill.text).toMatch(/href="\/admin\/overview" aria-current="page"/);
    const forged = await postForm(at, '/admin/revoke', { csrf: 'x', requestId: randomUUID() }).expect(403);
    for (const { text } of [sent, drill, forged]) {
      expect(text).toContain(FRAME);
      expect(text).not.toContain('platform team');
    }
  });

  test('that no one expected says where to look, and does not send the platform team to itself', async () => {
    const at = await signedInAs('root');
    at.stage.store.locks.list = () => Promise.reject(new Error('canary'));
    const { text } = await at.browser.get('/admin/locks').expect(500);
    expect(text).toMatch(/Something went wrong on our side\.<[\s\S]*server’s log/);
    expect(text).not.toMatch(/platform team|canary/);
  });

  test('an auditor who sends a change gets the frame, and any other user the page for users', async () => {
    const auditor = await signedInAs('auditor');
    const { text } = await postForm(auditor, '/admin/unlock', { account: 'corp/x', reason: 'x' }).expect(403);
    expect(text).toContain('Auditors may read');
    expect(text).toContain(FRAME);
    const alice = await signedInAs('alice');
    const rejected = await alice.browser.get('/admin/sessions/unknown').expect(403);
    expect(rejected.text).toContain('platform team');
    expect(rejected.text).not.toContain(FRAME);
  });
});
