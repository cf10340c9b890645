/**
 * The authorization server: oidc-provider with our settings, and the parts that the library leaves to its host:
 * one fixed origin whatever the Host header says, a message for each rejection, the audit log, and 503 where the
 * store or a provider is unavailable.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';
import { errors, Provider, type KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '../contracts/clock.ts';
import type { AuthorizationError } from '../contracts/authorization.ts';
import type { AuditTrail } from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import { SELF_AUDIENCE } from '../core/core.ts';
import { siteOf } from '../core/http/address.ts';
import { AppError } from '../core/errors.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import type { Identity } from '../core/identity/identity.ts';
import { revokeAudited, type RevocationGuard } from '../revocation/revocation.ts';
import type { EndingReasons, Store } from '../store/store.ts';
import { artefactAdapter } from './artefact-adapter.ts';
import { audiences } from './audiences.ts';
import { createAuthorizations } from './authorizations.ts';
import { claimMinter } from './claim-minter.ts';
import { clientAddress, keepAddress } from './client-address.ts';
import { createDelegatedGrants } from './delegated-grants.ts';
import { createDeviceLimits, deviceResponse } from './device-grant.ts';
import { createDeviceRequests } from './device-requests.ts';
import { discoveryDocument } from './discovery.ts';
import type { AuthorizationServer } from './oauth.ts';
import { publicClients, unboundClientIds } from './public-clients.ts';
import type { Recheck } from './recheck.ts';
import { createTokenAudit, type SessionEnding } from './audit-events.ts';
import { createRefreshLimit, createRefreshRotation } from './refresh-rotation.ts';
import { perKeys, publicKeysResponse, type RotatingKeys } from './rotating-keys.ts';
import { thumbprintOf } from './client-certificate.ts';
import { providerSettings, resourceServer, type SettingsDeps } from './settings.ts';
import { tokenResponse } from './token-response.ts';
import type { TokenFacts } from './token-facts.ts';
import type { Outbound } from '../idp/outbound.ts';
import { metadataClients } from './delegation/client-metadata.ts';
import { assertionCheck, explainClientError } from './delegation/assertions.ts';
import {
  clientAuthMethods,
  delegationClients,
  unboundDelegationClients,
  type DelegationClient,
} from './delegation/clients.ts';
import type { ExchangeForDelegation } from './delegation/exchange.ts';
import { delegationGrant } from './delegation/grant.ts';
import { registerTokenExchange } from './token-exchange.ts';
import type { ExchangeWorkloadToken } from './workload/exchange.ts';
import { workloadGrant } from './workload/grant.ts';
import { defined } from '../core/defined.ts';
import querystring from 'node:querystring';
import { unescapeForm } from '../core/request/form.ts';

export interface AuthorizationServerDeps extends RotatingKeys {
  readonly config: Pick<
    Config,
    | 'publicUrl'
    | 'listen'
    | 'sessions'
    | 'clusters'
    | 'admin'
    | 'access'
    | 'providers'
    | 'workload'
    | 'limits'
    | 'delegation'
    | 'contact'
  >;
  readonly store: Store;
  /** One for the process: it keeps two re-checks of one session apart. */
  readonly recheck: Recheck;
  /** Absent: a user whose session a rejection has ended only learns that it is over. */
  readonly endings?: Pick<EndingReasons, 'ofKey'>;
  /** Used only where the configuration has workload rules. */
  readonly exchange: ExchangeWorkloadToken;
  /** The clients of `delegation.clients`, with their keys. */
  readonly delegationClients: readonly DelegationClient[];
  readonly exchangeForDelegation: ExchangeForDelegation;
  /** Returns requests to one host of `delegation.clientMetadata`. */
  readonly outboundTo: (host: string) => Outbound;
  readonly guard: RevocationGuard;
  readonly audit: AuditTrail;
  readonly mayUse: (cluster: string, identity: Identity) => boolean;
  /** PEM that a client should trust at the api listener; undefined: the system's roots. */
  readonly apiCa?: string;
  readonly clock: Clock;
  readonly log: { error(fields: object, message: string): void };
  readonly countRefresh: (outcome: 'ok' | 'refused' | 'unavailable') => void;
  /**
   * Counts a sign-in that is rejected because its address has started too many. @returns how many of them to audit
   * now; undefined: none
   */
  readonly tooManySignIns: (address: string) => number | undefined;
  /** Counts a workload's exchange; `rule` is a configured name, or `unknown`. */
  readonly countExchange: (rule: string, outcome: 'ok' | 'refused' | 'unavailable') => void;
  /** Renders a page for an error that happens in a browser. */
  readonly renderErrorPage: (error: AuthorizationError) => string;
}

