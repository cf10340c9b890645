/** What was typed into a form that could not be handled: it is on the page that says so, and can be sent again by its own user only. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import { postForm } from '../admin/admin-pages-at.ts';
import { browserAt, closeStages, csrfOf, openSession, signedInAs, signIn, type AdminAt } from '../harness.ts';

afterEach(closeStages);

const HOSTILE = `"><script>alert(1)</script>`;
const SHOWN = '&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;';
const ALICE = 'corp/sub-alice';

const revocation = () => ({ kind: 'account', value: ALICE, reason: HOSTILE, requestId: randomUUID() });

/** Returns the fields of the form that sends it again, with the entities of our escaping undone. */
function fieldsOf(html: string): Record<string, string> {
  const form = /<section class="card" aria-labelledby="kept">[^]*<\/section>/.exec(html)?.[0] ?? '';
  const inputs = form.matchAll(/<input\s[^>]*?name="(\w+)"\s+value="([^"]*)"/g);
  const plain = (text: string): string =>
    text.replaceAll('&quot;', '"').replaceAll('&gt;', '>').replaceAll('&lt;', '<').replaceAll('&amp;', '&');
  return Object.fromEntries([...inputs].map(([, name = '', value = '']) => [name, plain(value)]));
}

const isLive = async ({ stage }: AdminAt, id: string): Promise<boolean> =>
  (await stage.store.sessions.read(id)) !== undefined;

async function withAlice(options: Parameters<typeof signedInAs>[1] = {}): Promise<AdminAt> {
  const at = await signedInAs('root', options);
  await openSession(at.stage, 'alice-1', 'alice');
  return at;
}

/** As a browser sends it: without the token of the test. */
const again = (at: AdminAt, fields: Record<string, string>, path = '/admin/revoke') =>
  postForm(at, path, { csrf: '', ...fields });

async function endOwn({ stage }: AdminAt): Promise<void> {
  const { sessions } = await stage.store.sessions.list({ account: 'corp/sub-root', limit: 1 });
  for (const { id } of sessions) await stage.guard.revoke({ target: { kind: 'session', session: id } });
}

describe('a form whose session is over', () => {
  test('is given back with a ticket, which counts once its user has signed in again in this browser', async () => {
    const at = await withAlice();
    const sent = revocation();
    await endOwn(at);
    const over = await postForm(at, '/admin/revoke', sent).expect(401);
    expect(over.text).toContain('Nothing was revoked.');
    expect(over.text).toContain('href="/login?to=admin" target="_blank"');
    expect(over.text).toContain(SHOWN);
    expect(over.text).not.toContain('<script>');
    const fields = fieldsOf(over.text);
    expect(fields).toMatchObject(sent);
    // Before the sign-in it is given back once more.
    expect(fieldsOf((await again(at, fields).expect(401)).text)).toMatchObject(sent);
    const state = at.stage.corp;
    state.authTime = Math.floor(at.stage.clock.nowMs() / 1000);
    await signIn(at.browser, 'root');
    // Another browser of the same user has no such cookie.
    const other = browserAt(at.stage);
    await signIn(other, 'root');
    await again({ ...at, browser: other }, fields).expect(403);
    expect(await isLive(at, 'alice-1')).toBe(true);
    await again(at, fields).expect(303);
    expect(await isLive(at, 'alice-1')).toBe(false);
  });

  test('is never sent under the name of the next user of the browser, who can read it', async () => {
    const at = await withAlice();
    await endOwn(at);
    const fields = fieldsOf((await postForm(at, '/admin/revoke', revocation()).expect(401)).text);
    await signIn(at.browser, 'ann');
    const { text } = await again(at, fields).expect(403);
    expect(text).toContain('It was not sent under your name');
    expect(text).toContain(SHOWN);
    expect(fieldsOf(text)).toEqual({});
    expect(await isLive(at, 'alice-1')).toBe(true);
  });

  test('is good for an hour, at its own address, and with a ticket that only a server can make', async () => {
    const at = await withAlice();
    await endOwn(at);
    const { ticket = '', ...fields } = fieldsOf((await postForm(at, '/admin/revoke', revocation()).expect(401)).text);
    await signIn(at.browser, 'root');
    const [expires = '', mac = ''] = ticket.split('.');
    for (const forged of ['', mac, `${Number(expires) + 1}.${mac}`, `${expires}.`, `NaN.${mac}`])
      await again(at, { ...fields, ticket: forged }).expect(403);
    await again(at, { account: ALICE, reason: 'r', ticket }, '/admin/unlock').expect(403);
    expect(await isLive(at, 'alice-1')).toBe(true);
    at.stage.clock.advance(3601);
    await signIn(at.browser, 'root');
    await again(at, { ...fields, ticket }).expect(403);
  });

  test('is not echoed to a client that had no session, nor after a sign-out', async () => {
    const at = await withAlice();
    const unknown = { ...at, browser: browserAt(at.stage) };
    expect((await postForm(unknown, '/admin/revoke', revocation()).expect(401)).text).not.toContain(SHOWN);
    await postForm(at, '/logout', {}).expect(303);
    expect((await postForm(at, '/admin/revoke', revocation()).expect(401)).text).not.toContain(SHOWN);
  });
});

