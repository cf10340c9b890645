/** Revokes the refresh tokens of a probe at the provider (RFC 7009), so that nothing of its sign-in is left there. */
import * as oidc from 'openid-client';
import { createClientAuthentication } from '../client-authentication.ts';
import { createOutbound, isLoopbackHost, type OutboundOptions } from '../outbound.ts';
import { readErrorResponse } from '../provider-response.ts';
import { inOneStep, limitedToStep } from '../step-limit.ts';
import { assertionAudienceOf, type VendorProviderOptions } from '../vendors/vendors.ts';
import { hostErrors } from './advertised.ts';
import { connectionMessage } from './connection.ts';
import { textIn, type Metadata } from './metadata.ts';
import { optional, short, type ProbeRow } from './row.ts';
import { defined } from '../../core/defined.ts';

const CHECK = 'tokens revoked';

interface RevocationRequest {
  readonly options: VendorProviderOptions;
  readonly outboundOptions: OutboundOptions;
  readonly metadata: Metadata;
  /** The newest of each sign-in: a provider takes a rotated one for stolen, and ends more than this sign-in. */
  readonly refreshTokens: readonly string[];
  readonly redacted: (text: string) => string;
}

export async function revocationRow(request: RevocationRequest): Promise<ProbeRow> {
  const { options, outboundOptions, metadata, refreshTokens, redacted } = request;
  if (refreshTokens.length === 0) return optional.works(CHECK, 'no refresh token came, so there is none to revoke');
  const count = `${refreshTokens.length} refresh token(s)`;
  const endpoint = endpointOf(metadata, options.clientAuth?.method === 'tls_client_auth');
  if (endpoint === undefined) {
    return optional.unknown(
      CHECK,
      `it lists no revocation_endpoint: ${count} of this sign-in stay valid there, and are kept nowhere here`,
      'End this session at the provider, as the user or as its administrator, if that matters.',
    );
  }
  const action = `${count} of this sign-in may stay valid there; they are kept nowhere here. End the session at the provider.`;
  // An attacker who changes its metadata would be sent our secret and the tokens.
  const [elsewhere] = hostErrors(endpoint, outboundOptions);
  if (elsewhere !== undefined) return optional.fails(CHECK, elsewhere.message, action);
  try {
    const config = clientAt(endpoint, request);
    for (const token of refreshTokens) {
      await inOneStep(() => oidc.tokenRevocation(config, token, { token_type_hint: 'refresh_token' }));
    }
    return optional.works(CHECK, `${count}, at its revocation endpoint (RFC 7009)`);
  } catch (thrown) {
    const error = await readErrorResponse(thrown, [...refreshTokens, options.clientSecret?.()]);
    const seen = error === thrown ? connectionMessage(thrown) : error.message;
    return optional.fails(CHECK, short(redacted(seen), 300), action);
  }
}

/** RFC 8705 §5. */
function endpointOf(metadata: Metadata, mutualTls: boolean): string | undefined {
  const aliases = mutualTls ? metadata['mtls_endpoint_aliases'] : undefined;
  const alias = typeof aliases === 'object' && aliases !== null ? { ...aliases } : {};
  return URL.parse(textIn(alias, 'revocation_endpoint') ?? textIn(metadata, 'revocation_endpoint') ?? '')?.href;
}

/**
 * Creates the client that proves itself at this endpoint as it does at the token endpoint. The metadata is what this
 * provider's sign-in has used, and only addresses of the provider are asked (`outbound.ts`).
 */
function clientAt(endpoint: string, { options, outboundOptions, metadata }: RevocationRequest): oidc.Configuration {
  const audience = assertionAudienceOf(options);
  const client = createClientAuthentication(
    { ...options, ...defined({ assertionAudience: audience }) },
    outboundOptions,
  );
  const server = {
    issuer: textIn(metadata, 'issuer') ?? options.issuer,
    token_endpoint: endpoint,
    revocation_endpoint: endpoint,
    ...listsOf(metadata),
  };
  const config = new oidc.Configuration(server, options.clientId, undefined, client.method);
  config[oidc.customFetch] = client.proving(limitedToStep(createOutbound(outboundOptions)), server);
  const { protocol, hostname } = outboundOptions.issuer;
  if (protocol === 'http:' && isLoopbackHost(hostname)) oidc.allowInsecureRequests(config);
  return config;
}

/** RFC 8414 §2. Absent: as at the token endpoint. */
function listsOf(metadata: Metadata): Partial<oidc.ServerMetadata> {
  const list = (name: string): string[] | undefined => {
    const value = metadata[`revocation_${name}`] ?? metadata[`token_${name}`];
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : undefined;
  };
  const methods = list('endpoint_auth_methods_supported');
  const algorithms = list('endpoint_auth_signing_alg_values_supported');
  return defined({
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: algorithms,
  });
}
