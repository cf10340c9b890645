import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { delegationsRequest, order, selfToken } from '../support/delegation.ts';
import type { Answer } from '../support/oauth-client.ts';
import { CLIENT, startPublicClientStage, type PublicClientStage } from '../support/public-client-stage.ts';

const PODS = '/api/v1/namespaces/default/pods';
const GRACE_MS = 10_000;

/** What load balancers and ingresses write where they saw a client certificate. */
const forwarded = (pem: string): Record<string, string> => ({
  'x-forwarded-client-cert': `Cert="${encodeURIComponent(pem)}"`,
  'x-ssl-client-cert': encodeURIComponent(pem),
  'ssl-client-cert': encodeURIComponent(pem),
  'client-cert': `:${Buffer.from(pem).toString('base64')}:`,
});

/** A wall clock that a test sets forward, and back when it is over: Redis' own time must stay near. */
const realNow = Date.now;
let aheadMs = 0;
beforeAll(() => void vi.spyOn(Date, 'now').mockImplementation(() => realNow() + aheadMs));
afterAll(() => void vi.restoreAllMocks());

/** Resolves when the server has noticed that its clock jumped, has fenced itself, and serves again. */
async function setAhead(stage: PublicClientStage, milliseconds: number): Promise<void> {
  if (milliseconds === aheadMs) return;
  const jumps = async (): Promise<number> => (await stage.events('replica-fenced')).length;
  const before = await jumps();
  aheadMs = milliseconds;
  const seen = async (): Promise<boolean> => (await jumps()) > before && !stage.server.guard.fenced;
  await vi.waitUntil(seen, { timeout: 30_000, interval: 20 });
}

const refreshTokenIn = ({ body }: Answer): string => String(body['refresh_token']);
const sessionOf = (accessToken: string): string => String(decodeJwt(accessToken)['sid']);

describe('with bindings off', () => {
  let stage: PublicClientStage;
  beforeAll(async () => {
    stage = await startPublicClientStage({ sessions: { binding: 'off' } });
  });
  afterEach(async () => {
    await setAhead(stage, 0);
    // Revoked by a clock that is not ahead any more: each sign-in would be before it.
    await stage.server.store.freshSignIns.lift('demo/alice');
  });
  afterAll(async () => {
    await stage.stop();
  });

  const passGrace = (): Promise<void> => setAhead(stage, aheadMs + GRACE_MS + 2_000);

  it('the plugin signs in behind a load balancer that ends TLS, and its token is bound to nothing', async () => {
    const { accessToken, refreshToken } = await stage.bare.signIn('alice');
    expect(decodeJwt(accessToken)).not.toHaveProperty('cnf');
    expect((await stage.pods('demo', accessToken)).status).toBe(200);
    expect((await stage.bare.refresh(refreshToken)).status).toBe(200);
  });

  it('nothing changes where the client shows its certificate anyway', async () => {
    const { accessToken } = await stage.plugin.signIn('alice');
    expect(decodeJwt(accessToken)).not.toHaveProperty('cnf');
    expect((await stage.plugin.get(PODS, accessToken)).status).toBe(200);
    expect((await stage.pods('demo', accessToken)).status).toBe(200);
  });

  it('a delegated session is bound to nothing either, and its refresh token rotates', async () => {
    const { refreshToken } = await stage.bare.signIn('alice');
    const token = await selfToken(stage.bare, refreshToken);
    const made = await delegationsRequest(stage.bare, token, 'POST', { body: order('ignored') });
    expect(made).toMatchObject({ status: 201, body: { delegation: { name: 'claude' } } });
    const refreshed = await stage.bare.refresh(
      refreshTokenIn({ ...made, body: { refresh_token: made.body['refreshToken'] } }),
    );
    expect(refreshed.status).toBe(200);
    expect(decodeJwt(String(refreshed.body['access_token']))).not.toHaveProperty('cnf');
    expect((await stage.pods('demo', String(refreshed.body['access_token']))).status).toBe(200);
    expect((await stage.bare.refresh(refreshTokenIn(refreshed))).status).toBe(200);
  });

  it('the real kubectl and command work, and the command keeps the newest refresh token', async () => {
    const laptop = stage.cli('alice');
    const pods = await laptop.kubectl('get', 'pods');
    expect(pods.stdout, pods.all).toContain('web-1');
    const ask = () => laptop.portcullis('get-token', '--server', stage.web, '--cluster', 'demo');
    // The same parent asks again, so the token must have been rejected: each time the command refreshes.
    const tokens = new Set<string>();
    for (const _turn of [1, 2, 3]) {
      const asked = await ask();
      expect(asked.code, asked.all).toBe(0);
      tokens.add(asked.stdout);
      await passGrace();
    }
    expect(tokens.size).toBe(3);
    expect(await stage.events('revocation')).toEqual([]);
  });

  it('an admin’s token works without a key too', async () => {
    const { accessToken } = await stage.bare.signIn('root', { resource: 'urn:portcullis:admin' });
    expect((await stage.bare.get('/-/admin/api/v1/sessions', accessToken)).status).toBe(200);
  });

  /** A sign-in of the plugin's, and one of a third-party client's. */
  const clients = {
    plugin: async () => {
      const { accessToken, refreshToken } = await stage.bare.signIn('alice');
      return { accessToken, refreshToken, refresh: (token: string) => stage.bare.refresh(token) };
    },
    kubelogin: async () => {
      const kubelogin = await stage.kubelogin();
      const { accessToken, refreshToken } = await kubelogin.login('alice');
      return { accessToken, refreshToken, refresh: (token: string) => kubelogin.ask(token) };
    },
  };

  describe.each(['plugin', 'kubelogin'] as const)('a refresh token of the %s', (name) => {
    it('that is sent again immediately, because the response was lost, gets a token, and the chain continues', async () => {
      const { refreshToken, refresh } = await clients[name]();
      await refresh(refreshToken);
      const again = await refresh(refreshToken);
      expect(again.status).toBe(200);
      await passGrace();
      expect((await refresh(refreshTokenIn(again))).status).toBe(200);
    });

    it('that is sent again later ends the session, for the thief and for the owner, and is audited', async () => {
      const { accessToken, refreshToken, refresh } = await clients[name]();
      const owner = await refresh(refreshToken);
      await passGrace();
      const thief = await refresh(refreshToken);
      expect(thief).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      expect(thief.body['error_description']).toMatch(/was used a second time.*Sign in again/);
      expect(thief.body).not.toHaveProperty('access_token');
      expect((await refresh(refreshTokenIn(owner))).status).toBe(400);
      expect((await stage.pods('demo', accessToken)).status).toBe(401);
      const reasons = async (event: string): Promise<readonly unknown[]> =>
        (await stage.events(event))
          .filter(({ annotations }) => annotations['portcullis.dev/session'] === sessionOf(accessToken))
          .map(({ annotations }) => annotations['portcullis.dev/reason']);
      expect(await reasons('revocation')).toEqual(['refresh_token_replayed']);
    });

    it('that two clients got within the grace period is detected at the next refresh', async () => {
      const { refreshToken, refresh } = await clients[name]();
      const [owner, thief] = [await refresh(refreshToken), await refresh(refreshToken)];
      await passGrace();
      const next = await refresh(refreshTokenIn(owner));
      expect(next.status).toBe(200);
      await passGrace();
      expect((await refresh(refreshTokenIn(thief))).status).toBe(400);
      expect((await refresh(refreshTokenIn(next))).status).toBe(400);
    });
  });

  it('a refresh that is rejected costs no token: a rejection for another cluster does not end the session', async () => {
    const { refreshToken } = await stage.bare.signIn('alice');
    const refused = await stage.bare.refresh(refreshToken, { resource: 'urn:portcullis:admin' });
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    await passGrace();
    expect((await stage.bare.refresh(refreshToken)).status).toBe(200);
  });
});

