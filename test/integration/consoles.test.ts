/** The sign-in to a console, and the requests that the console receives: real listeners, a real server, a console that behaves like Headlamp. */
import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_AUDIENCE, clusterAudience } from '../../src/core/core.ts';
import { createAuthenticator } from '../../src/proxy/proxy.ts';
import type { RecheckBrowser } from '../../src/web/browser/recheck.ts';
import type { TestBrowser, TestConsole } from '../support/console.ts';
import {
  HEADLAMP,
  MAIN,
  openConsoleStage,
  OTHER,
  OWN_FETCH,
  signInAt,
  type ConsoleStage,
} from '../support/console-stage.ts';
import { annotation, type Stage } from '../unit/web/harness.ts';

let stage: ConsoleStage;
let web: Stage;
let headlamp: TestConsole;
let other: TestConsole;
let alice: TestBrowser;

beforeEach(async () => {
  stage = await openConsoleStage();
  ({ web, headlamp, other } = stage);
  alice = stage.newBrowser();
});
afterEach(() => stage.close());

/** Returns the URL with the code that the main host issues to this browser. */
async function codeFor(browser: TestBrowser): Promise<string> {
  const left = await browser.send(`${HEADLAMP}/`);
  const issued = await browser.send(left.headers.location ?? '');
  return issued.headers.location ?? '';
}

describe('the sign-in to a console', () => {
  it('returns from the sign-in of the main host to the requested page, and is audited', async () => {
    const arrived = await signInAt(alice, 'alice', `${HEADLAMP}/c/main/pods?namespace=default`);
    expect(arrived).toMatchObject({ status: 200, url: `${HEADLAMP}/c/main/pods?namespace=default` });
    expect(headlamp.seen.map(({ url }) => url)).toEqual(['/c/main/pods?namespace=default']);
    const [entered] = web.named('console-entered');
    expect(entered?.user.username).toBe('corp:alice@example.com');
    expect(annotation(entered, 'console')).toBe('headlamp');
    expect(annotation(entered, 'session')).toBe(await stage.soleSession());
    expect(JSON.stringify(web.events)).not.toMatch(/code=/);
  });

  it('asks a signed-in user no second time, and a second visit has no redirect', async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    alice.cookies.delete('headlamp.test');
    const again = await alice.visit(`${HEADLAMP}/one`);
    expect(again.hops.map((hop) => hop.split('?')[0])).toEqual([
      `${HEADLAMP}/one`,
      `${MAIN}/consoles/headlamp/enter`,
      `${HEADLAMP}/.portcullis/enter`,
      `${HEADLAMP}/one`,
    ]);
    expect((await alice.visit(`${HEADLAMP}/two`)).hops).toHaveLength(1);
  });

  it('accepts a code once', async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    alice.cookies.delete('headlamp.test');
    const code = await codeFor(alice);
    const racing = await Promise.all([alice.send(code), alice.send(code), alice.send(code)]);
    expect(racing.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 400, 400]);
    expect(web.named('console-refused')).toHaveLength(2);
  });

  it('redirects a second tab to its page when the first tab has already signed in', async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    alice.cookies.delete('headlamp.test');
    const codes = [await codeFor(alice), await codeFor(alice)];
    for (const code of codes) {
      const { status, headers } = await alice.send(code);
      expect({ status, location: headers.location }).toEqual({ status: 303, location: `${HEADLAMP}/` });
    }
    expect(web.named('console-refused')).toEqual([]);
    expect(web.named('console-entered')).toHaveLength(2);
  });

  it('accepts a code for a minute', async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    alice.cookies.delete('headlamp.test');
    const code = await codeFor(alice);
    web.clock.advance(61);
    expect((await alice.send(code)).status).toBe(400);
  });

  it('rejects a code in another browser, or at another console, and keeps it valid for its owner', async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    alice.cookies.delete('headlamp.test');
    const code = await codeFor(alice);
    const victim = stage.newBrowser();
    await victim.send(`${HEADLAMP}/`);
    expect((await victim.send(code)).status).toBe(400);
    await alice.send(`${OTHER}/`);
    expect((await alice.send(code.replace(HEADLAMP, OTHER))).status).toBe(400);
    expect((await alice.send(code)).status).toBe(303);
  });

  it.each([
    ['two slashes', '//evil.test/'],
    ['a backslash', String.raw`/\evil.test/`],
    ['a path of Portcullis', '/.portcullis/enter?code=x'],
    ['an encoded tab', '/%09/evil.test'],
    ['too long', `/${'x'.repeat(3000)}`],
  ])('returns to the host of the console whatever path was requested: %s', async (_what, path) => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    alice.cookies.delete('headlamp.test');
    const left = await alice.send(`${HEADLAMP}${path}`);
    const code = left.status === 303 ? await alice.send(left.headers.location ?? '') : undefined;
    const back = code === undefined ? left : await alice.send(code.headers.location ?? '');
    expect(back.headers.location ?? `${HEADLAMP}/`).toMatch(/^https:\/\/headlamp\.test\/(?![/\\])/);
  });

  it('rejects a user who may not use the cluster, and audits the rejection', async () => {
    const refused = await signInAt(alice, 'alice', `${OTHER}/`);
    expect(refused.status).toBe(403);
    expect(refused.url).toMatch(/^https:\/\/portcullis\.test\/consoles\/other\/enter/);
    const [event] = web.named('console-refused');
    expect(annotation(event, 'reason')).toBe('cluster_not_allowed');
    expect(event?.user.username).toBe('corp:alice@example.com');
    expect(other.seen).toEqual([]);
  });

  it('is limited to a number of pages a minute, and a rejection beyond that is audited', async () => {
    expect((await signInAt(alice, 'alice', `${HEADLAMP}/`)).status).toBe(200);
    const enter = `${MAIN}/consoles/headlamp/enter?state=${'s'.repeat(43)}`;
    const statuses: number[] = [];
    for (let count = 0; count < 60; count += 1) statuses.push((await alice.send(enter)).status);
    expect(new Set(statuses.slice(0, 59))).toEqual(new Set([303]));
    expect(statuses.at(-1)).toBe(409);
    const [event] = web.named('console-refused');
    expect(annotation(event, 'reason')).toBe('too_many_console_entries');
    expect(event?.user.username).toBe('corp:alice@example.com');
  });

  it('returns 401 to scripts that are not signed in, and the console receives nothing', async () => {
    expect((await alice.send(`${HEADLAMP}/api`, OWN_FETCH)).status).toBe(401);
    const post = await alice.send(`${HEADLAMP}/api`, { ...OWN_FETCH, origin: HEADLAMP }, { method: 'POST' });
    expect(post.status).toBe(401);
    expect(headlamp.seen).toEqual([]);
  });

  it('shows error pages on the host of a console that load nothing else from there', async () => {
    const { status, text, headers } = await alice.send(`${HEADLAMP}/.portcullis/nothing`);
    expect(status).toBe(404);
    const style = /<style>([^]*?)<\/style>/.exec(text)?.[1] ?? '';
    expect(style).toContain('.card');
    const hash = createHash('sha256').update(style).digest('base64');
    expect(headers['content-security-policy']).toContain(`default-src 'none'; style-src 'sha256-${hash}';`);
    expect([...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address)).toEqual([MAIN, MAIN]);
    expect(headlamp.seen).toEqual([]);
  });

  it('does not open another console with the cookie of a console', async () => {
    const root = stage.newBrowser();
    await signInAt(root, 'root', `${HEADLAMP}/`);
    const cookie = root.cookieHeader('headlamp.test');
    expect((await root.send(`${OTHER}/`, { cookie })).status).toBe(303);
    expect((await root.send(`${MAIN}/me`, { cookie: cookie.replace('-console', '') })).headers.location).toMatch(
      /login/,
    );
    const arrived = await root.visit(`${OTHER}/x`);
    expect(arrived).toMatchObject({ status: 200, url: `${OTHER}/x` });
  });

  it('responds only under its own host names', async () => {
    expect((await alice.send('https://unknown.test/')).status).toBe(421);
    expect((await alice.send(`${MAIN}/`, { host: 'headlamp.test.' })).status).toBe(421);
    expect((await alice.send(`${MAIN}/`, { host: 'PORTCULLIS.test:8443' })).status).toBe(200);
    expect((await alice.send(`${MAIN}/consoles/nothing/enter?state=x`)).status).toBe(404);
    expect((await alice.send(`${MAIN}/consoles/headlamp/enter?state=x`)).status).toBe(400);
  });
});

