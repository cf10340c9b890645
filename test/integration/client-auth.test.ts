/** The client's secret at providers that accept one method and list another, at a sign-in and at a refresh. */
import { describe, expect, it } from 'vitest';
import { REJECTIONS, type ClientSwitches } from '../support/client-switches.ts';
import {
  SECRET_SETTINGS,
  signInAndRefresh,
  startClientAuthStage,
  type ClientAuthStage,
} from '../support/client-auth-stage.ts';
import { rejection, signIn } from '../support/vendors.ts';

const BOTH = ['client_secret_basic', 'client_secret_post'] as const;
const BASIC = ['client_secret_basic'] as const;
/** A secret as password generators make them. */
const PLAIN = 's3cret-of_the.proxy*';
/** A secret that a form has to encode. */
const ENCODED = 'a~b+c/d=e%2Df:g h';

interface Case {
  readonly lists: readonly ('client_secret_basic' | 'client_secret_post')[];
  readonly secret: string;
  readonly switches?: ClientSwitches;
  readonly clientAuth?: string;
}

const start = ({ lists, secret, switches = {}, clientAuth }: Case): Promise<ClientAuthStage> =>
  startClientAuthStage({
    client: { lists, secret },
    switches,
    settings: { ...SECRET_SETTINGS, ...(clientAuth === undefined ? {} : { clientAuth }) },
    files: { 'client-secret': `${secret}\n` },
  });

/** Returns the client authentication method of each request to the token endpoint. */
const methods = ({ idp }: ClientAuthStage): readonly string[] =>
  idp.tokenRequests.map(({ authorization, form }) =>
    [authorization === undefined ? [] : ['basic'], form.has('client_secret') ? ['post'] : []].flat().join('+'),
  );

describe('a user is signed in and refreshed when the provider', () => {
  const rows: readonly [string, Case, readonly string[]][] = [
    ['decodes Basic, and the secret needs it', { lists: BOTH, secret: ENCODED }, ['basic', 'basic']],
    ['lists Basic alone and decodes it', { lists: BASIC, secret: ENCODED }, ['basic', 'basic']],
    ['lists the form alone', { lists: ['client_secret_post'], secret: ENCODED }, ['post', 'post']],
    [
      'compares Basic without decoding it: - _ . and * stay as they are',
      { lists: BASIC, secret: PLAIN, switches: { rawBasic: true } },
      ['basic', 'basic'],
    ],
    [
      'compares Basic without decoding it, and the secret has other characters than those',
      { lists: BOTH, secret: ENCODED, switches: { rawBasic: true } },
      ['basic', 'post', 'post'],
    ],
    ...Object.entries(REJECTIONS).map(([name, refusesBasic]): [string, Case, readonly string[]] => [
      `rejects Basic by ${name}, and lists the form`,
      { lists: BOTH, secret: PLAIN, switches: { refusesBasic } },
      ['basic', 'post', 'post'],
    ]),
    [
      'accepts the form, which is configured',
      {
        lists: BOTH,
        secret: ENCODED,
        switches: { refusesBasic: REJECTIONS['401 with a challenge'] },
        clientAuth: 'post',
      },
      ['post', 'post'],
    ],
    [
      'accepts Basic, which is configured',
      {
        lists: BOTH,
        secret: ENCODED,
        switches: { refusesPost: REJECTIONS['401 without a challenge'] },
        clientAuth: 'basic',
      },
      ['basic', 'basic'],
    ],
  ];
  it.each(rows)('%s', async (_name, setting, expected) => {
    const stage = await start(setting);
    expect(await signInAndRefresh(stage)).toMatchObject({ identity: { username: 'corp:alice' } });
    expect(methods(stage)).toEqual(expected);
  });
});

