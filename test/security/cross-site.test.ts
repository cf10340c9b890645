/**
 * Foreign pages in the browser of an admin who is signed in can change and read nothing of Portcullis. A sibling host and a console's host
 * are one site with Portcullis, so their requests carry its cookie: `SameSite` has no effect there, so the other checks must reject them.
 */
import { randomUUID } from 'node:crypto';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  crawl,
  embedded,
  fetched,
  framed,
  ledTo,
  ledToInNewWindow,
  openedWindow,
  postFromFrame,
  postFromTop,
  socketed,
  streamed,
  type Seen,
} from './pages-attacks.ts';
import { signedInContext, signInAtProvider } from '../support/pages-browser.ts';
import { changingPaths } from '../support/pages-routes.ts';
import { ATTACKERS, openAccessRequest, openHostileStage, type HostileStage } from './pages-hostile-stage.ts';
import { withAccess } from '../support/admin-access.ts';
import { closeStages, openStage } from '../unit/web/harness.ts';
import { ADMIN_API } from '../../src/core/api/admin-operations.ts';

const API = '/admin/api/v1';
/** These forms prove the caller's identity in the body; the browser's cookie is not used there. */
const FOR_PROGRAMS = /^\/backchannel-logout\//;
const GUESSED = {
  'content-type': 'application/json',
  'x-csrf-token': 'A'.repeat(22),
  'idempotency-key': crypto.randomUUID(),
};

let stage: HostileStage;
let seen: Seen;
let session: string;
/** Of root, at Portcullis, the console and the identity provider. */
let cookies: Awaited<ReturnType<BrowserContext['cookies']>>;
let context: BrowserContext;
let page: Page;

/** Anyone who has an account can see what forms there are; and alice's session is the prize. */
beforeAll(async () => {
  stage = await openHostileStage();
  const alice = await signedInContext(stage.browser, stage.main, 'alice');
  await alice.close();
  session = (await stage.server.store.sessions.list({ limit: 1 })).sessions[0]?.id ?? '';
  await openAccessRequest(stage.server, session, false);
  await openAccessRequest(stage.server, session, true);
  const lock = { reason: 'INC-4711', by: 'demo:root', at: Math.floor(Date.now() / 1000) };
  await stage.server.guard.revoke({ target: { kind: 'account', account: 'demo/bob' }, lock });
  // Twice, so that there are others of root's own to end.
  await stage.context();
  cookies = await (await stage.context()).cookies();
  const looking = await stage.browser.newContext({ bypassCSP: true });
  await looking.addCookies(cookies);
  const first = await looking.newPage();
  await first.goto(`${stage.main}/admin`);
  const found = await crawl(first, ['/admin', '/device', '/step-up']);
  // The forms on a page that is itself the response to a form.
  const answers = [
    { action: '/device/refuse', fields: { ticket: 'A'.repeat(43) } },
    { action: '/step-up/deny', fields: { id: 'A'.repeat(43) } },
    { action: '/admin/unlock', fields: { account: 'demo/bob', reason: 'hostile' } },
    { action: '/admin/cut-stream', fields: { account: 'demo/bob', reason: 'hostile', auditId: randomUUID() } },
    { action: '/admin/lift-fresh-sign-in', fields: { account: 'demo/bob', reason: 'hostile', since: '9999999999' } },
  ];
  seen = { ...found, forms: [...found.forms, ...answers] };
  await looking.close();
});
afterAll(() => stage.close());
beforeEach(async () => {
  context = await stage.browser.newContext();
  await context.addCookies(cookies);
  page = await context.newPage();
});
afterEach(() => context.close());

/** Every call of the admin API, with a body that would be executed. */
function calls(): readonly { readonly method: string; readonly path: string; readonly body: string }[] {
  return Object.values(ADMIN_API.operations).map(({ method, path }) => ({
    method,
    path: API + path.replace('{id}', session).replace('{account}', 'demo%2Falice'),
    body: JSON.stringify({ session, reason: 'hostile', ...(path === '/locks' && { account: 'demo/alice' }) }),
  }));
}