test('a form with the CSRF token of another session is not sent, and not offered again', async () => {
  const at = await withAlice();
  const other = browserAt(at.stage);
  await signIn(other, 'root');
  const csrf = await csrfOf(other);
  const { text } = await postForm(at, '/admin/revoke', { ...revocation(), csrf }).expect(403);
  expect(text).toMatch(/Nothing was revoked\.[^]*Copy what you need/);
  expect(fieldsOf(text)).toEqual({});
  expect(await isLive(at, 'alice-1')).toBe(true);
});

test('a form of an admin whose sign-in is too old is kept over the fresh one', async () => {
  const at = await withAlice();
  at.stage.clock.advance(16 * 60 + 1);
  const sent = revocation();
  const { text } = await postForm(at, '/admin/revoke', sent).expect(401);
  expect(text).toMatch(/Nothing was revoked\.[^]*href="\/login\/fresh\?to=[^"]*" target="_blank"/);
  const fields = fieldsOf(text);
  at.stage.corp.authTime = Math.floor(at.stage.clock.nowMs() / 1000);
  await signIn(at.browser, 'root');
  await again(at, fields).expect(303);
  expect(await isLive(at, 'alice-1')).toBe(false);
});

describe('while the store is unavailable', () => {
  const unavailable = () => Promise.reject(new AppError('store_unavailable', 'The store is unavailable.'));

  test('a form says that nothing was done, and is done once when it is sent again', async () => {
    const at = await withAlice();
    const { artefacts } = at.stage.store;
    const find = artefacts.find.bind(artefacts);
    artefacts.find = unavailable;
    const { text } = await postForm(at, '/admin/revoke', revocation()).expect(503);
    expect(text).toContain('Nothing was revoked.');
    artefacts.find = find;
    const fields = fieldsOf(text);
    await again(at, fields).expect(303);
    await again(at, fields).expect(303);
    expect(at.stage.named('revocation')).toHaveLength(1);
  });

  test('a form that was begun says that it is not known whether it was done', async () => {
    const at = await withAlice();
    at.stage.store.locks.remove = unavailable;
    const { text } = await postForm(at, '/admin/unlock', { account: ALICE, reason: HOSTILE }).expect(503);
    expect(text).toContain('It is not known whether anything was changed.');
    expect(fieldsOf(text)).toMatchObject({ account: ALICE, reason: HOSTILE });
  });
});

test('a reason that is missing or too long is marked at its field, and one that no form takes makes no long page', async () => {
  const at = await withAlice();
  for (const reason of [' ', 'x'.repeat(501)]) {
    const { text } = await postForm(at, '/admin/unlock', { account: ALICE, reason }).expect(400);
    expect(text).toMatch(/id="reason"\s[^>]*aria-describedby="reason-error" aria-invalid="true" autofocus/);
    expect(fieldsOf(text)).toMatchObject({ account: ALICE, reason });
  }
  for (const [length, status] of [
    [5000, 400],
    [20_000, 413],
    [100_000, 413],
  ] as const) {
    const { text } = await postForm(at, '/admin/unlock', { account: ALICE, reason: '"'.repeat(length) }).expect(status);
    expect(text.length).toBeLessThan(5000);
  }
  const sent = { ...revocation(), reason: '"'.repeat(5000) };
  expect((await postForm(at, '/admin/revoke', sent).expect(400)).text.length).toBeLessThan(25_000);
});
