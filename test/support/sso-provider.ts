/**
 * A real OpenID provider (oidc-provider) at which an admin is signed in already: the admin is signed in without a question, by a password of
 * an hour ago; an admin who has to sign in again (`prompt=login`) types it now, or as a test says.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider, type Configuration } from 'oidc-provider';
import { artefactAdapter } from '../../src/oauth/artefact-adapter.ts';
import { createMemoryStore } from '../../src/store/memory/memory.ts';

export const SSO_CLIENT = 'portcullis';

export interface SsoProvider {
  readonly issuer: string;
  /** Who is at the screen. */
  user: string;
  /** When a user who has to sign in again is said to have done so, in seconds from now. */
  provenIn: number;
  /** One for each sign-in: the `prompt` that it came with. */
  readonly prompts: (string | undefined)[];
  /** One for each authorization request: how it asked for a fresh sign-in, as `prompt/max_age`. */
  readonly asked: string[];
  /** What it makes of a request for a fresh sign-in that others take differently. */
  manners: Manners;
  close(): Promise<void>;
}

export interface Manners {
  /** Answers `invalid_request`, as RFC 6749 §4.1.2.1 has it, with a description. */
  readonly refuses?: (asked: FreshnessAsked) => boolean;
  /** Does as if these had not been in the request. */
  readonly ignores?: (asked: FreshnessAsked) => readonly (keyof FreshnessAsked)[];
  /** Its ID tokens have `auth_time` whether it is asked for or not. */
  readonly alwaysSaysWhen?: boolean;
}

interface FreshnessAsked {
  readonly prompt: string;
  readonly max_age: string;
}

export const DESCRIPTION = 'this provider knows no such parameter';

const now = (): number => Math.floor(Date.now() / 1000);

/** @param instance the server's public URL, and its provider's name */
export async function startSsoProvider(instance: {
  readonly web: string;
  readonly name: string;
}): Promise<SsoProvider> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  const key = { ...(await exportJWK(privateKey)), use: 'sig', alg: 'ES256', kid: 'k1' };
  const provider = new Provider(issuer, settings(`${instance.web}/callback/${instance.name}`, key));
  const sso: SsoProvider = {
    issuer,
    user: 'root',
    provenIn: 0,
    prompts: [],
    asked: [],
    manners: {},
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  const fallback = provider.callback();
  server.on('request', (req, res) => {
    if (req.url?.startsWith('/interaction/') === true) return void letIn(provider, sso, req, res);
    if (req.url?.startsWith('/auth?') === true && mannered(sso, req, res)) return;
    void fallback(req, res);
  });
  return sso;
}

/** @returns whether the request has been answered; else it goes on as the manners leave it */
function mannered({ issuer, asked, manners }: SsoProvider, req: IncomingMessage, res: ServerResponse): boolean {
  const url = new URL(req.url ?? '', issuer);
  const { searchParams: query } = url;
  const freshness = { prompt: query.get('prompt') ?? '', max_age: query.get('max_age') ?? '' };
  asked.push(`${freshness.prompt}/${freshness.max_age}`);
  if (manners.refuses?.(freshness) === true) {
    const back = new URL(query.get('redirect_uri') ?? '');
    const answer = { error: 'invalid_request', error_description: DESCRIPTION, iss: issuer };
    back.search = new URLSearchParams({ ...answer, state: query.get('state') ?? '' }).toString();
    res.writeHead(303, { location: back.href }).end();
    return true;
  }
  for (const parameter of manners.ignores?.(freshness) ?? []) query.delete(parameter);
  if (manners.alwaysSaysWhen === true) query.set('claims', '{"id_token":{"auth_time":{"essential":true}}}');
  req.url = `${url.pathname}${url.search}`;
  return false;
}

type Key = NonNullable<Configuration['jwks']>['keys'][number];

function settings(redirectUri: string, key: Key): Configuration {
  const { artefacts } = createMemoryStore({ clock: { nowMs: Date.now } });
  return {
    adapter: artefactAdapter({ artefacts, endSession: (session) => artefacts.destroyOfSession(session) }),
    jwks: { keys: [key] },
    clients: [
      {
        client_id: SSO_CLIENT,
        token_endpoint_auth_method: 'none',
        redirect_uris: [redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    claims: {
      auth_time: null,
      openid: ['sub'],
      profile: ['preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, claimsParameter: { enabled: true } },
    cookies: {
      keys: [randomUUID()],
      names: { session: 'idp_session', interaction: 'idp_interaction', resume: 'idp_resume' },
    },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    ttl: { AccessToken: 300, Grant: 3600, IdToken: 300, Interaction: 600, RefreshToken: 3600, Session: 3600 },
    clientBasedCORS: () => false,
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({
        sub,
        preferred_username: sub,
        email: `${sub}@demo.example`,
        email_verified: true,
        groups: sub === 'alice' ? ['developers'] : ['admins'],
      }),
    }),
  };
}

async function letIn(provider: Provider, sso: SsoProvider, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') {
    const asked = typeof params['prompt'] === 'string' ? params['prompt'] : undefined;
    sso.prompts.push(asked);
    // By then what the manners ignore is gone.
    const isAsked = asked?.split(' ').includes('login') === true || Number(params['max_age'] ?? 3600) < 3600;
    const ts = isAsked ? now() + sso.provenIn : now() - 3600;
    return provider.interactionFinished(req, res, { login: { accountId: sso.user, ts } });
  }
  const grant = new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) });
  grant.addOIDCScope(String(params['scope']));
  const grantId = await grant.save();
  return provider.interactionFinished(req, res, { consent: { grantId } }, { mergeWithLastSubmission: true });
}