describe('a secret that is rejected with both methods', () => {
  it.each(Object.entries(REJECTIONS))(
    'is reported as an error of the client, and no user is rejected: %s',
    async (_name, each) => {
      const stage = await start({ lists: BOTH, secret: PLAIN });
      const user = await signIn(stage.idp, stage.provider);
      stage.idp.tokenRequests.length = 0;
      stage.idp.client = { refusesBasic: each, refusesPost: each };
      const unknown = { code: 'provider_unavailable', reason: 'provider_client_refused' };
      const refused = await rejection(signIn(stage.idp, stage.provider));
      expect(refused).toMatchObject(unknown);
      const tries = `(client_secret_basic: ${each.status}, client_secret_post: ${each.status})`;
      expect((refused.cause as Error).message).toContain(tries);
      expect(await rejection(stage.provider.recheck(user.subject, user.refreshToken ?? ''))).toMatchObject(unknown);
      // Each code and each refresh token is sent twice, and never a third time.
      expect(methods(stage)).toEqual(['basic', 'post', 'basic', 'post']);
      // Nothing is lost: the same refresh token is valid for the next refresh.
      stage.idp.client = {};
      await expect(stage.provider.recheck(user.subject, user.refreshToken ?? '')).resolves.toBeDefined();
    },
  );
});

describe('the method that worked', () => {
  it('is logged once, and used for as long as it works', async () => {
    const stage = await start({
      lists: BOTH,
      secret: PLAIN,
      switches: { refusesBasic: REJECTIONS['401 with a challenge'] },
    });
    await signInAndRefresh(stage);
    await signInAndRefresh(stage);
    expect(methods(stage)).toEqual(['basic', 'post', 'post', 'post', 'post']);
    stage.idp.client = { refusesPost: REJECTIONS['400 without a challenge'] };
    await signInAndRefresh(stage);
    expect(methods(stage).slice(5)).toEqual(['post', 'basic', 'basic']);
    stage.idp.client = { refusesBasic: REJECTIONS['400 without a challenge'] };
    await signInAndRefresh(stage);
    expect(methods(stage).slice(8)).toEqual(['basic', 'post', 'post']);
    expect(stage.log.filter(({ msg }) => String(msg).includes('client_secret_post'))).toMatchObject([
      { provider: 'corp' },
    ]);
  });

  it('is tried first after its first response was lost', async () => {
    const stage = await start({ lists: BOTH, secret: PLAIN });
    const user = await signIn(stage.idp, stage.provider);
    stage.idp.tokenRequests.length = 0;
    stage.idp.client = { refusesBasic: REJECTIONS['401 with a challenge'] };
    stage.idp.losing = 1;
    await expect(stage.provider.recheck(user.subject, user.refreshToken ?? '')).resolves.toBeDefined();
    expect(methods(stage)).toEqual(['basic', 'post', 'post']);
  });
});

describe('no other method is tried', () => {
  const refused = REJECTIONS['401 with a challenge'];
  const rows: readonly [string, Case, readonly string[]][] = [
    ['where the form is not listed', { lists: BASIC, secret: PLAIN, switches: { refusesBasic: refused } }, ['basic']],
    [
      'where Basic is configured',
      { lists: BOTH, secret: PLAIN, switches: { refusesBasic: refused }, clientAuth: 'basic' },
      ['basic'],
    ],
    [
      'where the form is configured',
      { lists: BOTH, secret: PLAIN, switches: { refusesPost: refused }, clientAuth: 'post' },
      ['post'],
    ],
    [
      'where the provider is temporarily unavailable',
      { lists: BOTH, secret: PLAIN, switches: { refusesBasic: { status: 400, error: 'temporarily_unavailable' } } },
      ['basic'],
    ],
    [
      'where the client is not authorized for this grant',
      { lists: BOTH, secret: PLAIN, switches: { refusesBasic: { status: 400, error: 'unauthorized_client' } } },
      ['basic'],
    ],
    [
      'where the code is invalid',
      { lists: BOTH, secret: PLAIN, switches: { refusesBasic: { status: 401, error: 'invalid_grant' } } },
      ['basic'],
    ],
  ];
  it.each(rows)('%s', async (_name, setting, expected) => {
    const stage = await start(setting);
    await rejection(signIn(stage.idp, stage.provider));
    expect(methods(stage)).toEqual(expected);
  });
});

it('the secret is sent to the token endpoint, and to no other endpoint', async () => {
  const stage = await start({ lists: BOTH, secret: PLAIN });
  await signInAndRefresh(stage);
  expect(stage.idp.asked).toEqual(expect.arrayContaining(['/jwks', '/me', '/.well-known/openid-configuration']));
  expect(stage.idp.basicAt).toEqual(['/token', '/token']);
});
