/** The settings of oidc-provider. Each one that is not the library's default has its reason beside it. */
import {
  errors,
  interactionPolicy,
  type ClientMetadata,
  type Configuration,
  type JWKS,
  type KoaContextWithOIDC,
  type ResourceServer,
} from 'oidc-provider';
import { PLUGIN_CLIENT_ID } from '../core/core.ts';
import { CLIENT_ASSERTION_ALGS } from '../core/credential/client-keys.ts';
import type { Config } from '../config/config.ts';
import { SCOPE, type Audiences } from './audiences.ts';
import { certificateOf, thumbprintOf } from './client-certificate.ts';
import type { MetadataClients } from './delegation/client-metadata.ts';
import type { clientAuthMethods } from './delegation/clients.ts';
import { DEVICE_CODE_SECONDS, deviceInfo } from './device-grant.ts';
import { assertDeviceName, DEVICE_NAME } from './device-name.ts';
import { DEVICE_CODE_GRANT } from './token-facts.ts';
import { assertShortParameters } from './parameter-limits.ts';
import type { PublicClients } from './public-clients.ts';
import { TOKEN_EXCHANGE, WORKLOAD_CLIENT } from './grant-type.ts';
import { defined } from '../core/defined.ts';

/** Seconds. Each is no longer than the step that it covers. */
const LIFETIME = {
  /** Between the redirect to the plugin and its token request, both by programs. */
  authorizationCode: 60,
  /** A user at the provider's pages, perhaps looking for a second factor. */
  interaction: 600,
  /** oidc-provider's own browser session, which we do not use (see `withoutServerSession`). */
  serverSession: 60,
};

const ROUTES = {
  authorization: '/oauth/authorize',
  token: '/oauth/token',
  revocation: '/oauth/revoke',
  jwks: '/oauth/jwks',
  device_authorization: '/oauth/device',
  // Only its name is the library's: the page is ours, and no request to it comes here.
  code_verification: '/device',
} as const;

export interface SettingsDeps {
  readonly config: Pick<Config, 'publicUrl' | 'listen' | 'sessions' | 'workload'>;
  readonly audiences: Audiences;
  readonly publicClients: PublicClients;
  /** How clients authenticate at our endpoints. */
  readonly clientAuthMethods: ReturnType<typeof clientAuthMethods>;
  /** Absent: no client by its metadata document. */
  readonly clientMetadata?: MetadataClients['settings'] | undefined;
  readonly checkAssertion: NonNullable<Configuration['assertJwtClientAuthClaimsAndHeader']>;
  readonly jwks: JWKS;
  readonly cookieKeys: readonly string[];
  readonly adapter: NonNullable<Configuration['adapter']>;
  readonly findAccount: NonNullable<Configuration['findAccount']>;
  readonly extraTokenClaims: NonNullable<Configuration['extraTokenClaims']>;
  readonly renderError: NonNullable<Configuration['renderError']>;
  /** Chooses the audience of a token request without `resource`, of several granted ones. */
  readonly pickAudience: (ctx: KoaContextWithOIDC, granted: readonly string[]) => Promise<string>;
  readonly discovery: Record<string, unknown>;
}

export function providerSettings(deps: SettingsDeps): Configuration {
  const secure = deps.config.publicUrl.startsWith('https:');
  const prefix = secure ? '__Secure-' : '';
  const deviceFlow = deps.config.sessions.deviceCode !== 'off';
  const cookie = { httpOnly: true, sameSite: 'lax', secure, signed: true } as const;
  return {
    adapter: deps.adapter,
    jwks: deps.jwks,
    routes: ROUTES,
    clients: [
      pluginClient(deps.config.sessions),
      ...deps.publicClients.metadata,
      ...(deps.config.workload.length === 0 ? [] : [workloadClient]),
    ],
    // A document of a client seldom has the two others; the library's own would be a secret, and fixed ports.
    clientDefaults: {
      id_token_signed_response_alg: 'ES256',
      ...(deps.clientMetadata === undefined ? {} : { token_endpoint_auth_method: 'none', application_type: 'native' }),
    },
    ...defined({ fetch: deps.clientMetadata?.fetch }),
    clientAuthMethods: deps.clientAuthMethods,
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256'],
      ...(deps.clientAuthMethods.includes('private_key_jwt')
        ? { clientAuthSigningAlgValues: [...CLIENT_ASSERTION_ALGS] }
        : {}),
    },
    assertJwtClientAuthClaimsAndHeader: deps.checkAssertion,
    responseTypes: ['code'],
    scopes: [],
    claims: {},
    // The library calls this for each authorization request, including a device's, whether it has the parameter or
    // not.
    extraParams: { provider: readParameters, [DEVICE_NAME]: assertDeviceName },
    clientBasedCORS: () => false,
    cookies: {
      keys: [...deps.cookieKeys],
      names: {
        session: `${prefix}portcullis_server`,
        interaction: `${prefix}portcullis_interaction`,
        resume: `${prefix}portcullis_resume`,
      },
      long: { ...cookie, path: ROUTES.authorization },
      short: cookie,
    },
    ttl: {
      AccessToken: deps.config.sessions.accessToken,
      AuthorizationCode: LIFETIME.authorizationCode,
      DeviceCode: DEVICE_CODE_SECONDS,
      Grant: deps.config.sessions.absolute,
      // Verified once, when it is received; nothing here accepts it as a credential.
      IdToken: deps.config.sessions.accessToken,
      Interaction: LIFETIME.interaction,
      RefreshToken: deps.config.sessions.absolute,
      Session: LIFETIME.serverSession,
    },
    features: {
      claimsParameter: { enabled: false },
      ...defined({ clientIdMetadataDocument: deps.clientMetadata?.feature }),
      devInteractions: { enabled: false },
      // 20^8 codes, without vowels and without letters that look alike.
      deviceFlow: { enabled: deviceFlow, charset: 'base-20', mask: '****-****', deviceInfo },
      dPoP: { enabled: false },
      introspection: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      userinfo: { enabled: false },
      revocation: { enabled: true, allowedPolicy: mayRevoke },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: deps.clientAuthMethods.includes('self_signed_tls_client_auth'),
        getCertificate: (ctx) => certificateOf(ctx),
      },
      resourceIndicators: resourceIndicators(deps),
    },
    interactions: { policy: alwaysSignIn(), url: (_ctx, interaction) => `/login/${interaction.uid}` },
    loadExistingGrant: async (ctx) => {
      const grantId = ctx.oidc.result?.consent?.grantId;
      return grantId === undefined ? undefined : ctx.oidc.provider.Grant.find(grantId);
    },
    // Our sessions end by our own rules, never because a browser has lost a cookie.
    expiresWithSession: () => false,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    // The default rotates bound tokens too; a refresh token that is worth nothing without its key need not rotate
    // (docs/architecture.md#invariant-8).
    rotateRefreshToken: (ctx) => ctx.oidc.entities.RefreshToken?.isSenderConstrained() !== true,
    revokeGrantPolicy: () => true,
    findAccount: deps.findAccount,
    extraTokenClaims: deps.extraTokenClaims,
    renderError: deps.renderError,
    discovery: deps.discovery,
    pkce: { required: () => true },
  };
}

