import supertest from 'supertest';
import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import { no, ok } from '../../../../src/core/result.ts';
import type { ProviderLogout } from '../../../../src/idp/idp.ts';
import type { LogoutNotice } from '../../../../src/idp/logout-token.ts';
import {
  annotation,
  browserAt,
  closeHouses,
  csrfOf,
  locationOf,
  openHouse,
  openSession,
  sessionsOf,
  signIn,
  TestProvider,
  type House,
} from '../harness.ts';

afterEach(closeHouses);

/** Tokens here are the notice itself; what makes a real one good is the provider room's. */
class LoggingOut extends TestProvider {
  readonly logout: ProviderLogout;
  keysAway = false;
  there: URL | undefined;

  constructor(reach: ProviderLogout['reach']) {
    super('corp');
    this.logout = {
      reach,
      readToken: async (token) => {
        if (this.keysAway) throw new AppError('provider_unavailable', 'away', { reason: 'issuer_keys_unavailable' });
        if (token === 'late') return no({ reason: 'logout_token_issued_at', clockSkew: -600 });
        return token.startsWith('{') ? ok(JSON.parse(token) as LogoutNotice) : no({ reason: 'logout_token_signature' });
      },
      endSession: async ({ idToken, returnTo, state }) => {
        if (this.down) throw new AppError('provider_unavailable', 'away');
        this.there?.searchParams.set('said', JSON.stringify({ idToken, returnTo, state }));
        return this.there;
      },
    };
  }
}

interface Setting {
  readonly house: House;
  readonly corp: LoggingOut;
}

async function houseWith(reach: ProviderLogout['reach'], beside?: House): Promise<Setting> {
  const corp = new LoggingOut(reach);
  return { house: await openHouse({ providers: [corp], ...(beside === undefined ? {} : { beside }) }), corp };
}

const post = (house: House, token: string | LogoutNotice, name = 'corp') =>
  supertest(house.web.app)
    .post(`/backchannel-logout/${name}`)
    .type('form')
    .send({ logout_token: typeof token === 'string' ? token : JSON.stringify(token) });

/** One of alice's sessions, opened in a session at the provider. */
async function openIn(house: House, id: string, providerSid: string): Promise<void> {
  const { store } = house;
  const open = store.sessions.open.bind(store.sessions);
  store.sessions.open = (session, secret) => open({ ...session, providerSid }, secret);
  await openSession(house, id, 'alice');
  store.sessions.open = open;
}

const stands = async ({ store }: House, id: string): Promise<boolean> => (await store.sessions.read(id)) !== undefined;
const reasons = (house: House): readonly (string | undefined)[] =>
  house.named('logout-refused').map((event) => annotation(event, 'reason'));