export function createAuthorizationServer(deps: AuthorizationServerDeps): AuthorizationServer {
  const facts = new WeakMap<object, TokenFacts>();
  const factsOf = (ctx: KoaContextWithOIDC): TokenFacts => {
    const known = facts.get(ctx.req);
    if (known !== undefined) return known;
    const fresh: TokenFacts = {};
    facts.set(ctx.req, fresh);
    return fresh;
  };
  const allowedAudiences = audiences(deps.config, deps.mayUse);
  const { signInsPerMinute } = deps.config.limits;
  const unregistered = metadataClients({
    hosts: deps.config.delegation.clientMetadata.hosts,
    outboundTo: deps.outboundTo,
    limit: createRateLimiter(signInsPerMinute, deps.clock, { refill: 'each-minute' }),
  });
  const resources = deps.config.delegation.clients.map(({ resource }) => resource);
  const thirdParties = publicClients(deps.config.sessions, unregistered, resources);
  const registered = delegationClients(deps.delegationClients);
  const tokenAudit = createTokenAudit(deps);
  const endSession = async (session: string, reason: SessionEnding): Promise<void> => {
    const before = await deps.store.sessions.read(session);
    const facts = tokenAudit.ending(session, before, reason);
    // A code or a refresh token that is used a second time was stolen; a sign-out is the user's own decision.
    const order = { target: { kind: 'session', session }, ended: reason === 'sign-out' } as const;
    await revokeAudited(deps, order, facts);
    tokenAudit.sessionEnded(facts, reason);
  };
  const artefacts = artefactAdapter({
    artefacts: deps.store.artefacts,
    endSession: (session) => endSession(session, 'sign-out'),
    consumesCodes: false,
    // Only for a save that belongs to a request of a client: the pages save on behalf of a user who is known already.
    from: () => (Provider.ctx === undefined ? undefined : siteOf(clientAddress(Provider.ctx.req))),
  });
  const settings: Omit<SettingsDeps, 'jwks' | 'cookieKeys'> = {
    config: deps.config,
    audiences: allowedAudiences,
    publicClients: thirdParties,
    clientMetadata: unregistered?.settings,
    clientAuthMethods: clientAuthMethods(deps.config.delegation.clients),
    checkAssertion: assertionCheck({ artefacts: deps.store.artefacts, clock: deps.clock, factsOf }),
    adapter: (name) => (name === 'Client' ? registered.adapter : artefacts(name)),
    findAccount: accountFinder(deps, factsOf),
    extraTokenClaims: claimMinter({
      sessions: deps.store.sessions,
      guard: deps.guard,
      audiences: allowedAudiences,
      publicClients: thirdParties,
      unboundClients: new Set([
        ...unboundClientIds(deps.config.sessions),
        ...unboundDelegationClients(deps.config.delegation),
      ]),
      rotation: createRefreshRotation({
        artefacts: deps.store.artefacts,
        clock: deps.clock,
        sessionSeconds: deps.config.sessions.absolute,
      }),
      codes: deps.store.artefacts,
      endReplayed: endSession,
      factsOf,
      clock: deps.clock,
    }),
    pickAudience: async (ctx, granted) => {
      const session = grantOf(ctx);
      const found = session === undefined ? undefined : await deps.store.sessions.read(session);
      // A token for one's own sessions is only for a program that asks for it.
      const usual = granted.filter((audience) => audience !== SELF_AUDIENCE);
      const first =
        found === undefined ? undefined : usual.find((audience) => allowedAudiences.allows(audience, found));
      return first ?? granted[0] ?? '';
    },
    discovery: discoveryDocument(deps.config, deps.apiCa),
    renderError: (ctx, out, thrown) => {
      const isServerError = out.error === 'server_error';
      ctx.type = 'html';
      ctx.body = deps.renderErrorPage({
        requestId: String(ctx.res.getHeader('x-request-id') ?? ''),
        cause: isServerError ? { thrown } : { detail: out.error_description ?? out.error },
        // Not the request target as received: an attacker could name another host in it.
        ...(isServerError && ctx.method === 'GET' ? { again: ctx.path + ctx.search } : {}),
      });
    },
  };
  const limits = {
    exchange: createRateLimiter(signInsPerMinute, deps.clock, { refill: 'each-minute' }),
    device: createDeviceLimits({ signInsPerMinute, clock: deps.clock }),
  };
  const issuer = new URL(deps.config.publicUrl);
  // By the key of this connection: a refresh token does not name its session once that is gone.
  const endingMessage = async (ctx: KoaContextWithOIDC): Promise<string | undefined> => {
    const thumbprint = thumbprintOf(ctx);
    return thumbprint === undefined ? undefined : deps.endings?.ofKey(thumbprint);
  };
  const current = perKeys(deps, (keys) => {
    const provider = new Provider(deps.config.publicUrl, providerSettings({ ...settings, ...keys }));
    parseInOnePass(provider);
    const { workload, delegation, sessions } = deps.config;
    const perToken = {
      factsOf,
      resourceServer: (audience: string) => resourceServer(audience, sessions.accessToken),
    };
    if (workload.length > 0 || delegation.clients.length > 0) {
      const workloads = { audiences: allowedAudiences, exchange: deps.exchange, countExchange: deps.countExchange };
      const clients = { clients: registered, exchange: deps.exchangeForDelegation, clock: deps.clock };
      const handlers = {
        workload: workload.length === 0 ? undefined : workloadGrant(provider, { ...workloads, ...perToken }),
        delegation: delegationGrant(provider, {
          ...clients,
          ...perToken,
          accessTokenSeconds: sessions.accessToken,
        }),
      };
      registerTokenExchange(provider, handlers, { factsOf, rejectionLimit: limits.exchange });
    }
    // Our own headers contain the origin, see `pinOrigin`; headers of clients never get here.
    provider.proxy = true;
    provider.on('server_error', (ctx, error) => {
      factsOf(ctx).serverError = error;
      if (!(error instanceof AppError)) deps.log.error({ err: error }, 'authorization server error');
    });
    provider.on('grant.error', (ctx, error) => explainClientError(factsOf(ctx), error));
    provider.on('authorization.error', (ctx, error) => {
      // The pages audit their own decisions.
      if (ctx.oidc.entities.Interaction?.result?.error === undefined) tokenAudit.requestRejected(ctx, error.error);
    });
    provider.on('device_authorization.error', (ctx, error) => tokenAudit.requestRejected(ctx, error.error));
    provider.on('revocation.error', (ctx, error) => tokenAudit.requestRejected(ctx, error.error));
    const { apiCa } = deps;
    const { contact } = deps.config;
    const shared = { config: deps.config, audiences: allowedAudiences, factsOf, tokenAudit, endingMessage, contact };
    provider.use(tokenResponse({ ...shared, ...defined({ apiCa }) }));
    provider.use(deviceResponse(deps.config, { limits: limits.device, tokenAudit }));
    provider.use(publicKeysResponse(deps));
    const seams = { provider, store: deps.store, audiences: allowedAudiences, publicClients: thirdParties };
    return {
      handle: provider.callback(),
      authorizations: createAuthorizations({ ...seams, pinOrigin: (req) => pinOrigin(req, issuer) }),
      devices: createDeviceRequests(seams),
      delegate: createDelegatedGrants(provider, deps.clock, allowedAudiences),
    };
  });

  const deviceFlow = deps.config.sessions.deviceCode !== 'off';
  const apiPaths = new Set(['/-/oauth/token', '/-/oauth/revoke', ...(deviceFlow ? ['/-/oauth/device'] : [])]);

  const serve = (req: IncomingMessage, res: ServerResponse): void => {
    if (!res.hasHeader('x-request-id')) res.setHeader('x-request-id', randomUUID());
    // A sign-in or a refresh that cannot be audited must not happen.
    if (deps.audit.blocked) return auditUnavailable(res);
    pinOrigin(req, issuer);
    // An attacker's program asks for HTML, so that its rejection bypasses the audit log and the limits, which read
    // JSON. So every program gets JSON.
    if (!pathOf(req).startsWith('/oauth/authorize')) req.headers.accept = 'application/json';
    void current().handle(req, res);
  };
  return {
    authorizations: {
      pending: (...about) => current().authorizations.pending(...about),
      grant: (...about) => current().authorizations.grant(...about),
      refuse: (...about) => current().authorizations.refuse(...about),
    },
    devices: {
      find: (code) => current().devices.find(code),
      allow: (...about) => current().devices.allow(...about),
      refuse: (...about) => current().devices.refuse(...about),
    },
    delegate: (grant) => current().delegate(grant),
    handleWeb(req, res, address) {
      // The library accepts other spellings of a path (`/oauth/Device/`), which an attacker uses to bypass the
      // checks here. So only these paths pass.
      if (!WEB_PATHS.test(pathOf(req))) return notFound(res);
      withoutServerSession(req);
      keepAddress(req, address);
      serve(req, res);
    },
    handleApi(req, res) {
      // Only the endpoints of programs are here; a browser's authorization request belongs to the web listener.
      if (!apiPaths.has(pathOf(req))) return notFound(res);
      req.url = (req.url ?? '').slice('/-'.length);
      delete req.headers.cookie;
      serve(req, res);
    },
  };
}