/** The name of a form's path in the router. */
const routeOf = (action: string): string =>
  action.replace(/^\/me\/sessions\/[^/]+/, '/me/sessions/:id').replace(/^\/access\/[^/]+/, '/access/:id');

it('knows every form that Portcullis accepts from a browser', async () => {
  const never = () => Promise.reject(new Error('unused'));
  const devices = { find: never, allow: never, refuse: never };
  const stepUps = {
    find: never,
    findByCode: never,
    finish: never,
    proveOwn: never,
    refuse: never,
    whyNever: () => undefined,
  };
  const access = withAccess();
  const stage = await openStage({
    change: (deps) => ({ ...(access.change?.(deps) ?? deps), devices, stepUps }),
  });
  const taken = changingPaths(stage.web.app).filter((path) => !FOR_PROGRAMS.test(path));
  await closeStages();
  expect([...new Set(seen.forms.map(({ action }) => routeOf(action)))].toSorted()).toEqual(taken.toSorted());
});

describe.each(ATTACKERS)('a page at %s', (attacker) => {
  beforeEach(async () => {
    await page.goto(stage.origins[attacker]);
  });

  it('changes nothing by any form of Portcullis, with and without a token, and each try is audited', async () => {
    const before = await stage.state();
    const known = (await rejections()).length;
    const statuses: number[] = [];
    // Each form in both ways, and once with a guessed token: from the next page the other way has it.
    for (const [index, { action, fields }] of seen.forms.entries()) {
      const { csrf: _secret, ...rest } = fields;
      const guessed = { ...rest, csrf: 'A'.repeat(22) };
      const isFramed = (index + ATTACKERS.indexOf(attacker)) % 2 === 0;
      statuses.push(await postFromFrame(page, stage.main + action, isFramed ? guessed : rest));
      statuses.push(await postFromTop(page, stage.main + action, isFramed ? rest : guessed));
    }
    expect(new Set(statuses)).toEqual(new Set([403]));
    expect(await stage.state()).toBe(before);
    const foreign = (await rejections()).slice(known).filter(({ reason }) => reason === 'foreign_origin');
    expect(new Set(foreign.map(({ path }) => path))).toEqual(new Set(seen.forms.map(({ action }) => action)));
  });

  it('neither reads nor changes anything by the admin API, with any kind of request', async () => {
    const before = await stage.state();
    const known = (await rejections()).length;
    const came: string[] = [];
    for (const { method, path, body } of calls()) {
      const sent = method === 'GET' ? {} : { body };
      const url = stage.main + path;
      const cors = { mode: 'cors', method, ...sent };
      came.push(await fetched(page, url, cors), await fetched(page, url, { ...cors, headers: GUESSED }));
      if (method !== 'DELETE') came.push(await fetched(page, url, { mode: 'no-cors', method, ...sent }));
    }
    expect(new Set(came)).toEqual(new Set(['blocked']));
    expect(await stage.state()).toBe(before);
    // The session cookie is sent within one site, and nothing else is.
    const foreign = (await rejections()).slice(known).filter(({ reason }) => reason === 'foreign_origin');
    const posts = calls().filter(({ method }) => method === 'POST');
    const tried = new Set(attacker === 'another site' ? [] : posts.map(({ path }) => path));
    expect(new Set(foreign.filter(({ who }) => who === 'demo:root').map(({ path }) => path))).toEqual(tried);
  });

  it('reads no page', async () => {
    const modes = ['cors', 'no-cors'] as const;
    const came = seen.pages.flatMap((path) => modes.map((mode) => fetched(page, stage.main + path, { mode })));
    expect(new Set(await Promise.all(came))).toEqual(new Set(['blocked']));
  });

  it('embeds nothing, frames nothing, and holds no window', async () => {
    const urls = ['/me', '/admin', '/assets/portcullis.css', '/assets/icon.svg', `${API}/sessions`].map(
      (path) => stage.main + path,
    );
    for (const url of urls) {
      for (const element of ['img', 'script', 'video', 'link'] as const) {
        expect(await embedded(page, element, url), `${element} of ${url}`).toBe('blocked');
      }
    }
    for (const element of ['iframe', 'object', 'embed'] as const) {
      const where = await framed(page, element, `${stage.main}/admin`);
      expect(
        where.filter((url) => url.startsWith(stage.main)),
        element,
      ).toEqual([]);
    }
    expect(await openedWindow(page, `${stage.main}/admin`)).toEqual({ reaches: false, isReached: false });
  });

  it('reads no stream and opens no socket', async () => {
    for (const path of ['/audit', '/replicas', '/revocations/some-id']) {
      expect(await streamed(page, stage.main + API + path)).toBe('blocked');
    }
    expect(await socketed(page, `${stage.main}${API}/audit`)).toBe('blocked');
  });

  it('leads the browser to no address that changes anything', async () => {
    const before = await stage.state();
    const guessed = [
      '/logout',
      '/admin/revoke?kind=all&reason=x&confirm=yes',
      `/admin/revoke?kind=session&value=${session}&reason=x`,
    ];
    for (const path of [...seen.pages, ...guessed]) {
      if (path.startsWith('/login/')) continue;
      await ledToInNewWindow(page, stage.main + path);
    }
    expect(await stage.state()).toBe(before);
    await page.goto(`${stage.main}/me`);
    expect(await page.textContent('body')).toContain('demo:root');
  });
});