describe('the request that the console receives', () => {
  beforeEach(async () => {
    await signInAt(alice, 'alice', `${HEADLAMP}/`);
    headlamp.seen.length = 0;
  });

  it('has a token of five minutes for its cluster only, which the api listener accepts and nothing else does', async () => {
    await alice.send(`${HEADLAMP}/api`, OWN_FETCH);
    const token = headlamp.seen[0]?.headers.authorization?.replace('Bearer ', '') ?? '';
    const claims = decodeJwt(token);
    expect(claims).toMatchObject({
      iss: MAIN,
      sub: 'corp/sub-alice',
      aud: clusterAudience('staging'),
      client_id: 'console:headlamp',
      sid: await stage.soleSession(),
    });
    expect(claims['cnf']).toBeUndefined();
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(300);
    const { clock, guard, store } = web;
    const common = { guard, sessions: store.sessions, issuer: MAIN, keys: { keys: [stage.jwk] }, clock };
    const authenticate = createAuthenticator({ ...common, unboundClients: new Set(['console:headlamp']) });
    const strict = createAuthenticator({ ...common, unboundClients: new Set(['console:other']) });
    const question = { token, audience: clusterAudience('staging'), thumbprint: undefined };
    expect(await authenticate(question)).toMatchObject({ ok: true, value: { identity: { uid: 'corp/sub-alice' } } });
    expect(await strict(question)).toEqual({ ok: false, reason: 'token_unbound' });
    for (const audience of [clusterAudience('prod'), ADMIN_AUDIENCE]) {
      expect(await authenticate({ ...question, audience })).toEqual({ ok: false, reason: 'wrong_audience' });
    }
    await guard.revoke({ target: { kind: 'session', session: await stage.soleSession() } });
    expect(await authenticate(question)).toMatchObject({ ok: false });
  });

  it('has the same token for all requests of a page, and a new one before half of its lifetime is over', async () => {
    await Promise.all([1, 2, 3].map((n) => alice.send(`${HEADLAMP}/${n}`, OWN_FETCH)));
    expect(stage.mints()).toBe(1);
    web.clock.advance(160);
    // For the store, this replica was gone: its next renewal cuts whatever is open.
    const since = performance.now();
    await expect.poll(() => performance.now() - web.guard.stalenessSeconds * 1000).toBeGreaterThan(since);
    await alice.send(`${HEADLAMP}/4`, OWN_FETCH);
    expect(stage.mints()).toBe(2);
    const tokens = new Set(headlamp.seen.map(({ headers }) => headers.authorization));
    expect(tokens.size).toBe(2);
  });

  it.each([
    ['plainly', {}],
    ['with Expect: 100-continue', { expect: '100-continue' }],
  ])('has the identity that Portcullis sets, when it is sent %s', async (_how, extra) => {
    const cookie = `${alice.cookieHeader('headlamp.test')}; theme=dark; __Host-portcullis=stolen; =portcullis=x`;
    await alice.send(
      `${HEADLAMP}/save`,
      {
        ...OWN_FETCH,
        ...extra,
        origin: HEADLAMP,
        cookie,
        authorization: 'Bearer of-my-own',
        'x-forwarded-for': '198.51.100.1',
        'x-forwarded-user': 'root',
        x_forwarded_user: 'root',
        'x-forwarded-id-token': 'of-my-own',
        x_forwarded_host: 'evil.test',
        forwarded: 'for=198.51.100.1',
        'impersonate-user': 'system:masters',
        'x-remote-user': 'root',
        'x-csrf': 'theirs',
        connection: 'close, x-hop',
        'x-hop': 'one',
      },
      { method: 'POST', body: 'some text' },
    );
    const [seen] = headlamp.seen;
    expect(seen?.body).toBe('some text');
    expect(seen?.headers).toMatchObject({
      host: 'headlamp.test',
      cookie: 'theme=dark',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'headlamp.test',
      'x-forwarded-proto': 'https',
      'x-forwarded-user': 'corp:alice@example.com',
      'x-csrf': 'theirs',
    });
    expect(decodeJwt(seen?.headers.authorization?.slice(7) ?? '')['client_id']).toBe('console:headlamp');
    const names = Object.keys(seen?.headers ?? {});
    expect(names.filter((name) => /impersonate|remote|forwarded|hop|expect/.test(name)).toSorted()).toEqual([
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-id-token',
      'x-forwarded-proto',
      'x-forwarded-user',
    ]);
    const all = JSON.stringify(headlamp.seen);
    for (const value of alice.cookies.get('headlamp.test')?.values() ?? []) expect(all).not.toContain(value);
    expect(all).not.toContain('canary');
  });

  it('is sent over TLS to a console that proves its host name, and to no other', async () => {
    const root = stage.newBrowser();
    expect((await signInAt(root, 'root', `${OTHER}/`)).status).toBe(200);
    expect(other.seen).toHaveLength(1);
    for (const host of ['unsigned.test', 'misnamed.test']) {
      const arrived = await root.visit(`https://${host}/`);
      expect(arrived.status).toBe(502);
      expect(arrived.text).toContain('cannot be reached');
    }
    expect(other.seen).toHaveLength(1);
  });
});