/**
 * The endpoints on the web listener. A device uses the api listener: behind an ingress, every device and every
 * browser would have the same address here (`sameNetwork`).
 */
const WEB_PATHS =
  /^\/(?:\.well-known\/(?:openid-configuration|oauth-authorization-server)|oauth\/(?:authorize(?:\/[\w-]+)?|token|revoke|jwks))$/;

const pathOf = (req: IncomingMessage): string => (req.url ?? '').split('?', 1)[0] ?? '';

function notFound(res: ServerResponse): void {
  res.writeHead(404, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ error: 'not_found', error_description: 'There is no such endpoint here.' }));
}

function auditUnavailable(res: ServerResponse): void {
  res.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1', 'cache-control': 'no-store' });
  const error_description = 'The audit log cannot be written, so nothing is served. Tell your platform team.';
  res.end(JSON.stringify({ error: 'temporarily_unavailable', error_description }));
}

/**
 * Sets the headers that oidc-provider builds URLs from. An attacker who sets Host or X-Forwarded headers would get
 * links to their own host into responses, so they always contain our issuer's origin.
 */
function pinOrigin(req: IncomingMessage, issuer: URL): void {
  req.headers.host = issuer.host;
  req.headers['x-forwarded-proto'] = issuer.protocol.slice(0, -1);
  delete req.headers['x-forwarded-host'];
  delete req.headers['x-forwarded-for'];
}

