import supertest from 'supertest';
import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import { no, ok } from '../../../../src/core/result.ts';
import type { ProviderLogout } from '../../../../src/idp/idp.ts';
import type { LogoutNotice } from '../../../../src/idp/logout-token.ts';
import { openDelegated } from '../delegated.ts';
import {
  annotation,
  browserAt,
  closeStages,
  csrfOf,
  locationOf,
  openStage,
  openSession,
  sessionsOf,
  signIn,
  type Stage,
} from '../harness.ts';
import { TestProvider } from '../test-provider.ts';

afterEach(closeStages);

/** A token here is the notice itself; the `idp` module verifies real ones. */
class LoggingOut extends TestProvider {
  readonly logout: ProviderLogout;
  keysAway = false;
  there: URL | undefined;

  constructor(reach: ProviderLogout['reach']) {
    super('corp');
    this.logout = {
      reach,
      readToken: async (token) => {
        if (this.keysAway)
          throw new AppError('provider_unavailable', 'unavailable', { reason: 'issuer_keys_unavailable' });
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
  readonly stage: Stage;
  readonly corp: LoggingOut;
}

async function stageWith(reach: ProviderLogout['reach'], beside?: Stage): Promise<Setting> {
  const corp = new LoggingOut(reach);
  return { stage: await openStage({ providers: [corp], ...(beside === undefined ? {} : { beside }) }), corp };
}

const post = (stage: Stage, token: string | LogoutNotice, name = 'corp') =>
  supertest(stage.web.app)
    .post(`/backchannel-logout/${name}`)
    .type('form')
    .send({ logout_token: typeof token === 'string' ? token : JSON.stringify(token) });

/** One of alice's sessions, opened in a session at the provider. */
async function openIn(stage: Stage, id: string, providerSid: string): Promise<void> {
  const { store } = stage;
  const open = store.sessions.open.bind(store.sessions);
  store.sessions.open = (session, secret) => open({ ...session, providerSid }, secret);
  await openSession(stage, id, 'alice');
  store.sessions.open = open;
}

const stands = async ({ store }: Stage, id: string): Promise<boolean> => (await store.sessions.read(id)) !== undefined;
const reasons = (stage: Stage): readonly (string | undefined)[] =>
  stage.named('logout-refused').map((event) => annotation(event, 'reason'));

describe('a logout at the provider', () => {
  test('ends many sessions of one session there, each with an audit event', async () => {
    const { stage } = await stageWith('session');
    for (let index = 0; index < 120; index += 1) await openIn(stage, `in-${index}`, 'sid-1');
    await openIn(stage, 'elsewhere', 'sid-2');
    await post(stage, { tokenId: 't', subject: 'sub-alice', sid: 'sid-1' })
      .expect(200, '')
      .expect('Cache-Control', 'no-store');
    expect(await sessionsOf(stage)).toBe(1);
    expect(await stands(stage, 'elsewhere')).toBe(true);
    expect(stage.named('logout')).toHaveLength(120);
    expect(annotation(stage.named('logout')[0], 'account')).toBe('corp/sub-alice');
    expect(annotation(stage.named('logout')[0], 'complete')).toBe('true');
  });

  test.each<[string, LogoutNotice]>([
    ['with sub', { tokenId: 't', subject: 'sub-alice', sid: 'sid-1' }],
    ['with sid alone', { tokenId: 't', sid: 'sid-1' }],
  ])('ends all of the account where the setting says so, %s', async (_name, notice) => {
    const { stage } = await stageWith('account');
    await openIn(stage, 'one', 'sid-1');
    await openIn(stage, 'two', 'sid-2');
    await openSession(stage, 'roots', 'root');
    await post(stage, notice).expect(200);
    expect([await stands(stage, 'one'), await stands(stage, 'two')]).toEqual([false, false]);
    expect(await stands(stage, 'roots')).toBe(true);
    expect(annotation(stage.named('logout')[0], 'target')).toBe('account:corp/sub-alice');
  });

  test('ends also those of the user whose session there is unknown', async () => {
    const { stage } = await stageWith('session');
    await openIn(stage, 'named', 'sid-2');
    await openSession(stage, 'unnamed', 'alice');
    await openSession(stage, 'roots', 'root');
    await openDelegated(stage, 'beneath-named', 'named');
    await openDelegated(stage, 'beneath-unnamed', 'unnamed');
    await post(stage, { tokenId: 't', subject: 'sub-alice', sid: 'sid-1' }).expect(200);
    expect([await stands(stage, 'unnamed'), await stands(stage, 'beneath-unnamed')]).toEqual([false, false]);
    const others = ['named', 'beneath-named', 'roots'].map((id) => stands(stage, id));
    expect(await Promise.all(others)).toEqual([true, true, true]);
  });

  test('of a session without sessions here is accepted, and audited', async () => {
    const { stage } = await stageWith('session');
    await post(stage, { tokenId: 't', sid: 'sid-1' }).expect(200);
    expect(annotation(stage.named('logout')[0], 'sessions')).toBe('0');
  });

  test('is not taken where it is off, or by GET, or for a provider that knows nothing of the kind', async () => {
    const { stage } = await stageWith('off');
    await openIn(stage, 'one', 'sid-1');
    await post(stage, { tokenId: 't', sid: 'sid-1' }).expect(404);
    await supertest(stage.web.app).get('/backchannel-logout/corp').expect(404);
    await post(await openStage(), { tokenId: 't', sid: 'sid-1' }).expect(404);
    expect(await stands(stage, 'one')).toBe(true);
  });

  test('counts once over all replicas, however many get it at once', async () => {
    const { stage: first } = await stageWith('account');
    const { stage: second } = await stageWith('account', first);
    const notice = { tokenId: 't', subject: 'sub-alice' };
    const stages = [first, second, first, second, first, second];
    const answers = await Promise.all(stages.map(async (stage) => (await post(stage, notice)).status));
    expect(answers.toSorted((left, right) => left - right)).toEqual([200, 400, 400, 400, 400, 400]);
    expect([...reasons(first), ...reasons(second)]).toEqual(Array.from({ length: 5 }, () => 'logout_token_replayed'));
    // Another token of the provider is another matter.
    await post(second, { ...notice, tokenId: 'u' }).expect(200);
  });

  test.each([0, 60, 300])(
    'is remembered for as long as it may be used where clocks differ by %d s',
    async (clockSkew) => {
      const stage = await openStage({ providers: [new LoggingOut('account')], config: { clockSkew } });
      const status = async (tokenId: string): Promise<number> =>
        (await post(stage, { tokenId, subject: 'sub-alice' })).status;
      expect([await status('one'), await status('two')]).toEqual([200, 200]);
      stage.clock.advance(300 + 2 * clockSkew);
      expect(await status('one')).toBe(400);
      stage.clock.advance(2);
      expect(await status('two')).toBe(200);
    },
  );

  test('that is rejected for its time is counted and logged with the skew, also in a flood from its address', async () => {
    const { stage } = await stageWith('session');
    await post(stage, 'late').expect(400);
    expect(annotation(stage.named('logout-refused')[0], 'clock-skew')).toBe('-600');
    for (let index = 0; index < 120; index += 1) await post(stage, 'forged');
    await post(stage, 'late').expect(429);
    stage.clock.advance(60);
    await post(stage, 'late').expect(400);
    expect(stage.counted.filter((line) => line === 'corp logout_token_issued_at')).toHaveLength(3);
    expect(stage.counted.filter((line) => line === 'corp logout_token_signature')).toHaveLength(120);
    expect(stage.logged).toMatchObject([
      { provider: 'corp', times: 1, clockSkewSeconds: -600 },
      { provider: 'corp', times: 2, clockSkewSeconds: -600 },
    ]);
  });

  test('that could not be written is reported and audited, and may be sent again', async () => {
    const { stage } = await stageWith('session');
    await openIn(stage, 'one', 'sid-1');
    await openIn(stage, 'two', 'sid-1');
    const append = stage.store.log.append.bind(stage.store.log);
    stage.store.log.append = async () => {
      throw new AppError('store_unavailable', 'unavailable', { reason: 'redis_timeout' });
    };
    const notice = { tokenId: 't', sid: 'sid-1' };
    const answer = await post(stage, notice).expect(400).expect('Cache-Control', 'no-store');
    expect(answer.body).toMatchObject({ error: 'temporarily_unavailable' });
    expect(reasons(stage)).toEqual(['revocation_not_written']);
    stage.store.log.append = append;
    await post(stage, notice).expect(200);
    expect(await sessionsOf(stage)).toBe(0);
  });

  test.each([
    ['the provider’s keys cannot be read', ({ corp }: Setting) => (corp.keysAway = true), 'issuer_keys_unavailable'],
    ['the audit log cannot be written', ({ stage }: Setting) => (stage.audit.blocked = true), 'audit_unavailable'],
  ])('ends nothing while %s, and the token is not used up', async (_name, spoil, reason) => {
    const setting = await stageWith('session');
    await openIn(setting.stage, 'one', 'sid-1');
    spoil(setting);
    const notice = { tokenId: 't', sid: 'sid-1' };
    await post(setting.stage, notice).expect(400);
    expect(reasons(setting.stage)).toEqual([reason]);
    expect(await stands(setting.stage, 'one')).toBe(true);
    setting.corp.keysAway = false;
    setting.stage.audit.blocked = false;
    await post(setting.stage, notice).expect(200);
  });

  test('is accepted whatever else came from its address, which all share behind an ingress', async () => {
    const { stage } = await stageWith('session');
    await openIn(stage, 'one', 'sid-1');
    for (let index = 0; index < 120; index += 1) await post(stage, 'rubbish').expect(400);
    const answer = await post(stage, 'rubbish').expect(429);
    expect(reasons(stage).at(-1)).toBe('too_many_refused');
    await post(stage, { tokenId: 't', sid: 'sid-1' }).expect(200);
    expect(await stands(stage, 'one')).toBe(false);
    stage.clock.advance(Number(answer.headers['retry-after']));
    await post(stage, 'rubbish').expect(400);
  });

  test('may be sent without limit where it is valid', async () => {
    const { stage } = await stageWith('session');
    for (let index = 0; index < 130; index += 1) await post(stage, { tokenId: `t${index}`, sid: 'sid-1' });
    expect(stage.named('logout')).toHaveLength(130);
    expect(reasons(stage)).toEqual([]);
  });
});

describe('signing out here', () => {
  async function signOut({ stage }: Setting) {
    const browser = browserAt(stage);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    return browser.post('/logout').set('Origin', 'http://localhost:7444').type('form').send({ csrf });
  }

  test('redirects to the provider’s sign-out, by a page', async () => {
    const setting = await stageWith('session');
    setting.corp.there = new URL('https://idp.example.com/out?a=1');
    const answer = await signOut(setting);
    expect(answer.status).toBe(200);
    expect(answer.headers['refresh']).toMatch(/^0; url=https:\/\/idp\.example\.com\/out\?a=1&/);
    expect(answer.text).toContain('href="https://idp.example.com/out?a=1&amp;');
    expect(setting.corp.there.searchParams.get('said')).toContain(
      '"returnTo":"http://localhost:7444/","state":"signed-out"',
    );
    expect(await sessionsOf(setting.stage)).toBe(0);
  });

  test.each([
    ['has no such place', () => undefined],
    ['is unavailable', ({ corp }: Setting) => void (corp.down = true)],
  ])('ends at our front page where the provider %s', async (_name, spoil) => {
    const setting = await stageWith('session');
    const browser = browserAt(setting.stage);
    await signIn(browser, 'alice');
    const csrf = await csrfOf(browser);
    spoil(setting);
    const answer = await browser.post('/logout').set('Origin', 'http://localhost:7444').type('form').send({ csrf });
    expect(answer.status).toBe(303);
    expect(locationOf(answer)).toBe('/?signed-out');
    expect(await sessionsOf(setting.stage)).toBe(0);
  });
});

test('a logout is in the audit log before it is in force, for each session', async () => {
  const { stage } = await stageWith('session');
  await openIn(stage, 'alice-1', 'there');
  await openIn(stage, 'alice-2', 'there');
  const before: number[] = [];
  const append = stage.store.log.append.bind(stage.store.log);
  stage.store.log.append = async (request) => {
    before.push(stage.named('revocation-begun').length);
    return append(request);
  };
  await post(stage, { subject: 'sub-alice', sid: 'there', tokenId: 'one' }).expect(200);
  expect(before).toHaveLength(2);
  expect(Math.min(...before)).toBeGreaterThan(0);
  const targets = stage.named('revocation-begun').map((event) => annotation(event, 'target'));
  expect(new Set(targets)).toEqual(new Set(['session:alice-1', 'session:alice-2']));
  expect(targets).toHaveLength(2);
});