describe('login', () => {
  it('cannot be finished by a link from another user’s sign-in: root stays root', async () => {
    const link = await unfinishedSignIn('vera');
    const before = await stage.state();
    for (const origin of Object.values(stage.origins)) {
      await page.goto(origin);
      await ledTo(page, link);
      expect(await page.textContent('body')).not.toContain('demo:vera');
    }
    await page.goto(`${stage.main}/me`);
    expect(await page.textContent('body')).toContain('demo:root');
    expect(await stage.state()).toBe(before);
    const reasons = (await rejections()).map(({ event }) => event);
    expect(reasons).toContain('sign-in-refused');
  });

  it('cannot be started by a foreign page so that another user is signed in', async () => {
    for (const origin of Object.values(stage.origins)) {
      await page.goto(origin);
      await page.evaluate(`location.assign('${stage.main}/login/start?provider=demo&to=me')`);
      await page.waitForURL(`${stage.issuer}/**`);
      await goOnAtProvider(page);
      await page.waitForURL(`${stage.main}/me`);
      expect(await page.textContent('body')).toContain('demo:root');
    }
  });

  it('redirects to no other site afterwards, whatever the link contains', async () => {
    for (const to of [
      'https://evil.test/',
      '//evil.test/',
      '/\\evil.test/',
      '/admin/../../evil.test',
      'javascript:alert(1)',
    ]) {
      const query = `to=${encodeURIComponent(to)}`;
      for (const path of [`/login?${query}`, `/login/start?provider=demo&${query}`, `/login/fresh?${query}`]) {
        await page.goto(stage.main + path);
        if (page.url().startsWith(stage.issuer)) await goOnAtProvider(page);
        await page.waitForURL((url) => url.origin !== stage.issuer);
        expect(new URL(page.url()).origin, path).toBe(stage.main);
      }
    }
  });
});

