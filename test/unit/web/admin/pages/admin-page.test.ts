import { afterEach, describe, expect, test } from 'vitest';
import { annotation, browserAt, closeHouses, openSession, PUBLIC_URL, signedInAs, signIn } from '../../harness.ts';

afterEach(closeHouses);

describe('the admin page', () => {
  test('shows sessions to admins and auditors; only admins see how to revoke', async () => {
    const at = await signedInAs('root');
    await openSession(at.house, 'alice-1', 'alice');
    expect((await at.browser.get('/admin').expect(200)).text).toContain('/admin/revoke?kind=session&amp;value=alice-1');
    const auditor = browserAt(at.house);
    await signIn(auditor, 'auditor');
    const page = await auditor.get('/admin').expect(200);
    expect(page.text).toContain('corp:alice@example.com');
    expect(page.text).not.toContain('/admin/revoke');
    await auditor.get('/admin/revoke?kind=all').expect(403);
  });

  test('is refused to everybody else, on the record', async () => {
    const at = await signedInAs('alice');
    const page = await at.browser.get('/admin').expect(403);
    expect(page.text).not.toContain('corp/sub-');
    expect(annotation(at.house.named('admin-refused')[0], 'reason')).toBe('no_role');
  });

  test('revokes with a reason and shows the receipt', async () => {
    const at = await signedInAs('root');
    await openSession(at.house, 'alice-1', 'alice');
    const ask = await at.browser.get('/admin/revoke?kind=session&value=alice-1').expect(200);
    expect(ask.text).toContain('Revoke now');
    const form = { csrf: at.csrf, kind: 'session', value: 'alice-1', reason: 'INC-4711' };
    const send = (origin: string, change: object) =>
      at.browser
        .post('/admin/revoke')
        .type('form')
        .set('Origin', origin)
        .send({ ...form, ...change });
    await send(PUBLIC_URL, { csrf: '' }).expect(403);
    await send('https://evil.example', {}).expect(403);
    await send(PUBLIC_URL, { reason: ' ' }).expect(400);
    expect(await at.house.store.sessions.read('alice-1')).toBeDefined();
    expect(at.house.named('admin-refused').map((event) => annotation(event, 'reason'))).toEqual([
      'csrf_token',
      'foreign_origin',
    ]);
    const done = await send(PUBLIC_URL, {}).expect(200);
    expect(done.text).toContain('Complete.');
    expect(done.text).toContain('portcullis-0');
    expect(await at.house.store.sessions.read('alice-1')).toBeUndefined();
  });

  test('escapes whatever a client may have sent', async () => {
    const at = await signedInAs('root');
    const hostile = browserAt(at.house).set('User-Agent', '<script>alert(1)</script>');
    await signIn(hostile, 'brief');
    const { text } = await at.browser.get('/admin');
    expect(text).not.toContain('<script>');
    expect(text).toContain('&lt;script&gt;');
  });
});