describe('a logout at the provider', () => {
  test('ends many sessions of one session there, each with a line in the record', async () => {
    const { house } = await houseWith('session');
    for (let index = 0; index < 120; index += 1) await openIn(house, `in-${index}`, 'sid-1');
    await openIn(house, 'elsewhere', 'sid-2');
    await post(house, { tokenId: 't', subject: 'sub-alice', sid: 'sid-1' })
      .expect(200, '')
      .expect('Cache-Control', 'no-store');
    expect(await sessionsOf(house)).toBe(1);
    expect(await stands(house, 'elsewhere')).toBe(true);
    expect(house.named('logout')).toHaveLength(120);
    expect(annotation(house.named('logout')[0], 'account')).toBe('corp/sub-alice');
    expect(annotation(house.named('logout')[0], 'complete')).toBe('true');
  });

  test.each<[string, LogoutNotice]>([
    ['with sub', { tokenId: 't', subject: 'sub-alice', sid: 'sid-1' }],
    ['with sid alone', { tokenId: 't', sid: 'sid-1' }],
  ])('ends all of the account where the setting says so, %s', async (_name, notice) => {
    const { house } = await houseWith('account');
    await openIn(house, 'one', 'sid-1');
    await openIn(house, 'two', 'sid-2');
    await openSession(house, 'roots', 'root');
    await post(house, notice).expect(200);
    expect([await stands(house, 'one'), await stands(house, 'two')]).toEqual([false, false]);
    expect(await stands(house, 'roots')).toBe(true);
    expect(annotation(house.named('logout')[0], 'target')).toBe('account:corp/sub-alice');
  });

  test('ends those of the person’s too that no session there is known of', async () => {
    const { house } = await houseWith('session');
    await openIn(house, 'named', 'sid-2');
    await openSession(house, 'unnamed', 'alice');
    await openSession(house, 'roots', 'root');
    await post(house, { tokenId: 't', subject: 'sub-alice', sid: 'sid-1' }).expect(200);
    expect(await stands(house, 'unnamed')).toBe(false);
    expect([await stands(house, 'named'), await stands(house, 'roots')]).toEqual([true, true]);
  });

  test('of a session that nothing was opened in is well, and on the record', async () => {
    const { house } = await houseWith('session');
    await post(house, { tokenId: 't', sid: 'sid-1' }).expect(200);
    expect(annotation(house.named('logout')[0], 'sessions')).toBe('0');
  });

  test('is not taken where it is off, or by GET, or for a provider that knows nothing of the kind', async () => {
    const { house } = await houseWith('off');
    await openIn(house, 'one', 'sid-1');
    await post(house, { tokenId: 't', sid: 'sid-1' }).expect(404);
    await supertest(house.web.app).get('/backchannel-logout/corp').expect(404);
    await post(await openHouse(), { tokenId: 't', sid: 'sid-1' }).expect(404);
    expect(await stands(house, 'one')).toBe(true);
  });

  test('counts once over all replicas, however many get it at once', async () => {
    const { house: first } = await houseWith('account');
    const { house: second } = await houseWith('account', first);
    const notice = { tokenId: 't', subject: 'sub-alice' };
    const houses = [first, second, first, second, first, second];
    const answers = await Promise.all(houses.map(async (house) => (await post(house, notice)).status));
    expect(answers.toSorted((left, right) => left - right)).toEqual([200, 400, 400, 400, 400, 400]);
    expect([...reasons(first), ...reasons(second)]).toEqual(Array.from({ length: 5 }, () => 'logout_token_replayed'));
    // Another token of the provider is another matter.
    await post(second, { ...notice, tokenId: 'u' }).expect(200);
  });

  test.each([0, 60, 300])(
    'is remembered for as long as it may be used where clocks differ by %d s',
    async (clockSkew) => {
      const house = await openHouse({ providers: [new LoggingOut('account')], config: { clockSkew } });
      const status = async (tokenId: string): Promise<number> =>
        (await post(house, { tokenId, subject: 'sub-alice' })).status;
      expect([await status('one'), await status('two')]).toEqual([200, 200]);
      house.clock.advance(300 + 2 * clockSkew);
      expect(await status('one')).toBe(400);
      house.clock.advance(2);
      expect(await status('two')).toBe(200);
    },
  );

  test('that is refused for its time is counted and logged with the skew, whoever floods the same address', async () => {
    const { house } = await houseWith('session');
    await post(house, 'late').expect(400);
    expect(annotation(house.named('logout-refused')[0], 'clock-skew')).toBe('-600');
    for (let index = 0; index < 120; index += 1) await post(house, 'forged');
    await post(house, 'late').expect(429);
    house.clock.advance(60);
    await post(house, 'late').expect(400);
    expect(house.counted.filter((line) => line === 'corp logout_token_issued_at')).toHaveLength(3);
    expect(house.counted.filter((line) => line === 'corp logout_token_signature')).toHaveLength(120);
    expect(house.logged).toMatchObject([
      { provider: 'corp', times: 1, clockSkewSeconds: -600 },
      { provider: 'corp', times: 2, clockSkewSeconds: -600 },
    ]);
  });

  test('that could not be written says so, is on the record, and may come again', async () => {
    const { house } = await houseWith('session');
    await openIn(house, 'one', 'sid-1');
    await openIn(house, 'two', 'sid-1');
    const append = house.store.log.append.bind(house.store.log);
    house.store.log.append = async () => {
      throw new AppError('store_unavailable', 'away', { reason: 'redis_timeout' });
    };
    const notice = { tokenId: 't', sid: 'sid-1' };
    const answer = await post(house, notice).expect(400).expect('Cache-Control', 'no-store');
    expect(answer.body).toMatchObject({ error: 'temporarily_unavailable' });
    expect(reasons(house)).toEqual(['revocation_not_written']);
    house.store.log.append = append;
    await post(house, notice).expect(200);
    expect(await sessionsOf(house)).toBe(0);
  });

  test.each([
    ['the provider’s keys cannot be read', ({ corp }: Setting) => (corp.keysAway = true), 'issuer_keys_unavailable'],
    ['the record cannot be written', ({ house }: Setting) => (house.audit.blocked = true), 'audit_unavailable'],
  ])('ends nothing while %s, and the token is not used up', async (_name, spoil, reason) => {
    const setting = await houseWith('session');
    await openIn(setting.house, 'one', 'sid-1');
    spoil(setting);
    const notice = { tokenId: 't', sid: 'sid-1' };
    await post(setting.house, notice).expect(400);
    expect(reasons(setting.house)).toEqual([reason]);
    expect(await stands(setting.house, 'one')).toBe(true);
    setting.corp.keysAway = false;
    setting.house.audit.blocked = false;
    await post(setting.house, notice).expect(200);
  });

  test('is carried out whatever else has come from its address: behind an ingress everybody has the same one', async () => {
    const { house } = await houseWith('session');
    await openIn(house, 'one', 'sid-1');
    for (let index = 0; index < 120; index += 1) await post(house, 'rubbish').expect(400);
    const answer = await post(house, 'rubbish').expect(429);
    expect(reasons(house).at(-1)).toBe('too_many_refused');
    await post(house, { tokenId: 't', sid: 'sid-1' }).expect(200);
    expect(await stands(house, 'one')).toBe(false);
    house.clock.advance(Number(answer.headers['retry-after']));
    await post(house, 'rubbish').expect(400);
  });

  test('may come as often as it likes where it is good', async () => {
    const { house } = await houseWith('session');
    for (let index = 0; index < 130; index += 1) await post(house, { tokenId: `t${index}`, sid: 'sid-1' });
    expect(house.named('logout')).toHaveLength(130);
    expect(reasons(house)).toEqual([]);
  });
});

