import { afterEach, describe, expect, test } from 'vitest';
import {
  beginAt,
  browserAt,
  closeStages,
  csrfOf,
  locationOf,
  openStage,
  pendingAt,
  PUBLIC_URL,
  signIn,
} from '../harness.ts';
import { TestProvider } from '../test-provider.ts';

afterEach(closeStages);

/** The names that a page offers, in its order, and the one that it calls the last. */
const offeredBy = ({ text }: { readonly text: string }) => ({
  names: [...text.matchAll(/provider=([a-z-]+)"/g)].map(([, name]) => name),
  last: /provider=([a-z-]+)"(?:(?!<\/a>)[\s\S])*last used/.exec(text)?.[1],
});

describe('the provider that a browser signed in with last', () => {
  test('comes first and is marked as last used, on the next visit', async () => {
    const stage = await openStage();
    const browser = browserAt(stage);
    expect(offeredBy(await browser.get('/login'))).toEqual({ names: ['corp', 'lab'], last: undefined });
    await signIn(browser, 'alice', 'lab');
    expect(offeredBy(await browser.get('/login'))).toEqual({ names: ['lab', 'corp'], last: 'lab' });
  });

  test('is remembered after a sign-in for kubectl too, and not after one that failed', async () => {
    const stage = await openStage();
    const browser = pendingAt(stage, 'uid1');
    const failed = await beginAt(browser, 'corp');
    await browser.get(`/login/finish?code=unknown&state=${failed}`).expect(403);
    expect(offeredBy(await browser.get('/login/uid1')).last).toBeUndefined();
    const started = await browser.get('/login/uid1/start?provider=lab').expect(303);
    const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
    await browser.get(`/login/uid1/finish?code=alice&state=${state}`).expect(303);
    expect(offeredBy(await browser.get('/login/uid1'))).toEqual({ names: ['lab', 'corp'], last: 'lab' });
  });

  test.each(['unknown', 'LAB', 'lab"><b>', '../lab', ''])(
    'is not a configured one and changes nothing: %j',
    async (value) => {
      const stage = await openStage();
      const page = await browserAt(stage).get('/login').set('Cookie', `portcullis-provider=${value}`).expect(200);
      expect(offeredBy(page)).toEqual({ names: ['corp', 'lab'], last: undefined });
    },
  );

  test('is kept for a year where no script and no other host reaches it', async () => {
    const stage = await openStage({ config: { publicUrl: 'https://portcullis.example.com' } });
    const browser = browserAt(stage);
    const started = await browser.get('/login/start?provider=corp').expect(303);
    const cookie = String(started.headers['set-cookie']?.[0]).split(';', 1)[0] ?? '';
    const state = new URL(locationOf(started)).searchParams.get('state');
    const done = await browser.get(`/login/finish?code=alice&state=${state}`).set('Cookie', cookie).expect(303);
    expect(done.headers['set-cookie']?.[1]).toMatch(
      /^__Host-portcullis-provider=corp; Max-Age=31536000; Path=\/; Expires=[^;]+; HttpOnly; Secure; SameSite=Lax$/,
    );
  });
});

describe('where there is one provider', () => {
  const alone = () => openStage({ providers: [new TestProvider('corp')] });

  test('a page that needs a signed-in user redirects to it directly, and back', async () => {
    const stage = await alone();
    const browser = browserAt(stage);
    const wanted = locationOf(await browser.get('/admin').expect(303));
    expect(locationOf(await browser.get(wanted).expect(303))).toBe('/login/start?provider=corp&to=admin');
    const elsewhere = await browser.get('/login?to=//evil.example').expect(303);
    expect(locationOf(elsewhere)).toBe('/login/start?provider=corp&to=me');
  });

  test('a browser whose session was revoked is told so first, and no other browser, nor one that signed out', async () => {
    const stage = await alone();
    const [browser, other] = [browserAt(stage), browserAt(stage)];
    for (const each of [browser, other]) await signIn(each, 'alice');
    const [own] = (await stage.store.sessions.list({ limit: 2 })).sessions.toReversed();
    await stage.guard.revoke({ target: { kind: 'session', session: own?.id ?? '' } });
    const pages = await Promise.all([browser, other].map(async (each) => (await each.get('/login?to=me')).text));
    expect(pages.map((text) => text.includes('Your session here was ended'))).toEqual([true, false]);
    const { text } = await browser.get('/').expect(200);
    expect(text).toContain('Your session here was ended');
    expect(locationOf(await browserAt(stage).get('/login?to=me').expect(303))).toContain('/login/start');
    const csrf = await csrfOf(other);
    await other.post('/logout').set('Origin', PUBLIC_URL).type('form').send({ csrf }).expect(303);
    expect((await other.get('/').expect(200)).text).not.toContain('Your session here was ended');
  });

  test.each(['/', '/?signed-out', '/?state=signed-out', '/login?signed-out'])(
    '%s waits for a click: it must not undo a sign-out',
    async (path) => {
      const stage = await alone();
      expect(offeredBy(await browserAt(stage).get(path).expect(200)).names).toEqual(['corp']);
      expect(stage.corp.begun).toEqual([]);
    },
  );
});

test('each provider has the mark of its type, which screen readers pass over', async () => {
  const stage = await openStage();
  const { text } = await browserAt(stage).get('/login');
  const marks = [...text.matchAll(/<svg[\s\S]*?<\/svg>/g)].map(([mark]) => mark);
  expect(marks).toHaveLength(2);
  expect(marks[0]).not.toBe(marks[1]);
  for (const mark of marks) expect(mark).toContain('aria-hidden="true"');
});
