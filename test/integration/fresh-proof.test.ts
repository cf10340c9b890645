import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { allowLinkIn, fieldIn } from '../support/device-stage.ts';
import type { OAuthClient } from '../support/oauth-client.ts';
import { DESCRIPTION, type Manners } from '../support/sso-provider.ts';
import { startSsoStage, type SsoStage } from '../support/sso-stage.ts';

const ALICE = { kind: 'account', account: 'demo/alice' } as const;
const CONFIRM = '/admin/revoke?kind=account&value=demo%2Fcarol';

let stage: SsoStage;
let device: OAuthClient;
beforeAll(async () => {
  stage = await startSsoStage();
  device = await stage.connect();
});
afterAll(async () => {
  await stage.stop();
});

/** A browser in which a user is signed in at the provider, with a password entered an hour ago. */
async function signedIn(user: string): Promise<Visitor> {
  stage.sso.user = user;
  const visitor = new Visitor({ name: user, password: '' });
  expect(await visitor.visit(`${stage.web}/login/start?provider=demo`)).toMatchObject({ url: `${stage.web}/me` });
  stage.sso.asked.length = 0;
  return visitor;
}

const again = (visitor: Visitor): Promise<Visit> => visitor.visit(`${stage.web}/login/start?provider=demo`);

/** Revokes the session of the user, who returns in the same browser. */
async function afterRevocation(): Promise<Visit> {
  const visitor = await signedIn('alice');
  await stage.server.guard.revoke({ target: ALICE });
  return again(visitor);
}

const afterDeviceCode = (): Promise<Visit> => {
  stage.sso.user = 'alice';
  return deviceAt(new Visitor({ name: 'alice', password: '' }));
};

/** Allows a device at the pages. */
async function deviceAt(visitor: Visitor): Promise<Visit> {
  const { body } = await device.post('/-/oauth/device', { client_id: 'portcullis-cli' });
  const csrf = fieldIn(await visitor.visit(`${stage.web}/device`), 'csrf');
  const form = new URLSearchParams({ csrf, user_code: String(body['user_code']) });
  const page = await visitor.visit(`${stage.web}/device`, form);
  return visitor.visit(`${stage.web}${allowLinkIn(page) ?? ''}`);
}

const hasLogin = (prompt: string): boolean => prompt.split(' ').includes('login');
const ALL = ['consent/31536000', 'login consent/10'];

/** How a provider handles a request for a fresh sign-in, and the expected requests until it proves one. */
const PROVIDERS: readonly (readonly [string, Manners, readonly string[]])[] = [
  ['keeps to the standard', {}, ALL],
  ['rejects max_age=0', { refuses: ({ max_age }) => max_age === '0' }, ALL],
  ['ignores max_age=0', { ignores: ({ max_age }) => (max_age === '0' ? ['max_age', 'prompt'] : []) }, ALL],
  [
    'rejects prompt=login together with another prompt',
    { refuses: ({ prompt }) => hasLogin(prompt) && prompt !== 'login', alwaysSaysWhen: true },
    [...ALL, 'login/'],
  ],
  [
    'rejects a small max_age',
    { refuses: ({ max_age }) => max_age !== '' && Number(max_age) < 60, alwaysSaysWhen: true },
    [...ALL, 'login/'],
  ],
  ['rejects prompt=login', { refuses: ({ prompt }) => hasLogin(prompt) }, [...ALL, 'login/', 'consent/10']],
  ['ignores prompt=login', { ignores: () => ['prompt'] }, ALL],
  [
    'sends auth_time in response to max_age only, and rejects max_age together with prompt=login',
    {
      refuses: ({ prompt, max_age }) => hasLogin(prompt) && max_age !== '',
      ignores: ({ prompt }) => (prompt === 'login' ? ['prompt'] : []),
    },
    [...ALL, 'login/', 'consent/10'],
  ],
  [
    'ignores max_age, and prompt=login together with it',
    { ignores: ({ max_age }) => (max_age === '' ? [] : ['max_age', 'prompt']), alwaysSaysWhen: true },
    [...ALL, 'login/'],
  ],
];

describe.each(PROVIDERS)('a provider that %s', (_name, manners, asked) => {
  beforeAll(async () => {
    await stage.reset();
    stage.sso.manners = manners;
  });

  test('admits a revoked user again once the user has authenticated', async () => {
    expect(await afterRevocation()).toMatchObject({ status: 200, url: `${stage.web}/me` });
    expect(stage.sso.asked).toEqual(asked);
    expect((await stage.events('sign-in')).at(-1)?.annotations).toMatchObject({
      'portcullis.dev/account': ALICE.account,
      'portcullis.dev/fresh': 'true',
    });
  });

  test('proves the fresh sign-in of an admin before a change', async () => {
    const visitor = await signedIn('root');
    expect(await visitor.visit(`${stage.web}${CONFIRM}`)).toMatchObject({ status: 200, url: `${stage.web}${CONFIRM}` });
    expect(stage.sso.asked).toEqual(asked.slice(1));
  });

  test('finishes a device code', async () => {
    expect(await afterDeviceCode()).toMatchObject({ status: 200, url: `${stage.web}/device/done` });
  });
});