it('prevents a sibling host from planting the cookie of Portcullis', async () => {
  const before = (await context.cookies(stage.main)).toSorted((a, b) => a.name.localeCompare(b.name));
  await page.goto(stage.origins['a sibling host']);
  for (const name of before.map((cookie) => cookie.name)) {
    await page.evaluate(`document.cookie = '${name}=${'A'.repeat(43)}; domain=portcullis.test; path=/; secure'`);
  }
  expect((await context.cookies(stage.main)).toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(before);
});

describe('a pod’s page behind the api listener', () => {
  const POD = '/api/v1/namespaces/default/pods/web-1:8080/proxy/';
  const HOSTILE = "<!doctype html><title>Pod</title><script>document.title = 'ran';</script>";

  it('runs no script, and plants no cookie, where a user opens it with the user’s own credential', async () => {
    stage.pods.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/html', 'set-cookie': '__Host-portcullis=planted; Path=/; Secure' });
      res.end(HOSTILE);
    };
    const token = await deviceToken();
    // As `kubectl proxy` does: the credential is added on the way, and the response is forwarded unchanged.
    const answer = await stage.alice.get(POD, token);
    expect(answer).toMatchObject({ status: 200, headers: { 'content-security-policy': 'sandbox' } });
    expect(answer.headers).not.toHaveProperty('set-cookie');
    await page.route('https://pods.portcullis.test/**', (route) =>
      route.fulfill({ headers: answer.headers as Record<string, string>, body: String(answer.body['text']) }),
    );
    await page.goto('https://pods.portcullis.test/');
    expect(await page.title()).toBe('Pod');
  });

  it('cannot be opened by a browser’s cookie, which is never sent there', async () => {
    stage.pods.clear();
    const response = await page.goto(stage.api + POD);
    expect(response?.status()).toBe(401);
    expect(await response?.request().allHeaders()).not.toHaveProperty('cookie');
    expect(stage.pods.requests).toEqual([]);
  });
});

/** The link by which a user's sign-in would be finished, had the user followed it. */
async function unfinishedSignIn(user: string): Promise<string> {
  const theirs = await stage.browser.newContext();
  const link = Promise.withResolvers<string>();
  const first = await theirs.newPage();
  await first.route(`${stage.issuer}/interaction/*`, async (route) => {
    if (route.request().method() === 'GET') return route.continue();
    let location = (await route.fetch({ maxRedirects: 0 })).headers()['location'] ?? '';
    while (location.startsWith(`${stage.issuer}/auth/`)) {
      location = (await theirs.request.get(location, { maxRedirects: 0 })).headers()['location'] ?? '';
    }
    if (location.startsWith(stage.main)) link.resolve(location);
    return route.fulfill(location.startsWith(stage.main) ? { body: '' } : { status: 303, headers: { location } });
  });
  await first.goto(`${stage.main}/login/start?provider=demo&to=me`);
  await signInAtProvider(first, user);
  const found = await link.promise;
  await theirs.close();
  return found;
}

/** A user with a session there is only asked whether to continue, or for the password where a fresh sign-in is required. */
async function goOnAtProvider(at: Page): Promise<void> {
  if (await at.getByLabel('Password').isVisible()) await signInAtProvider(at, 'root');
  else await at.getByRole('button', { name: 'Share and go on' }).click();
}

/** alice signs in a device by its code. @returns an access token that is bound to `stage.alice`'s key */
async function deviceToken(): Promise<string> {
  const { body } = await stage.alice.post('/-/oauth/device', { client_id: 'portcullis-cli' });
  const theirs = await stage.browser.newContext();
  const first = await theirs.newPage();
  await first.goto(`${stage.main}/device`);
  await first.locator('[name=user_code]').fill(String(body['user_code']));
  await first.keyboard.press('Enter');
  await first.locator('a[href^="/device/start"]').click();
  await signInAtProvider(first, 'alice');
  await first.waitForURL(`${stage.main}/**`);
  await theirs.close();
  const grant = {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: String(body['device_code']),
  };
  const answer = await stage.alice.token(grant);
  return String(answer.body['access_token']);
}

interface Rejection {
  readonly event: string | undefined;
  readonly path: string;
  readonly reason: string | undefined;
  readonly who: string | undefined;
}

/** What was turned down so far. */
const rejections = async (): Promise<readonly Rejection[]> =>
  (await stage.recorded())
    .filter(({ responseStatus }) => (responseStatus?.code ?? 0) >= 400)
    .map(({ annotations, requestURI, user }) => ({
      event: annotations['portcullis.dev/event'],
      path: requestURI,
      reason: annotations['portcullis.dev/reason'],
      who: user.username,
    }));
