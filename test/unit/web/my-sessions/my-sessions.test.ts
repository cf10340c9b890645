import { afterEach, describe, expect, test } from 'vitest';
import { cookiesOf } from '../cookies.ts';
import {
  annotation,
  browserAt,
  closeStages,
  csrfOf,
  locationOf,
  openStage,
  pendingAt,
  PUBLIC_URL,
  sessionsOf,
  signIn,
  type Browser,
  type Stage,
} from '../harness.ts';

afterEach(closeStages);

describe('My sessions', () => {
  const post = (browser: Browser, path: string, csrf: string, origin = PUBLIC_URL) =>
    browser.post(path).type('form').set('Origin', origin).send({ csrf });

  async function kubectlSession(stage: Stage, uid: string, user: string): Promise<string> {
    const browser = pendingAt(stage, uid);
    const started = await browser.get(`/login/${uid}/start?provider=corp`);
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browser.get(`/login/${uid}/finish?code=${user}&state=${state}`).expect(303);
    return stage.authorizations.granted.at(-1)?.id ?? '';
  }

  test('lists my sessions only, and ends the one I choose', async () => {
    const stage = await openStage();
    const mine = await kubectlSession(stage, 'uid1', 'alice');
    const hers = await kubectlSession(stage, 'uid2', 'root');
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const { text } = await browser.get('/me');
    expect(text).toContain(`/me/sessions/${mine}/end`);
    expect(text).not.toContain(hers);
    const csrf = await csrfOf(browser);
    const ended = await post(browser, `/me/sessions/${mine}/end`, csrf).expect(200);
    expect(ended.text).toContain('Complete.');
    expect(await stage.store.sessions.read(mine)).toBeUndefined();
    await post(browser, `/me/sessions/${hers}/end`, csrf).expect(404);
    expect(await stage.store.sessions.read(hers)).toBeDefined();
    expect(annotation(stage.named('logout')[0], 'target')).toBe(`session:${mine}`);
  });

  test('says where the command line comes from, on the page and in the kubeconfig', async () => {
    const installUrl = 'https://intranet.example.com/portcullis';
    const told = async (config: { readonly installUrl?: string }): Promise<string> => {
      const browser = browserAt(await openStage({ config }));
      await signIn(browser, 'alice');
      const file = await browser.get('/me/kubeconfig').buffer().expect(200);
      return `${(await browser.get('/me')).text}${file.text}`;
    };
    const [known, unknown] = [await told({ installUrl }), await told({})];
    expect(known).toContain(`<a href="${installUrl}">Install it</a>`);
    expect(known).toContain(`get it at ${installUrl}`);
    expect(unknown).toContain('Ask #platform-help where to get it (<code>docs/install-cli.md</code>)');
    expect(unknown).toContain('ask your platform team where to get it (docs/install-cli.md)');
  });

  test('rejects a change from another site, and audits it', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    for (const path of ['/logout', '/me/end-others', '/me/sessions/some-id/end']) {
      await post(browser, path, csrf, 'https://evil.example').expect(403);
      const [last] = stage.named('logout-refused').slice(-1);
      expect(last?.requestURI).toBe(path);
      expect(annotation(last, 'reason')).toBe('foreign_origin');
    }
    await post(browser, '/logout', 'wrong').expect(403);
    const [last] = stage.named('logout-refused').slice(-1);
    expect([annotation(last, 'reason'), last?.user.username]).toEqual(['csrf_token', 'corp:alice@example.com']);
    expect(await sessionsOf(stage)).toBe(1);
  });

  test('ends all others and keeps this one', async () => {
    const stage = await openStage();
    for (const uid of ['uid1', 'uid2', 'uid3']) await kubectlSession(stage, uid, 'alice');
    const other = await kubectlSession(stage, 'uid4', 'root');
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const asked = await browser.get('/me/end-others').expect(200);
    expect(asked.text).toContain('Sign out of 3 sessions');
    expect(await sessionsOf(stage)).toBe(5);
    const page = await post(browser, '/me/end-others', await csrfOf(browser)).expect(200);
    expect(page.text).toContain('3 ended');
    await browser.get('/me').expect(200);
    expect(await sessionsOf(stage)).toBe(2);
    expect(await stage.store.sessions.read(other)).toBeDefined();
  });

  test('says so where there are no other sessions', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const { text } = await browser.get('/me/end-others').expect(200);
    expect(text).toContain('There are no other sessions');
    expect(text).not.toContain('action="/me/end-others"');
  });

  test.each([
    ['without a token', undefined, PUBLIC_URL, 403],
    ['with a wrong token', 'AAAAAAAAAAAAAAAAAAAAAA', PUBLIC_URL, 403],
    ['from a foreign origin', 'own', 'https://evil.example', 403],
    ['from a null origin', 'own', 'null', 403],
    ['from the same host over another scheme', 'own', PUBLIC_URL.replace('http:', 'https:'), 403],
    ['from our own page', 'own', PUBLIC_URL, 303],
  ])('answers a sign-out %s', async (_what, token, origin, status) => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const csrf = token === 'own' ? await csrfOf(browser) : token;
    await browser
      .post('/logout')
      .type('form')
      .set('Origin', origin)
      .send(csrf === undefined ? {} : { csrf })
      .expect(status);
    expect(await sessionsOf(stage)).toBe(status === 303 ? 0 : 1);
  });

  test('refuses a change without any Origin', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    await browser.post('/logout').type('form').send({ csrf }).expect(403);
    expect(await sessionsOf(stage)).toBe(1);
  });

  test('rejects the token of one user in the browser of another', async () => {
    const stage = await openStage();
    const [alice, root] = [browserAt(stage), browserAt(stage)];
    await signIn(alice, 'alice');
    await signIn(root, 'root');
    await post(root, '/logout', await csrfOf(alice)).expect(403);
    expect(await sessionsOf(stage)).toBe(2);
  });

  test('signs out permanently: the old cookie is invalid', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const stolen = cookiesOf(browser);
    await post(browser, '/logout', await csrfOf(browser)).expect(303);
    await browserAt(stage).get('/me').set('Cookie', stolen).expect(303).expect('Location', '/login?to=me');
    expect(annotation(stage.named('logout')[0], 'reason')).toBe('signed_out');
  });

  test('is gone at the next request after a revocation of the account', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    await stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-alice' } });
    expect(locationOf(await browser.get('/me'))).toBe('/login?to=me');
    const refused = await post(browser, '/me/end-others', 'any');
    expect(refused.status).toBe(401);
  });

  test('stays signed in while in use, and ends after the idle time', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    for (const hours of [11, 11]) {
      stage.clock.advance(hours * 3600);
      expect((await browser.get('/me')).status).toBe(200);
    }
    const idle = await openStage();
    const left = browserAt(idle);
    await signIn(left, 'alice');
    idle.clock.advance(12 * 3600 + 1);
    expect((await left.get('/me')).status).toBe(303);
  });

  test('ends after its absolute life, however much it is used', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    for (let hour = 0; hour < 23; hour += 1) {
      stage.clock.advance(3600);
      expect((await browser.get('/me')).status).toBe(200);
    }
    stage.clock.advance(3601);
    expect(locationOf(await browser.get('/me'))).toBe('/login?to=me');
  });

  test('takes a new cookie value at each sign-in', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const first = cookiesOf(browser);
    await signIn(browser, 'alice');
    expect(cookiesOf(browser)).not.toBe(first);
  });

  test('gives a kubeconfig for the clusters that allow me, without a credential', async () => {
    const stage = await openStage();
    const [alice, root] = [browserAt(stage), browserAt(stage)];
    await signIn(alice, 'alice');
    await signIn(root, 'root');
    const file = await alice
      .get('/me/kubeconfig')
      .expect(200)
      .expect('Content-Disposition', /attachment/);
    expect(file.text).toContain('server: https://staging.k8s.example.com:6443');
    expect(file.text).not.toContain('prod');
    expect(file.text).not.toContain('token:');
    expect((await root.get('/me/kubeconfig')).text).toContain('server: https://prod.k8s.example.com:6443');
  });
});