const reasonOf = async (): Promise<string | undefined> =>
  (await stage.events('sign-in-refused')).at(-1)?.annotations['portcullis.dev/reason'];

test('an attacker who responds in place of the provider, and strips the parameters of the request, gains nothing and changes nothing for others', async () => {
  await stage.reset();
  stage.sso.manners = { alwaysSaysWhen: true };
  const atProvider = `${stage.sso.issuer}/auth?`;
  const thief = new Visitor({ name: 'alice', password: '' }, { stopAt: atProvider });
  stage.sso.user = 'alice';
  // Signed in there with a password entered an hour ago.
  const first = await thief.visit(`${stage.web}/login/start?provider=demo`);
  expect((await thief.visit(first.url)).url).toBe(`${stage.web}/me`);
  const asked = await deviceAt(thief);
  expect(asked.url).toContain('prompt=login+consent');
  const state = new URL(asked.url).searchParams.get('state') ?? '';
  const forged = new URLSearchParams({ error: 'invalid_request', state, iss: stage.sso.issuer });
  const second = await thief.visit(`${stage.web}/callback/demo?${forged.toString()}`);
  const third = await thief.visit(stripped(second.url));
  expect([second.url, third.url].map((url) => url.startsWith(atProvider))).toEqual([true, true]);
  expect(await thief.visit(stripped(third.url))).toMatchObject({ status: 403 });
  expect(await reasonOf()).toBe('fresh_sign_in_needed');
  const root = await signedIn('root');
  await root.visit(`${stage.web}${CONFIRM}`);
  expect(stage.sso.asked).toEqual(['login consent/10']);
});

function stripped(location: string): string {
  const url = new URL(location);
  url.searchParams.delete('prompt');
  url.searchParams.delete('max_age');
  return url.href;
}

describe('a provider that proves no fresh sign-in', () => {
  const SILENT: readonly (readonly [string, string, Manners, readonly string[]])[] = [
    [
      'and sends the time of the sign-in',
      'fresh_sign_in_needed',
      { ignores: () => ['prompt', 'max_age'], alwaysSaysWhen: true },
      [...ALL, 'login/', 'consent/10'],
    ],
    // The user would have to type the password again at each step.
    ['and never sends auth_time', 'auth_time_missing', { ignores: () => ['prompt', 'max_age'] }, ALL],
    [
      'and rejects the request for one',
      'provider_request_refused',
      { refuses: ({ prompt, max_age }) => hasLogin(prompt) || max_age === '10' },
      [...ALL, 'login/', 'consent/10'],
    ],
  ];
  test.each(SILENT)(
    'keeps a revoked user out until an admin lifts the requirement, %s',
    async (_name, reason, manners, asked) => {
      await stage.reset();
      stage.sso.manners = manners;
      const visitor = await signedIn('alice');
      await stage.server.guard.revoke({ target: ALICE });
      const refused = await again(visitor);
      expect(refused.status).toBe(reason === 'provider_request_refused' ? 502 : 403);
      expect(stage.sso.asked).toEqual(asked);
      expect(await reasonOf()).toBe(reason);
      expect(await stage.server.store.freshSignIns.lift(ALICE.account)).toBe('lifted');
      expect(await again(visitor)).toMatchObject({ status: 200, url: `${stage.web}/me` });
    },
  );

  test('and is configured as such, gets no request for one and admits a revoked user again', async () => {
    await stage.reset('none');
    stage.sso.manners = { refuses: ({ prompt, max_age }) => hasLogin(prompt) || max_age !== '' };
    expect(await afterRevocation()).toMatchObject({ status: 200, url: `${stage.web}/me` });
    expect(stage.sso.asked).toEqual(['consent/']);
    expect(await afterDeviceCode()).toMatchObject({ url: `${stage.web}/device/done` });
    // No user can change anything after such a sign-in: it behaves as type google does.
    const root = await signedIn('root');
    expect((await root.visit(`${stage.web}${CONFIRM}`)).html).toContain('does not say when you signed in');
  });
});

test('a request that the provider rejects is reported as such, to the user and in the audit log, without the text of the provider', async () => {
  await stage.reset();
  stage.sso.manners = { refuses: () => true };
  const page = await again(new Visitor({ name: 'alice', password: '' }));
  expect(page.status).toBe(502);
  expect(page.html).toContain('rejected the request for this sign-in, not your user (invalid_request)');
  expect(page.html).not.toContain(DESCRIPTION);
  expect(await reasonOf()).toBe('provider_request_refused');
});

test('the page of the user shows that the next sign-in asks again, until the user has authenticated', async () => {
  await stage.reset();
  const here = await signedIn('alice');
  await signedIn('alice');
  const [newest] = (await stage.server.store.sessions.list({ account: ALICE.account, limit: 9 })).sessions;
  await stage.server.guard.revoke({ target: { kind: 'session', session: newest?.id ?? '' } });
  expect((await here.visit(`${stage.web}/me`)).html).toContain('Your next sign-in at demo has to be a fresh one');
  const back = await again(here);
  expect(back.url).toBe(`${stage.web}/me`);
  expect(stage.sso.asked.at(-1)).toBe('login consent/10');
  expect(back.html).not.toContain('Your next sign-in at demo has to be a fresh one');
});