/**
 * Removes the cookies of oidc-provider's own session. It remembers the last user, and would ask to sign out when
 * another user signs in from the same browser. Each of our sign-ins is independent, so that memory is never read
 * back.
 */
function withoutServerSession(req: IncomingMessage): void {
  const cookies = req.headers.cookie;
  if (cookies === undefined) return;
  const kept = cookies.split(/;\s*/).filter((cookie) => !/^(?:__Secure-)?portcullis_server(?:\.sig)?=/.test(cookie));
  if (kept.length === 0) delete req.headers.cookie;
  else req.headers.cookie = kept.join('; ');
}

const grantOf = (ctx: KoaContextWithOIDC): string | undefined => {
  const { AuthorizationCode, DeviceCode, RefreshToken } = ctx.oidc.entities;
  return (RefreshToken ?? AuthorizationCode ?? DeviceCode)?.grantId;
};

/** Returns the account of a token; at a refresh, after a re-check at its provider. */
function accountFinder(deps: AuthorizationServerDeps, factsOf: (ctx: KoaContextWithOIDC) => TokenFacts) {
  const tokenAudit = createTokenAudit(deps);
  const mayRefresh = createRefreshLimit(deps.clock);
  return async (ctx: KoaContextWithOIDC, accountId: string, token?: unknown) => {
    const account = { accountId, claims: () => ({ sub: accountId }) };
    const session = (token as { grantId?: string } | undefined)?.grantId;
    if (ctx.oidc.route !== 'token' || ctx.oidc.params?.['grant_type'] !== 'refresh_token' || session === undefined) {
      return account;
    }
    const isBound = ctx.oidc.entities.RefreshToken?.isSenderConstrained() !== false;
    if (!mayRefresh({ session, account: accountId, isBound })) {
      factsOf(ctx).rejection = 'too_many_refreshes';
      factsOf(ctx).message =
        'This session, or those of its user together, asks for tokens too often. Try again in a minute.';
      ctx.set('retry-after', '60');
      throw new errors.OIDCProviderError(429, 'temporarily_unavailable');
    }
    const outcome = await deps.recheck(session).catch(async (error: unknown) => {
      // The provider was asked about a session that is known, so the audit event can name it, its user and the
      // provider.
      const known = error instanceof AppError && error.code === 'provider_unavailable';
      const read = known ? await deps.store.sessions.read(session).catch(() => undefined) : undefined;
      if (read !== undefined) factsOf(ctx).record = read;
      throw error;
    });
    switch (outcome.kind) {
      case 'same':
        return account;
      case 'changed':
        tokenAudit.identityChanged(ctx, outcome.record);
        return account;
      case 'gone':
        factsOf(ctx).rejection = 'session_unknown';
        return undefined;
      case 'refused':
        factsOf(ctx).rejection = outcome.reason;
        factsOf(ctx).message = outcome.message;
        // Of a delegated session, the result is about the user's own one, whose end ends all beneath it.
        factsOf(ctx).record =
          outcome.record.id === session
            ? outcome.record
            : ((await deps.store.sessions.read(session)) ?? outcome.record);
        await revokeAudited(
          deps,
          { target: { kind: 'session', session: outcome.record.id }, asksFreshSignIn: outcome.asksFreshSignIn },
          tokenAudit.rejection(ctx, factsOf(ctx)),
        );
        return undefined;
    }
  };
}

/** To be called before the provider's first request. */
function parseInOnePass({ request }: Pick<Provider, 'request'>): void {
  // An attacker sends names that are not UTF-8, each of which is an exception in Node's own decoder. Node's
  // documentation has this way to replace it for all who parse a form by `querystring`, as the library does.
  Object.assign(querystring, { unescape: unescapeForm });
  // An attacker sends one name six thousand times (`?a&a&a…`). Koa's own parser goes through all of them for each, which
  // takes half a second for a query of 12 kB.
  Object.defineProperty(request, 'query', {
    get(this: typeof request): querystring.ParsedUrlQuery {
      const value = querystring.parse(this.querystring);
      Object.defineProperty(this, 'query', { value });
      return value;
    },
  });
}
