/**
 * Logouts from a provider whose clock differs from ours: the accepted skew, and the tokens that may alert an
 * operator to a wrong clock.
 */
import { generateKeyPair } from 'jose';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLogoutInstance, type LogoutInstance } from '../support/logout-instance.ts';
import { LOGOUT_USER, type TokenShape } from '../support/logout-provider.ts';
import { metric } from '../support/metric.ts';

/** The reasons that the alert counts. */
const ALERTING = ['logout_token_issued_at', 'logout_token_expired', 'not_carried_out'];

describe.each([60, 300])('an allowed skew of %d seconds', (clockSkew) => {
  let stage: LogoutInstance;
  beforeAll(async () => {
    stage = await startLogoutInstance('oidc', { clockSkew });
  });
  afterAll(() => stage.stop());

  async function post(token: string): Promise<number> {
    const body = new URLSearchParams({ logout_token: token }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await request(`${stage.web}/backchannel-logout/demo`, { method: 'POST', headers, body });
    await answer.body.dump();
    return answer.statusCode;
  }
  const send = async (shape: TokenShape): Promise<number> => post(await stage.provider.logoutToken(shape));

  const lastRefused = async () =>
    (await stage.recorded()).findLast(({ annotations }) => annotations['portcullis.dev/event'] === 'logout-refused')
      ?.annotations ?? {};

  async function counted(reasons: readonly string[]): Promise<number> {
    const series = (reason: string): string => `portcullis_logouts_refused_total{provider="demo",reason="${reason}"}`;
    const values = await Promise.all(reasons.map((reason) => metric(stage.server, series(reason))));
    return values.reduce((sum, value) => sum + Number(value), 0);
  }

  it.each([clockSkew - 10, -(300 + clockSkew - 10)])(
    'a logout token of a clock %d seconds ahead is accepted, and only once',
    async (clock) => {
      const token = await stage.provider.logoutToken({ clock });
      expect(await post(token)).toBe(200);
      expect(await post(token)).toBe(400);
      expect(await lastRefused()).toMatchObject({ 'portcullis.dev/reason': 'logout_token_replayed' });
    },
  );

  it.each<[TokenShape & { readonly clock: number }, string]>([
    [{ clock: 900 }, 'logout_token_issued_at'],
    [{ clock: clockSkew + 10 }, 'logout_token_issued_at'],
    [{ clock: -900 }, 'logout_token_issued_at'],
    [{ clock: -(300 + clockSkew + 10) }, 'logout_token_issued_at'],
    [{ clock: -900, claims: { exp: 1 } }, 'logout_token_expired'],
  ])(
    'a logout token that the provider has signed and whose time is wrong is audited with the skew and counted: %j',
    async (shape, reason) => {
      const before = await counted(ALERTING);
      expect(await send(shape)).toBe(400);
      const { 'portcullis.dev/clock-skew': skew, ...facts } = await lastRefused();
      expect(facts).toMatchObject({
        'portcullis.dev/reason': reason,
        'portcullis.dev/provider': 'demo',
        'portcullis.dev/target': `account:demo/${LOGOUT_USER}`,
      });
      expect(Number(skew)).toBeCloseTo(shape.clock, -1);
      expect(await counted(ALERTING)).toBe(before + 1);
    },
  );

  it.each<[string, () => Promise<TokenShape>, string]>([
    [
      'signed with an unknown key pair',
      async () => ({ clock: -900, key: (await generateKeyPair('ES256')).privateKey }),
      'logout_token_signature',
    ],
    ['with an unknown key id', async () => ({ clock: 900, header: { kid: 'k2' } }), 'logout_token_key_unknown'],
    // Every user of the provider has one: it is signed by the provider, and is not a logout token.
    ['an ID token', async () => ({ clock: -900, claims: { events: undefined, nonce: 'n' } }), 'logout_token_nonce'],
    ['for another client', async () => ({ clock: -900, claims: { aud: 'other' } }), 'logout_token_audience'],
    ['without a subject', async () => ({ clock: -900, claims: { sub: undefined } }), 'logout_token_subject'],
  ])('a logout token that is %s is audited without a skew, and alerts no operator', async (_name, shape, reason) => {
    const before = [await counted(ALERTING), await counted([reason])] as const;
    expect(await send(await shape())).toBe(400);
    const refused = await lastRefused();
    expect(refused).toMatchObject({ 'portcullis.dev/reason': reason });
    for (const fact of ['clock-skew', 'target']) expect(refused).not.toHaveProperty([`portcullis.dev/${fact}`]);
    expect([await counted(ALERTING), await counted([reason])]).toEqual([before[0], before[1] + 1]);
  });

  it('a valid logout token that cannot be applied is counted', async () => {
    const { sessions } = stage.server.store;
    const list = sessions.list.bind(sessions);
    sessions.list = () => Promise.reject(new Error('unavailable'));
    try {
      const before = await counted(['not_carried_out']);
      expect(await send({ claims: { sid: `of-${LOGOUT_USER}` } })).toBe(400);
      expect(await counted(['not_carried_out'])).toBe(before + 1);
    } finally {
      sessions.list = list;
    }
  });
});