describe('a third-party client whose setting changes', () => {
  let stage: PublicClientStage;
  beforeAll(async () => {
    stage = await startPublicClientStage();
  });
  afterAll(async () => {
    await stage.stop();
  });

  it('gets no more tokens for its former cluster, and none at all once it is out of the list', async () => {
    const kubelogin = await stage.kubelogin();
    const { accessToken, refreshToken } = await kubelogin.login('alice');
    await stage.restartWith({ publicClients: [{ ...CLIENT, cluster: 'other' }] });
    expect(await kubelogin.ask(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    await stage.restartWith({ publicClients: [CLIENT] });
    expect((await stage.pods('demo', accessToken)).status).toBe(200);
    await stage.restartWith({ publicClients: [] });
    expect((await stage.pods('demo', accessToken)).status).toBe(401);
    expect((await kubelogin.ask(refreshToken)).body).toMatchObject({ error: 'invalid_client' });
  });
});

describe('earlier sessions, when bindings are switched off', () => {
  let stage: PublicClientStage;
  beforeAll(async () => {
    stage = await startPublicClientStage();
  });
  afterAll(async () => {
    await stage.stop();
  });

  it('stay bound: their tokens require the key itself, whatever headers say, until bindings are on again', async () => {
    const { accessToken, refreshToken } = await stage.plugin.signIn('alice');
    await stage.restartWith({ binding: 'off' });
    const headers = { ...forwarded(stage.plugin.key?.cert ?? ''), authorization: `Bearer ${accessToken}` };
    const claimed = await stage.bare.send('GET', PODS, { headers });
    expect(claimed.status).toBe(401);
    expect((await stage.plugin.get(PODS, accessToken)).status).toBe(200);
    expect(await stage.bare.refresh(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const renewed = await stage.plugin.refresh(refreshToken);
    expect(renewed.status).toBe(200);
    expect(decodeJwt(String(renewed.body['access_token']))).toHaveProperty('cnf');
    expect(refreshTokenIn(renewed)).toBe(refreshToken);
  });

  it('that were opened without a key are rejected when bindings are required again, and can be bound by a refresh', async () => {
    await stage.restartWith({ binding: 'off' });
    const { accessToken, refreshToken } = await stage.plugin.signIn('alice');
    await stage.restartWith({ binding: 'required' });
    expect((await stage.plugin.get(PODS, accessToken)).status).toBe(401);
    expect((await stage.bare.refresh(refreshToken)).status).toBe(400);
    const renewed = await stage.plugin.refresh(refreshToken);
    expect(decodeJwt(String(renewed.body['access_token']))).toHaveProperty('cnf');
    expect((await stage.pods('demo', String(renewed.body['access_token']))).status).toBe(401);
    expect((await stage.plugin.get(PODS, String(renewed.body['access_token']))).status).toBe(200);
  });
});