describe('the re-check at the provider', () => {
  let checks: ConsoleStage;
  let browser: TestBrowser;
  let answer: RecheckBrowser;

  beforeEach(async () => {
    answer = async (record) => ({ record, isOverdue: false });
    checks = await openConsoleStage((record) => answer(record));
    browser = checks.newBrowser();
    await signInAt(browser, 'root', `${OTHER}/`);
    // It has a token of the console from here on.
    await browser.send(`${OTHER}/api`, OWN_FETCH);
    checks.other.seen.length = 0;
  });
  afterEach(() => checks.close());

  it.each<[string, RecheckBrowser, number]>([
    ['is rejected there is out, although their token lives on', async () => undefined, 401],
    [
      'has left the group of the cluster is out',
      async (record) => ({ record: { ...record, identity: { ...record.identity, groups: [] } }, isOverdue: false }),
      403,
    ],
    ['could not be asked about for too long has to wait', async (record) => ({ record, isOverdue: true }), 502],
  ])('a user who %s', async (_who, changed, status) => {
    answer = changed;
    expect((await browser.send(`${OTHER}/api`, OWN_FETCH)).status).toBe(status);
    expect(checks.other.seen).toEqual([]);
  });

  it('leaves the pages alone where the provider cannot be asked', async () => {
    answer = async (record) => ({ record, isOverdue: true });
    expect((await browser.send(`${MAIN}/me`)).status).toBe(200);
    answer = async () => undefined;
    expect((await browser.send(`${MAIN}/me`)).headers.location).toMatch(/login/);
  });
});
