/**
 * A real OpenID provider (oidc-provider) that behaves as one vendor's does: its claims, its scopes, when it gives a refresh token, what it
 * thinks of one that is used twice. There is no question: every browser that comes is signed in.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider, type Adapter, type AdapterFactory, type Configuration } from 'oidc-provider';
import { artefactAdapter } from '../../src/oauth/artefact-adapter.ts';
import { Agent, fetch } from 'undici';
import { createMemoryStore } from '../../src/store/memory/memory.ts';
import {
  askingForCertificates,
  clientSettings,
  showsCertificate,
  throughSwitches,
  type ClientSwitches,
  type ClientTraits,
  type TokenRequest,
} from './client-switches.ts';

export const CLIENT = { id: 'portcullis', secret: 's3cret-of-the-gate' } as const;
export const CALLBACK = 'http://127.0.0.1:1/callback/corp';

export interface VendorTraits {
  readonly scopes: readonly string[];
  /** The user who signs in; `sub` is theirs too. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Whether a sign-in brings a refresh token. Absent: always. */
  readonly refreshTokenFor?: (authorization: Readonly<Record<string, unknown>>) => boolean;
  /** How often an old refresh token is taken again after it was rotated. */
  readonly graceUses?: number;
  /** Where users are sent back to. Absent: `CALLBACK`. */
  readonly callback?: string;
  /** Only there, and not in the ID token. */
  readonly userInfoOnly?: readonly string[];
  /** It has a revocation endpoint (RFC 7009). */
  readonly revokes?: boolean;
  /** How its client proves its identity. Absent: by `CLIENT.secret`, as the standard has it. */
  readonly client?: ClientTraits;
}

export interface VendorIdp {
  readonly issuer: string;
  /** What it says of the user from now on. */
  claims: Readonly<Record<string, unknown>>;
  /** The user is disabled. */
  gone: boolean;
  /** It refreshes for a disabled user too, of whom it says `active: false`. */
  refreshesDisabled: boolean;
  /** How many responses to token requests are lost on the way, after they were made. */
  losing: number;
  /** How it rejects a refresh token: by the standard, or as some do, by `invalid_request` or by a 400 without a body. */
  refusesBy: 'invalid_grant' | 'invalid_request' | 'bare';
  userInfoDown: boolean;
  /** `lost`: the connection breaks instead of a response. */
  keys: 'there' | 'down' | 'lost';
  /** Connections are closed without a response, and nothing is done. */
  down: boolean;
  /** How it takes its client's secret. */
  client: ClientSwitches;
  readonly tokenRequests: TokenRequest[];
  /** In its discovery document, over what is there. */
  discovery: Readonly<Record<string, unknown>>;
  /** Paths that a client certificate was shown for. */
  readonly shownAt: string[];
  /** Paths that were asked for with `Authorization: Basic`. */
  readonly basicAt: string[];
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** A browser's trip from our URL to the redirect back to us. */
  visit(url: URL): Promise<URL>;
  close(): Promise<void>;
}

export async function startVendorIdp(traits: VendorTraits): Promise<VendorIdp> {
  const { issuer, alias, servers } = await listeners(traits.client?.tls);
  const idp: VendorIdp = {
    issuer,
    claims: traits.claims,
    gone: false,
    refreshesDisabled: false,
    losing: 0,
    refusesBy: 'invalid_grant',
    userInfoDown: false,
    keys: 'there',
    down: false,
    asked: [],
    client: {},
    tokenRequests: [],
    discovery: {},
    shownAt: [],
    basicAt: [],
    visit: (url) =>
      visit({ issuer, from: url, callback: traits.callback ?? CALLBACK, ca: traits.client?.tls?.server.ca }),
    async close() {
      await Promise.all(servers.map(closed));
    },
  };
  const provider = new Provider(issuer, await settings(traits, idp, alias));
  const handle = provider.callback();
  const secret = traits.client?.secret ?? CLIENT.secret;
  const answer: RequestListener = (req, res) => {
    if (idp.down) return void req.socket.destroy();
    const path = (req.url ?? '').split('?', 1)[0] ?? '';
    idp.asked.push(path);
    if (req.headers.authorization?.startsWith('Basic ') === true) idp.basicAt.push(path);
    if (showsCertificate(req)) idp.shownAt.push(path);
    if (path === '/me' && idp.userInfoDown) return void res.writeHead(502).end('<html>');
    if (path === '/jwks' && idp.keys === 'lost') return void req.socket.destroy();
    if (path === '/jwks' && idp.keys === 'down') return void res.writeHead(503).end();
    if (path.startsWith('/interaction/')) return void finish(provider, req, res);
    if (path === '/.well-known/openid-configuration') mayLie(res, idp.discovery);
    if (path !== '/token') return void handle(req, res);
    void throughSwitches(req, res, { ...idp.client, secret, id: CLIENT.id }).then(({ goesOn, ...request }) => {
      idp.tokenRequests.push(request);
      if (!goesOn) return undefined;
      if (idp.losing > 0) lose(req, res, idp);
      if (idp.refusesBy !== 'invalid_grant') rejectAnotherWay(res, idp.refusesBy);
      return handle(req, res);
    });
  };
  for (const server of servers) server.on('request', answer);
  return idp;
}

function mayLie(res: ServerResponse, lies: VendorIdp['discovery']): void {
  if (Object.keys(lies).length === 0) return;
  const end = res.end.bind(res);
  res.end = (honest: unknown) => {
    const document: unknown = JSON.parse(String(honest));
    const said = JSON.stringify({ ...(document as object), ...lies });
    res.setHeader('content-length', Buffer.byteLength(said));
    return end(said);
  };
}

