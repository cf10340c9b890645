/** The admin pages at two replicas on a real Redis: users who signed in, requests that were made, streams that are cut. */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { USERS } from '../../demo/demo.ts';
import { Visitor } from '../../demo/visitor.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { OAuthClient } from '../support/oauth-client.ts';
import type { RunningServer } from '../../src/server/serve.ts';

const PODS = '/api/v1/namespaces/default/pods';

describe('the admin pages of two replicas', () => {
  let instance: TestInstance;
  let other: RunningServer;
  let alice: OAuthClient;

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    const path = `${instance.files.directory}/other-audit.log`;
    other = await instance.replica({
      loaded: (config) => ({ ...config, audit: { ...config.audit, sinks: [{ type: 'file', path }] } }),
    });
    alice = await instance.connect();
  });
  afterAll(() => instance.stop());

  async function signedIn(name: string): Promise<Visitor> {
    const user = USERS.find((one) => one.name === name);
    if (user === undefined) throw new Error(`no user is called ${name}`);
    const visitor = new Visitor(user);
    const signIn = () => visitor.visit(`${instance.urls.web}/login/start?provider=demo&to=me`);
    let page = await signIn();
    // A store that is slow for a moment: the page says to try again.
    for (let left = 4; left > 0 && page.status === 503; left -= 1) page = await signIn();
    expect([page.status, new URL(page.url).pathname]).toEqual([200, '/me']);
    return visitor;
  }

  const at = (visitor: Visitor, path: string) => visitor.visit(instance.urls.web + path);

  async function csrfOf(visitor: Visitor): Promise<string> {
    const { html } = await at(visitor, '/admin');
    return /name="csrf" value="([^"]+)"/.exec(html)?.[1] ?? '';
  }

  const send = (visitor: Visitor, path: string, fields: Record<string, string>) =>
    visitor.visit(instance.urls.web + path, new URLSearchParams(fields));

  it('show an auditor the same pages as an admin, and no page to any other user', async () => {
    const [root, vera, plain] = await Promise.all(['root', 'vera', 'alice'].map(signedIn));
    for (const path of [
      '/admin',
      '/admin/overview',
      '/admin/locks',
      '/admin/replicas',
      '/admin/audit',
      '/admin/health',
      '/admin/drill',
    ]) {
      for (const [visitor, status] of [
        [root, 200],
        [vera, 200],
        [plain, 403],
      ] as const) {
        if (visitor === undefined) throw new Error('a visitor is missing');
        expect((await at(visitor, path)).status, path).toBe(status);
      }
    }
  });

  it('show the latest requests of a session', async () => {
    const { accessToken, session } = await alice.signIn('alice');
    await alice.get(`${PODS}/web-1`, accessToken);
    const root = await signedIn('root');
    await expect
      .poll(async () => (await at(root, `/admin/sessions/${session}`)).html, { timeout: 20_000 })
      .toContain('<strong>web-1</strong>');
    expect((await at(root, '/admin/accounts/demo%2Falice')).html).toContain('<strong>web-1</strong>');
  });

  it('show what a user has open at any replica, cut one of it, end the rest, and still know who that was', async () => {
    const client = await instance.connect({ at: other });
    const { accessToken, session } = await client.signIn('alice');
    const agent = new Agent({ connect: { ca: instance.ca, servername: 'localhost', ...client.key } });
    const open = async (path: string) => {
      const headers = { authorization: `Bearer ${accessToken}` };
      const { body, headers: answered } = await request(`https://localhost:${other.ports.api}${path}`, {
        dispatcher: agent,
        headers,
      });
      const ended = body.text().then(
        () => 'ended',
        () => 'cut',
      );
      return { ended, auditId: String(answered['audit-id']) };
    };
    const [watch, logs] = [await open(`${PODS}?watch=1`), await open(`${PODS}/web-1/log?follow=true`)];
    const root = await signedIn('root');
    const page = async (name: string): Promise<string> => (await at(root, `/admin/accounts/demo%2F${name}`)).html;
    const shown = await page('alice');
    expect(shown).toMatch(/Open now: 2 streams[^]*2 of 2 replicas/);
    for (const name of ['logs', 'watch']) expect(shown).toContain(`<strong>${name}</strong>`);
    expect(await page('bob')).toContain('Open now: 0 streams');
    const { html: listed } = await at(root, '/admin/api/v1/streams?account=demo%2Falice');
    expect(JSON.parse(listed)).toMatchObject({
      // Both may have begun in the same millisecond.
      streams: expect.arrayContaining([
        expect.objectContaining({ resource: 'pods/log', auditId: logs.auditId }),
        expect.objectContaining({ verb: 'watch', auditId: watch.auditId }),
      ]),
      more: 0,
      missing: [],
    });
    const cut = { csrf: await csrfOf(root), account: 'demo/alice', auditId: watch.auditId, reason: 'INC-4712' };
    // Whose it is has to be said as well, so that none is cut by a mistyped id.
    expect((await send(root, '/admin/cut-stream', { ...cut, account: 'demo/bob' })).status).toBe(404);
    expect((await send(root, '/admin/cut-stream', { ...cut, auditId: 'x' })).status).toBe(400);
    expect((await send(root, '/admin/cut-stream', cut)).html).toContain('Open now: 1 stream');
    expect(await watch.ended).toBe('cut');
    expect((await send(root, '/admin/cut-stream', cut)).status).toBe(404);
    // No revocation: the session goes on, with what else is open in it.
    expect((await client.get(PODS, accessToken)).status).toBe(200);
    const end = { ...cut, kind: 'account', value: 'demo/alice', lock: 'on', requestId: randomUUID() };
    expect(shown).toMatch(/It ends\s+<strong>/);
    expect((await send(root, '/admin/revoke', end)).status).toBe(200);
    expect(await logs.ended).toBe('cut');
    // The receipt says what ended: the session, and the stream that went through the other replica.
    const receipt = async (): Promise<string> => (await at(root, `/admin/revocations/${end.requestId}`)).html;
    await expect
      .poll(receipt)
      .toMatch(
        /<bdi>demo\/alice<\/bdi>[^]*was cut off at [^]*in [^]*\d+ ms[^]*2 of 2 replicas[^]*admin\/sessions\/[^]*read the log of pods\/web-1/,
      );
    expect(await receipt()).not.toContain('watched pods');
    expect(await receipt()).toMatch(/The account is locked[^]*action="\/admin\/unlock"/);
    const marked = `href="/admin/revocations/${end.requestId}">receipt</a>`;
    expect((await at(root, '/admin/revocations')).html).toContain(marked);
    expect((await at(root, '/admin/audit?account=demo%2Falice')).html).toContain(marked);
    expect(await page('alice')).toMatch(
      /Locked out[^]*Open now: 0 streams[^]*demo:developers[^]*as of their last request/,
    );
    // What the session did went through the other replica.
    expect((await at(root, `/admin/sessions/${session}`)).html).toMatch(
      /Not live any more[^]*2 of 2 replicas[^]*read the log of pods\/web-1[^]*demo:developers/,
    );
    expect((await at(root, `/admin/sessions/${session.slice(1)}x`)).status).toBe(404);
    // Each look is in its trail, and takes no place of what was done.
    for (let look = 0; look < 60; look += 1)
      expect((await at(root, `/admin/sessions/${session}`)).html).toContain('read the log of pods/web-1');
    expect((await send(root, '/admin/unlock', { ...cut, from: 'person' })).status).toBe(200);
    await client.close();
    await agent.close();
  });

  it('show what a revocation will cut, cut it, and show the receipt of each replica', async () => {
    const { accessToken, session } = await alice.signIn('alice');
    const { key, endpoints } = alice;
    const agent = new Agent({ connect: { ca: endpoints.ca, ...key } });
    const watch = await request(`${instance.urls.api}${PODS}?watch=1`, {
      dispatcher: agent,
      headers: { authorization: `Bearer ${accessToken}` },
    });
    const cut = watch.body.text().then(
      () => 'ended',
      () => 'cut',
    );
    const root = await signedIn('root');
    const asked = await at(root, `/admin/revoke?kind=session&value=${session}`);
    expect(asked.html).toContain('<strong>1 session</strong>');
    expect(asked.html).toContain('<strong>1 request or stream</strong>');
    const fields = {
      csrf: await csrfOf(root),
      kind: 'session',
      value: session,
      reason: 'INC-4711',
      requestId: randomUUID(),
    };
    const twice = await Promise.all([send(root, '/admin/revoke', fields), send(root, '/admin/revoke', fields)]);
    for (const { url } of twice) expect(new URL(url).pathname).toBe(`/admin/revocations/${fields.requestId}`);
    expect(await cut).toBe('cut');
    const receipt = async (): Promise<string> => (await at(root, `/admin/revocations/${fields.requestId}`)).html;
    await expect.poll(receipt).toContain('Complete.');
    const rows = (await receipt()).split('<tbody data-rows>')[1]?.split('</tbody>')[0] ?? '';
    expect(rows.match(/class="state ok">applied</g)).toHaveLength(2);
    await agent.destroy();
  });

  it('ask at the server for what has to be typed, and keep what was typed', async () => {
    const root = await signedIn('root');
    const csrf = await csrfOf(root);
    const before = await instance.server.store.sessions.count();
    const sent = { kind: 'provider', value: 'demo', reason: `"><script>`, requestId: randomUUID() };
    for (const word of ['', 'everyone', `"><script>`]) {
      const { status, html } = await send(root, '/admin/revoke', { ...sent, csrf, word });
      expect(status).toBe(400);
      expect(html).toMatch(/This includes you[^]*name="reason"\s+value="&quot;&gt;&lt;script&gt;"/);
      expect(html).not.toContain('"><script>');
    }
    // Signed in again in another tab: this form is of the session before, and nothing says of whom.
    await root.visit(`${instance.urls.web}/login/start?provider=demo&to=me`);
    const stale = await send(root, '/admin/revoke', { ...sent, csrf, word: 'demo' });
    expect([stale.status, stale.html.includes('Copy what you need')]).toEqual([403, true]);
    expect(await instance.server.store.sessions.count()).toBeGreaterThanOrEqual(before);
  });

  it('show after a revocation what went through the other replica, and say whose files were searched', async () => {
    const { accessToken, session } = await alice.signIn('alice');
    const elsewhere = new OAuthClient({ ...alice.endpoints, api: `https://localhost:${other.ports.api}` }, alice.key);
    await elsewhere.get(`${PODS}/through-the-other`, accessToken);
    const root = await signedIn('root');
    const fields = { csrf: await csrfOf(root), kind: 'session', value: session, reason: 'INC-4712' };
    await send(root, '/admin/revoke', { ...fields, requestId: randomUUID() });
    for (const page of ['/admin/accounts/demo%2Falice', '/admin/audit?user=demo:alice']) {
      const html = async (): Promise<string> => (await at(root, page)).html;
      await expect.poll(html).toContain('through-the-other');
      expect(await html()).toContain('2 of 2 replicas');
    }
    await elsewhere.close();
  });

  it('run a drill, and show its result', async () => {
    const root = await signedIn('root');
    const { html } = await send(root, '/admin/drill', {
      csrf: await csrfOf(root),
      cluster: 'demo',
      path: '/api/v1/namespaces?watch=1',
      reason: 'monthly exercise',
    });
    expect(html).toContain('Drill passed');
    expect(html).toContain('2 replicas have');
    // It has revoked its own session, which is none of the last revocations.
    const revoked = async (path: string): Promise<string> => (await at(root, path)).html;
    await expect.poll(() => revoked('/admin/revocations')).toContain('monthly exercise');
    expect(await revoked('/admin/overview')).not.toContain('monthly exercise');
  });

  it('lock and unlock an account', async () => {
    const root = await signedIn('root');
    const csrf = await csrfOf(root);
    const fields = { csrf, kind: 'account', value: 'demo/bob', lock: 'on', force: 'on', reason: 'INC-1' };
    await send(root, '/admin/revoke', { ...fields, requestId: randomUUID() });
    expect((await at(root, '/admin/locks')).html).toContain('demo/bob');
    const back = await send(root, '/admin/unlock', { csrf, account: 'demo/bob', reason: 'closed', from: 'person' });
    expect(new URL(back.url).pathname).toBe('/admin/accounts/demo%2Fbob');
    expect(back.html).not.toContain('Locked out');
    // The notice is of the revocation that set the lock.
    expect(back.html).toContain('Lift it only if');
    const since = /name="since" value="(\d+)"/.exec(back.html)?.[1] ?? '';
    const ask = { csrf, account: 'demo/bob', reason: 'closed' };
    // Another admin has revoked since the page was opened.
    const late = await send(root, '/admin/lift-fresh-sign-in', { ...ask, since: String(Number(since) - 1) });
    expect(late.html).toContain('was revoked after you opened the page');
    const lifted = await send(root, '/admin/lift-fresh-sign-in', { ...ask, since });
    expect(new URL(lifted.url).pathname).toBe('/admin/accounts/demo%2Fbob');
    expect(lifted.html).not.toContain('Lift it only if');
  });
});