describe('signing out here', () => {
  async function signOut({ house }: Setting) {
    const browser = browserAt(house);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    return browser.post('/logout').set('Origin', 'http://localhost:7444').type('form').send({ csrf });
  }

  test('leads on to the provider’s own place for it, by a page', async () => {
    const setting = await houseWith('session');
    setting.corp.there = new URL('https://idp.example.com/out?a=1');
    const answer = await signOut(setting);
    expect(answer.status).toBe(200);
    expect(answer.headers['refresh']).toMatch(/^0; url=https:\/\/idp\.example\.com\/out\?a=1&/);
    expect(answer.text).toContain('href="https://idp.example.com/out?a=1&amp;');
    expect(setting.corp.there.searchParams.get('said')).toContain(
      '"returnTo":"http://localhost:7444/","state":"signed-out"',
    );
    expect(await sessionsOf(setting.house)).toBe(0);
  });

  test.each([
    ['has no such place', () => undefined],
    ['is away', ({ corp }: Setting) => void (corp.down = true)],
  ])('ends at our front page where the provider %s', async (_name, spoil) => {
    const setting = await houseWith('session');
    const browser = browserAt(setting.house);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    spoil(setting);
    const answer = await browser.post('/logout').set('Origin', 'http://localhost:7444').type('form').send({ csrf });
    expect(answer.status).toBe(303);
    expect(locationOf(answer)).toBe('/?signed-out');
    expect(await sessionsOf(setting.house)).toBe(0);
  });
});