function lose(req: IncomingMessage, res: ServerResponse, idp: VendorIdp): void {
  idp.losing -= 1;
  res.end = () => {
    req.socket.destroy();
    return res;
  };
}

async function listeners(tls: ClientTraits['tls']) {
  const listening = async (server: Server): Promise<number> => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  if (tls === undefined) {
    const server = createServer();
    return { issuer: `http://localhost:${await listening(server)}`, servers: [server] };
  }
  const asking = createHttpsServer(askingForCertificates(tls));
  const alias = `https://localhost:${await listening(asking)}`;
  if (tls.alias === undefined) return { issuer: alias, servers: [asking] };
  const server = createHttpsServer(tls.server);
  return { issuer: `https://localhost:${await listening(server)}`, alias, servers: [server, asking] };
}

async function closed(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

/** Changes what the library is about to say of a refresh token into another provider's response. */
function rejectAnotherWay(res: ServerResponse, by: 'invalid_request' | 'bare'): void {
  const end = res.end.bind(res) as (body: string) => ServerResponse;
  res.end = ((body: unknown) => {
    const text = typeof body === 'string' || Buffer.isBuffer(body) ? body.toString() : '';
    if (res.statusCode !== 400 || !text.includes('"invalid_grant"')) return end(text);
    const said = by === 'bare' ? '' : JSON.stringify({ error: by, error_description: 'unknown refresh token' });
    if (by === 'bare') res.removeHeader('content-type');
    res.setHeader('content-length', said.length);
    return end(said);
  }) as ServerResponse['end'];
}

async function settings(traits: VendorTraits, idp: VendorIdp, alias: string | undefined): Promise<Configuration> {
  const known = traits.client === undefined ? undefined : clientSettings(traits.client);
  const store = createMemoryStore({ clock: { nowMs: Date.now } });
  const endSession = (session: string): Promise<void> => store.artefacts.destroyOfSession(session);
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const { refreshTokenFor = () => true, userInfoOnly = [] } = traits;
  return {
    adapter: withGrace(artefactAdapter({ artefacts: store.artefacts, endSession }), {
      graceUses: traits.graceUses ?? 0,
      spend: (id) => store.artefacts.consume('RefreshToken', id),
    }),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256', kid: 'vendor' }] },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: traits.client?.secret ?? CLIENT.secret,
        redirect_uris: [traits.callback ?? CALLBACK],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        require_auth_time: true,
        ...known?.client,
      },
    ],
    ...(alias === undefined ? {} : { discovery: { mtls_endpoint_aliases: { token_endpoint: `${alias}/token` } } }),
    ...known?.configuration,
    claims: { openid: ['sub', ...Object.keys(traits.claims), 'groups'] },
    scopes: [...traits.scopes],
    extraParams: ['access_type'],
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      revocation: { enabled: traits.revokes === true },
      ...known?.configuration.features,
    },
    cookies: { keys: [crypto.randomUUID()] },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx) => refreshTokenFor(ctx.oidc.params ?? {}) || ctx.oidc.route === 'token',
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      Grant: 3600,
      IdToken: 300,
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
    },
    clientBasedCORS: () => false,
    findAccount: (_ctx, id) =>
      idp.gone && !idp.refreshesDisabled
        ? undefined
        : {
            accountId: id,
            claims: (use) => ({
              sub: id,
              ...Object.fromEntries(
                Object.entries({ ...idp.claims, ...(idp.gone ? { active: false } : {}) }).filter(
                  ([key]) => use === 'userinfo' || !userInfoOnly.includes(key),
                ),
              ),
            }),
          },
  };
}

/**
 * A rotated refresh token is taken again a few times, as Okta's grace period and Keycloak's reuse count have it, and after that for theft. Our own
 * adapter leaves refresh tokens alone, so they are spent here.
 */
function withGrace(
  adapters: AdapterFactory,
  { graceUses, spend }: { readonly graceUses: number; readonly spend: (id: string) => Promise<unknown> },
): AdapterFactory {
  const uses = new Map<string, number>();
  return (model): Adapter => {
    const adapter = adapters(model);
    if (model !== 'RefreshToken') return adapter;
    return {
      ...adapter,
      async consume(id) {
        const used = uses.get(id) ?? 0;
        uses.set(id, used + 1);
        if (used >= graceUses) await spend(id);
      },
    };
  };
}

async function finish(provider: Provider, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') {
    const login = { login: { accountId: 'subject-of-alice' } };
    return provider.interactionFinished(req, res, login, { mergeWithLastSubmission: false });
  }
  const known = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const grant =
    known ?? new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) });
  grant.addOIDCScope(String(params['scope']));
  const consent = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(req, res, consent, { mergeWithLastSubmission: true });
}

interface Trip {
  readonly issuer: string;
  readonly from: URL;
  readonly callback: string;
  /** The provider's CA; absent: it is asked without TLS. */
  readonly ca: string | undefined;
}

async function visit({ ca, ...trip }: Trip): Promise<URL> {
  const agent = new Agent(ca === undefined ? {} : { connect: { ca } });
  try {
    return await follow(trip, agent);
  } finally {
    await agent.destroy();
  }
}

async function follow({ issuer, from, callback }: Omit<Trip, 'ca'>, dispatcher: Agent): Promise<URL> {
  const cookies = new Map<string, string>();
  let next = from;
  for (let step = 0; step < 12; step += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(next, { redirect: 'manual', headers: { cookie }, dispatcher });
    const location = answer.headers.get('location');
    if (location === null) throw new Error(`${next.pathname} answered ${answer.status}: ${await answer.text()}`);
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) cookies.set(name, value);
    }
    next = new URL(location, issuer);
    if (next.href.startsWith(callback)) return next;
  }
  throw new Error('the sign-in goes round in circles');
}
