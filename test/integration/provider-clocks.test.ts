/** Providers whose clock is off ours: what is rejected, and where an operator reads that the clocks are the reason. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import { startHostileProvider, type HostileProvider } from '../support/hostile-provider.ts';
import { comeBack, goThere, openPages, outcomeOf, refused, start } from '../support/two-providers.ts';
import { CALLBACK } from '../support/vendor-idp.ts';
import { rejection, vendor } from '../support/vendors.ts';
import { annotation, closeStages } from '../unit/web/harness.ts';

const NAMED = { mapping: { username: 'claims.preferred_username' } };
const OFF = { code: 'provider_unavailable', reason: 'provider_clock_off' };
const STALE = { code: 'sign_in_refused', reason: 'fresh_sign_in_needed' };

let server: HostileProvider;
beforeEach(async () => {
  server = await startHostileProvider();
});
afterEach(async () => {
  await closeStages();
  await server.close();
});

/** Within a few seconds. */
const about = (seconds: number): unknown => expect.closeTo(seconds, -1);

interface Sky {
  /** Seconds by which the provider's clock is ahead. */
  readonly clock: number;
  /** Of its ID tokens, seconds. */
  readonly life?: number;
  /** How long ago the user signed in there, seconds. */
  readonly proof?: number;
}

function under({ clock, life = 300, proof = 0 }: Sky): void {
  server.lie({
    clock,
    idToken: (honest) => ({ ...honest, exp: Number(honest.iat) + life, auth_time: Number(honest.iat) - proof }),
  });
}

async function signIn(sky: Sky, { fresh = false, clockSkew = 60 } = {}): Promise<unknown> {
  const corp = vendor(server.issuer, { type: 'oidc' }, { ...NAMED, clockSkew });
  const { url, challenge } = await corp.begin({ fresh });
  const back = await goThere(url);
  under(sky);
  return corp.finish(new URL(CALLBACK + back.search), challenge);
}

const renew = async (sky: Sky): Promise<unknown> => {
  under(sky);
  return vendor(server.issuer, { type: 'oidc' }, NAMED).recheck('42', 'rt-1');
};

describe('an ID token', () => {
  it.each<[string, Sky, object]>([
    ['of a clock ten minutes ahead', { clock: 600 }, { ...OFF, cause: { clockSkewSeconds: about(600) } }],
    ['of a clock two minutes ahead', { clock: 120 }, { ...OFF, cause: { clockSkewSeconds: about(120) } }],
    ['that has expired at ten minutes behind', { clock: -600 }, { ...OFF, cause: { clockSkewSeconds: about(-600) } }],
    ['that expired as soon as it was made', { clock: 0, life: -90 }, { reason: 'id_token_expired' }],
  ])('%s is rejected at a sign-in and at a refresh', async (_name, sky, expected) => {
    expect(await rejection(signIn(sky))).toMatchObject(expected);
    expect(await rejection(renew(sky))).toMatchObject(expected);
  });

  it.each<[string, Sky]>([
    ['half a minute ahead', { clock: 30 }],
    ['half a minute behind', { clock: -30 }],
    ['ten minutes behind, whose tokens last an hour', { clock: -600, life: 3600 }],
  ])('of a clock %s is accepted', async (_name, sky) => {
    await expect(signIn(sky)).resolves.toMatchObject({ subject: '42' });
    await expect(renew(sky)).resolves.toMatchObject({ subject: '42' });
  });

  it.each<[string, Sky, object]>([
    ['nine minutes old, at a clock ten minutes ahead', { clock: 600, proof: 540 }, OFF],
    ['of now, at a clock ten minutes behind', { clock: -600, life: 3600 }, OFF],
    ['nine minutes old, at a clock that is right', { clock: 0, proof: 540 }, STALE],
  ])('with a proof %s is no fresh sign-in', async (_name, sky, expected) => {
    expect(await rejection(signIn(sky, { fresh: true }))).toMatchObject(expected);
  });

  it('is judged by the allowed skew of the configuration', async () => {
    await expect(signIn({ clock: 240 }, { clockSkew: 300 })).resolves.toMatchObject({ subject: '42' });
    expect(await rejection(signIn({ clock: 20 }, { clockSkew: 5 }))).toMatchObject(OFF);
  });
});

it('a rejected sign-in reports by how much the clocks differ: on the page, in the audit log and in the log', async () => {
  const visit = await openPages({ corp: server.issuer });
  const callback = await goThere(await start(visit));
  under({ clock: 600 });
  const page = await comeBack(visit, callback);
  expect(await outcomeOf(visit, page)).toEqual(refused(502, 'provider_clock_off'));
  expect(page.text).toMatch(/The clock of corp and the clock of this server differ by (599|600|601) seconds/);
  expect(annotation(visit.stage.named('sign-in-refused').at(-1), 'clock-skew')).toMatch(/^(599|600|601)$/);
  expect(visit.stage.logged).toContainEqual(
    expect.objectContaining({
      err: expect.objectContaining({ cause: expect.objectContaining({ clockSkewSeconds: expect.any(Number) }) }),
    }),
  );
});

describe('a refresh', () => {
  let instance: HostileInstance;
  beforeAll(async () => {
    instance = await startHostileInstance();
  });
  afterAll(() => instance.stop());

  it('at a clock ten minutes ahead ends no session, has the reason in the audit log, and keeps the new refresh token', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    instance.provider.lie({ clock: 600 });
    const answer = await instance.client.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect((await instance.events('refresh-refused')).at(-1)?.annotations).toMatchObject({
      'portcullis.dev/reason': 'provider_clock_off',
      'portcullis.dev/clock-skew': expect.stringMatching(/^(599|600|601)$/),
    });
    instance.provider.lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
    expect(instance.provider.presented.at(-1)).toBe('rt-2');
    expect(await instance.server.store.sessions.read(session)).toBeDefined();
  });
});
