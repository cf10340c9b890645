/**
 * The demo's identity provider: a real OpenID provider (oidc-provider) with passwords that are printed on the screen.
 * It stands for Google, Entra ID, Okta or Keycloak; Portcullis knows it by its issuer URL only.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider, type Configuration } from 'oidc-provider';
import { artefactAdapter } from '../../src/oauth/artefact-adapter.ts';
import { createMemoryStore } from '../../src/store/memory/memory.ts';
import type { DemoUser } from '../demo.ts';
import { consentPage, loginPage, messagePage, STYLE } from './pages.ts';

export interface DemoClient {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUris: readonly string[];
}

export interface DemoIdentityProvider {
  readonly issuer: string;
  /** Changes what the provider says about a user from now on: other groups, or no sign-in and no refresh any more. */
  change(name: string, change: { readonly groups?: readonly string[]; readonly disabled?: boolean }): void;
  /** How often its token endpoint was asked so far. */
  readonly tokenRequests: number;
  close(): Promise<void>;
}

export interface DemoIdentityProviderOptions {
  readonly port: number;
  readonly users: readonly DemoUser[];
  readonly client: DemoClient;
}

interface Entry extends DemoUser {
  readonly disabled: boolean;
}

export async function startIdentityProvider(options: DemoIdentityProviderOptions): Promise<DemoIdentityProvider> {
  const users = new Map<string, Entry>(options.users.map((user) => [user.name, { ...user, disabled: false }]));
  const server = createServer();
  server.listen(options.port, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, await settings(options, users));
  let tokenRequests = 0;
  server.on('request', (req) => {
    if (req.url === '/token') tokenRequests += 1;
  });
  server.on('request', handler(provider, users));
  return {
    issuer,
    get tokenRequests() {
      return tokenRequests;
    },
    change(name, change) {
      const user = users.get(name);
      if (user === undefined) throw new Error(`there is no user called ${name}`);
      users.set(name, { ...user, ...change });
    },
    close: () => closeServer(server),
  };
}

async function settings(
  options: DemoIdentityProviderOptions,
  users: ReadonlyMap<string, Entry>,
): Promise<Configuration> {
  const store = createMemoryStore({ clock: { nowMs: Date.now } });
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return {
    adapter: artefactAdapter({
      artefacts: store.artefacts,
      endSession: (session) => store.artefacts.destroyOfSession(session),
    }),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: 'sig', alg: 'ES256', kid: 'demo' }] },
    clients: [
      {
        client_id: options.client.clientId,
        client_secret: options.client.clientSecret,
        redirect_uris: [...options.client.redirectUris],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        id_token_signed_response_alg: 'ES256',
        // Each ID token says when the user authenticated, as most companies' providers do without being asked.
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
    // Claims in the ID token itself, as most companies' providers are set up.
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
    cookies: {
      keys: [crypto.randomUUID()],
      // Cookies do not know ports, so these must not share a name with Portcullis' own on the same host.
      names: { session: 'demo_idp_session', interaction: 'demo_idp_interaction', resume: 'demo_idp_resume' },
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      Grant: 86_400,
      IdToken: 300,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    clientBasedCORS: () => false,
    findAccount: (_ctx, name) => {
      const user = users.get(name);
      if (user === undefined || user.disabled) return undefined;
      return {
        accountId: name,
        claims: () => ({
          sub: name,
          name,
          preferred_username: name,
          email: `${name}@demo.example`,
          email_verified: true,
          groups: [...user.groups],
        }),
      };
    },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = messagePage('Sign-in did not work', out.error_description ?? out.error);
    },
  };
}

function handler(provider: Provider, users: ReadonlyMap<string, Entry>) {
  const fallback = provider.callback();
  return (req: IncomingMessage, res: ServerResponse): void => {
    const path = (req.url ?? '/').split('?', 1)[0] ?? '/';
    if (path === '/style.css') {
      res.writeHead(200, { 'content-type': 'text/css' }).end(STYLE);
    } else if (path.startsWith('/interaction/')) {
      interact(provider, users, req, res).catch((error: unknown) => {
        const message = error instanceof Error ? error.message : 'unknown error';
        if (!res.headersSent) html(res, 400, messagePage('This sign-in has expired', message));
      });
    } else void fallback(req, res);
  };
}

async function interact(
  provider: Provider,
  users: ReadonlyMap<string, Entry>,
  req: IncomingMessage,
  res: ServerResponse,
) {
  const { prompt, params, session, uid } = await provider.interactionDetails(req, res);
  if (req.method !== 'POST') {
    return html(
      res,
      200,
      prompt.name === 'login' ? loginPage(uid, [...users.values()]) : consentPage(uid, session?.accountId ?? ''),
    );
  }
  if (prompt.name === 'login') {
    const form = await readForm(req);
    const user = users.get(form.get('login') ?? '');
    if (user === undefined || user.disabled || user.password !== form.get('password')) {
      return html(res, 401, loginPage(uid, [...users.values()], 'That name and password do not belong together.'));
    }
    return provider.interactionFinished(
      req,
      res,
      { login: { accountId: user.name } },
      { mergeWithLastSubmission: false },
    );
  }
  if ((await readForm(req)).has('cancel')) {
    const rejection = { error: 'access_denied', error_description: 'the user does not share these details' };
    return provider.interactionFinished(req, res, rejection, { mergeWithLastSubmission: false });
  }
  const grant = new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) });
  grant.addOIDCScope(String(params['scope']));
  return provider.interactionFinished(
    req,
    res,
    { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true },
  );
}

const MAX_FORM_BYTES = 4096;

async function readForm(req: IncomingMessage): Promise<URLSearchParams> {
  let text = '';
  for await (const chunk of req) {
    text += String(chunk);
    if (text.length > MAX_FORM_BYTES) throw new Error('that form is too long');
  }
  return new URLSearchParams(text);
}

function html(res: ServerResponse, status: number, body: string): void {
  res.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    // No `form-action`: Chromium would apply it to the redirects after the form, which end at Portcullis on another port.
    'content-security-policy': "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
  });
  res.end(body);
}

async function closeServer(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}
