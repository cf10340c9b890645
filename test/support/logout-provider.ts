/**
 * A real OpenID provider (oidc-provider) that tells its clients when a user signs out, and to which clients send users who sign out there.
 * Every visitor is signed in as alice, without a question; and its key can sign logout tokens that say what a test wants.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JSONWebKeySet } from 'jose';
import { Provider, type Configuration } from 'oidc-provider';
import { artefactAdapter } from '../../src/oauth/artefact-adapter.ts';
import { createMemoryStore } from '../../src/store/memory/memory.ts';

export const LOGOUT_USER = 'alice';
export const LOGOUT_CLIENT = 'portcullis';
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

export interface TokenShape {
  /** In place of what a good one has; `undefined` leaves a claim out. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly key?: CryptoKey | Uint8Array;
  /** The provider's clock is so many seconds ahead of the server's; behind: negative. */
  readonly clock?: number;
}

export interface LogoutProvider {
  readonly issuer: string;
  /** Where a browser signs out of it. */
  readonly endSession: string;
  readonly jwks: JSONWebKeySet;
  /** A logout token as this provider makes them. */
  logoutToken(shape: TokenShape): Promise<string>;
  close(): Promise<void>;
}

/** @param web the server's public URL, and its provider's name */
export async function startLogoutProvider(instance: {
  readonly web: string;
  readonly name: string;
}): Promise<LogoutProvider> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const common = { use: 'sig', alg: 'ES256', kid: 'k1' };
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  const jwk = { ...(await exportJWK(privateKey)), ...common };
  const provider = new Provider(issuer, settings(instance, jwk));
  const fallback = provider.callback();
  server.on('request', (req, res) => {
    if (req.url?.startsWith('/interaction/') === true) void signIn(provider, req, res);
    else void fallback(req, res);
  });
  return {
    issuer,
    endSession: `${issuer}/session/end`,
    jwks: { keys: [{ ...(await exportJWK(publicKey)), ...common }] },
    logoutToken({ claims = {}, header = {}, key = privateKey, clock = 0 }) {
      const now = Math.floor(Date.now() / 1000) + clock;
      const good = {
        iss: issuer,
        aud: LOGOUT_CLIENT,
        sub: LOGOUT_USER,
        iat: now,
        jti: randomUUID(),
        events: { [EVENT]: {} },
      };
      return new SignJWT({ ...good, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'logout+jwt', ...header })
        .sign(key);
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

type Key = NonNullable<Configuration['jwks']>['keys'][number];

function settings({ web, name }: { readonly web: string; readonly name: string }, key: Key): Configuration {
  const { artefacts } = createMemoryStore({ clock: { nowMs: Date.now } });
  return {
    adapter: artefactAdapter({ artefacts, endSession: (session) => artefacts.destroyOfSession(session) }),
    jwks: { keys: [key] },
    clients: [
      {
        client_id: LOGOUT_CLIENT,
        token_endpoint_auth_method: 'none',
        redirect_uris: [`${web}/callback/${name}`],
        post_logout_redirect_uris: [`${web}/`],
        backchannel_logout_uri: `${web}/backchannel-logout/${name}`,
        backchannel_logout_session_required: true,
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        id_token_signed_response_alg: 'ES256',
        require_auth_time: true,
      },
    ],
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource },
    },
    cookies: {
      keys: [randomUUID()],
      names: { session: 'idp_session', interaction: 'idp_interaction', resume: 'idp_resume' },
    },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    clientBasedCORS: () => false,
    // The server of a test is on loopback, where the library itself would not go.
    fetch: (url, { method = 'GET', headers, body } = {}) =>
      globalThis.fetch(url, {
        method,
        ...(headers === undefined ? {} : { headers }),
        ...(body === undefined || body === null ? {} : { body }),
      }),
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({
        sub,
        name: sub,
        preferred_username: sub,
        email: `${sub}@demo.example`,
        email_verified: true,
        groups: ['developers'],
      }),
    }),
  };
}

/** The page that asks whether the user means it, with the answer in it. */
const logoutSource: NonNullable<NonNullable<Configuration['features']>['rpInitiatedLogout']>['logoutSource'] = (
  ctx,
  form,
) => {
  const yes = '<input type="hidden" name="logout" value="yes"/><button>Yes</button></form>';
  ctx.body = `<h1>Do you consent to signing out?</h1>${form.replace('</form>', yes)}`;
};

async function signIn(provider: Provider, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') {
    await provider.interactionFinished(req, res, { login: { accountId: LOGOUT_USER } });
    return;
  }
  const grant = new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) });
  grant.addOIDCScope(String(params['scope']));
  const grantId = await grant.save();
  await provider.interactionFinished(req, res, { consent: { grantId } }, { mergeWithLastSubmission: true });
}