function readParameters(ctx: KoaContextWithOIDC): void {
  assertShortParameters(ctx);
  // A client that names no scope of ours gets the only one (RFC 6749 §3.3): an MCP client names those that its server
  // told it about. Without one the library would reject the request after the user has signed in.
  const { params } = ctx.oidc;
  const named = typeof params?.['scope'] === 'string' ? params['scope'].split(' ') : [];
  if (params !== undefined && !named.includes(SCOPE)) params['scope'] = [...named, SCOPE].join(' ');
}

const pluginClient = ({ binding, deviceCode }: Config['sessions']): ClientMetadata => ({
  client_id: PLUGIN_CLIENT_ID,
  client_name: 'kubectl',
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  // RFC 8252 §7.3: any port on the loopback address; `localhost` is left out because it can resolve elsewhere (§8.3).
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
  grant_types: ['authorization_code', 'refresh_token', ...(deviceCode === 'off' ? [] : [DEVICE_CODE_GRANT])],
  response_types: ['code'],
  tls_client_certificate_bound_access_tokens: binding === 'required',
});

const workloadClient = {
  client_id: WORKLOAD_CLIENT,
  client_name: 'workload',
  token_endpoint_auth_method: 'none',
  redirect_uris: [],
  grant_types: [TOKEN_EXCHANGE],
  response_types: [],
  tls_client_certificate_bound_access_tokens: true,
} as const satisfies NonNullable<Configuration['clients']>[number] | Record<string, unknown>;

/**
 * Makes every authorization request require a sign-in at the provider: no memory of the last one, and no consent
 * page for our own client.
 */
function alwaysSignIn(): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base();
  policy
    .get('login')
    ?.checks.add(
      new interactionPolicy.Check(
        'fresh_sign_in',
        'sign-in at the identity provider is required',
        'login_required',
        (ctx) => ctx.oidc.result?.login === undefined,
      ),
    );
  policy.get('consent')?.checks.clear();
  return policy;
}

function resourceIndicators(deps: SettingsDeps): NonNullable<Configuration['features']>['resourceIndicators'] {
  const known = new Set(deps.audiences.all);
  return {
    enabled: true,
    // Without `resource` an authorization request asks for everything that its client may ask for; each mint then
    // checks the one audience that it is for.
    defaultResource: async (ctx, client, granted) => {
      if (granted !== undefined) return deps.pickAudience(ctx, granted);
      const [first, ...others] = deps.publicClients.audiencesOf(client.clientId) ?? deps.audiences.all;
      // A client that no one has registered has to say which program it wants, since its user is asked about that.
      if (first === undefined || deps.publicClients.isUnregistered(client.clientId)) throw new errors.InvalidTarget();
      return others.length === 0 ? first : [first, ...others];
    },
    useGrantedResource: () => true,
    getResourceServerInfo: (_ctx, resource, client) => {
      const isAllowed = deps.publicClients.audiencesOf(client.clientId)?.includes(resource) ?? true;
      if (!known.has(resource) || !isAllowed) throw new errors.InvalidTarget();
      return resourceServer(resource, deps.config.sessions.accessToken);
    },
  };
}

/** The format of an access token for one audience (RFC 9068). @param life seconds */
export const resourceServer = (audience: string, life: number): ResourceServer => ({
  scope: SCOPE,
  audience,
  accessTokenTTL: life,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'ES256' } },
});

/** A client may revoke only its own tokens (RFC 7009 §2.1), and a bound token only with its key. */
const mayRevoke: NonNullable<NonNullable<NonNullable<Configuration['features']>['revocation']>['allowedPolicy']> = (
  ctx,
  client,
  token,
) => {
  if (token.clientId !== client.clientId) return false;
  const bound = (token as { 'x5t#S256'?: string })['x5t#S256'];
  return bound === undefined || bound === thumbprintOf(ctx);
};
