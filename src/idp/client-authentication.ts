/**
 * How we authenticate at the token endpoint (RFC 6749 §2.3): by a secret, a signed assertion (RFC 7523), a client
 * certificate (RFC 8705), or not at all, since every client uses PKCE.
 *
 * Owns: the client's credentials on requests to the token endpoint, and on no others. Must not know where secrets
 * and keys are kept.
 */
import * as oidc from 'openid-client';
import type { AssertionAlg, ClientKey } from '../config/config.ts';
import { formEncoded } from './form-encoding.ts';
import { createOutbound, type CertificatePair, type Outbound, type OutboundOptions } from './outbound.ts';
import { noteTries } from './provider-response.ts';
import { limitedToStep } from './step-limit.ts';
import { defined } from '../core/defined.ts';

/** A method that the configuration names. No weaker one is ever tried in its place. */
export type ChosenMethod =
  | { readonly method: 'basic' | 'post' | 'none' }
  | { readonly method: 'private_key_jwt'; readonly key: () => ClientKey }
  | { readonly method: 'tls_client_auth'; readonly certificate: () => CertificatePair };

export interface ClientAuthenticationOptions {
  readonly name: string;
  readonly clientId: string;
  /** Called at each use, so that a rotated secret needs no restart. Absent: there is none. */
  readonly clientSecret?: () => string;
  /** Absent: by the secret, in the way that the provider accepts; a public client where there is none. */
  readonly clientAuth?: ChosenMethod;
  /** The audience of client assertions. Absent: the issuer. */
  readonly assertionAudience?: 'issuer' | 'token_endpoint';
  readonly log?: { info(fields: object, message: string): void };
}

export interface ClientAuthentication {
  /**
   * The parameters that openid-client puts into the form. A secret is not among them: it is added at the token
   * endpoint alone.
   */
  readonly method: oidc.ClientAuth;
  /** Returns the metadata with the token endpoint at which this client is known (RFC 8705 §5). */
  at(metadata: oidc.ServerMetadata): oidc.ServerMetadata;
  /** Returns requests to this provider, of which those to its token endpoint authenticate the client. */
  proving(outbound: Outbound, metadata: oidc.ServerMetadata): Outbound;
}

/** @param outboundOptions where requests may go; the same limits apply to those with a client certificate */
export function createClientAuthentication(
  options: ClientAuthenticationOptions,
  outboundOptions: OutboundOptions,
): ClientAuthentication {
  const { clientSecret, clientAuth = { method: 'secret' as const } } = options;
  const publicClient: ClientAuthentication = { method: oidc.None(), at: same, proving: onlyRejections };
  switch (clientAuth.method) {
    case 'secret':
      return clientSecret === undefined
        ? publicClient
        : { ...publicClient, proving: bySecret(options, clientSecret, listedBy) };
    case 'basic':
    case 'post': {
      if (clientSecret === undefined) throw new Error(`${options.name}: ${clientAuth.method} needs a client secret`);
      const only = [clientAuth.method];
      return { ...publicClient, proving: bySecret(options, clientSecret, () => only) };
    }
    case 'none':
      return publicClient;
    case 'private_key_jwt':
      return { ...publicClient, method: byAssertion(clientAuth.key, options.assertionAudience) };
    case 'tls_client_auth': {
      const presenting = limitedToStep(createOutbound({ ...outboundOptions, certificate: clientAuth.certificate }));
      return {
        method: oidc.TlsClientAuth(),
        at: (metadata) => {
          const token_endpoint = metadata.mtls_endpoint_aliases?.token_endpoint ?? metadata.token_endpoint;
          return { ...metadata, ...defined({ token_endpoint }) };
        },
        // The certificate identifies the client. UserInfo and the keys do not need it, so they are requested
        // without it.
        proving: (outbound, metadata) => atTokenEndpoint(metadata, outbound, withNormalizedErrors(presenting)),
      };
    }
  }
}

const same = (metadata: oidc.ServerMetadata): oidc.ServerMetadata => metadata;

const onlyRejections: ClientAuthentication['proving'] = (outbound, metadata) =>
  atTokenEndpoint(metadata, outbound, withNormalizedErrors(outbound));

const withNormalizedErrors =
  (outbound: Outbound): Outbound =>
  async (url, request) =>
    (await normalized(await outbound(url, request))).response;

/**
 * A provider that gives UserInfo or its keys the address of the token endpoint gets no credential by that: only
 * POST requests have one.
 */
function atTokenEndpoint(metadata: oidc.ServerMetadata, elsewhere: Outbound, there: Outbound): Outbound {
  const endpoint = URL.parse(metadata.token_endpoint ?? '')?.href;
  return (url, request) => (request.method === 'POST' && url === endpoint ? there : elsewhere)(url, request);
}

type SecretMethod = 'basic' | 'post';

/** As providers and their discovery documents write them. */
const NAMES: Readonly<Record<SecretMethod, string>> = { basic: 'client_secret_basic', post: 'client_secret_post' };

/** `client_secret_basic` is the default of RFC 8414 §2 where a provider does not say. */
function listedBy(metadata: oidc.ServerMetadata): readonly SecretMethod[] {
  const listed = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  if (!listed.includes('client_secret_post')) return ['basic'];
  return listed.includes('client_secret_basic') ? ['basic', 'post'] : ['post'];
}

/**
 * Authenticates by the secret, in one way and, if the provider does not know us by it, in the other one that it
 * lists.
 *
 * Many list `client_secret_basic` and compare the text without the decoding of RFC 6749 §2.3.1; others list it for
 * the server, and accept only the method that the client is registered with. Neither is visible beforehand. Both
 * show the secret itself to the same address, so neither is weaker. The second try is within the same call, since
 * a code and a refresh token may be used once: a provider that does not know the client has not looked at them.
 * There is never a third, which some would count as theft.
 */
function bySecret(
  { name, clientId, log }: ClientAuthenticationOptions,
  secret: () => string,
  offered: (metadata: oidc.ServerMetadata) => readonly SecretMethod[],
): ClientAuthentication['proving'] {
  let worked: SecretMethod | undefined;
  let logged = false;
  return (outbound, metadata) =>
    atTokenEndpoint(metadata, outbound, async (url, request) => {
      const methods = offered(metadata);
      const [first = 'basic', second] = worked === 'post' ? methods.toReversed() : methods;
      const ask = async (method: SecretMethod): Promise<Normalized> =>
        normalized(await outbound(url, { ...request, ...proofOf(method, { clientId, secret: secret() }, request) }));
      const { response, rejected } = await ask(first);
      const tries = [`${NAMES[first]}: ${response.status}`];
      if (!rejected) return response;
      if (second === undefined) return noteTries(response, tries);
      // Set before the request: if its response is lost, the next request must not begin with the method that was
      // rejected.
      worked = second;
      const again = await ask(second);
      tries.push(`${NAMES[second]}: ${again.response.status}`);
      if (again.rejected) worked = undefined;
      else if (second === 'post' && !logged) {
        logged = true;
        log?.info({ provider: name }, 'identity provider rejects client_secret_basic, using client_secret_post');
      }
      return again.rejected ? noteTries(again.response, tries) : again.response;
    });
}

type Request = Parameters<Outbound>[1];

/** Returns the form and the headers of a request with the secret in one of the two. */
function proofOf(
  method: SecretMethod,
  { clientId, secret }: { readonly clientId: string; readonly secret: string },
  { body, headers }: Request,
): Pick<Request, 'body' | 'headers'> {
  const form = new URLSearchParams(body instanceof URLSearchParams ? body : undefined);
  if (method === 'post') {
    form.set('client_id', clientId);
    form.set('client_secret', secret);
    return { body: form, headers };
  }
  // RFC 6749 §2.3: one method in a request. Some providers take a client_id in the form for a second one.
  form.delete('client_id');
  const credentials = btoa(`${formEncoded(clientId)}:${formEncoded(secret)}`);
  return { body: form, headers: { ...headers, authorization: `Basic ${credentials}` } };
}

/**
 * `private_key_jwt` (OpenID Connect Core §9): a new signature for each request, with a unique id (`jti`), valid
 * for a minute.
 *
 * An attacker who runs one of our providers names another's token endpoint as its own, and uses our assertion
 * there. So an assertion is for the issuer, which discovery must name exactly as it is configured
 * (draft-ietf-oauth-rfc7523bis). Okta and Entra still require the token endpoint, which is on a host of that
 * provider, or nothing is sent at all.
 */
function byAssertion(key: () => ClientKey, audience: 'issuer' | 'token_endpoint' = 'issuer'): oidc.ClientAuth {
  return (as, client, body, headers) => {
    const { algs, kid, thumbprint, ...own } = key();
    const takes = as.token_endpoint_auth_signing_alg_values_supported;
    const alg = algs.find((each) => takes?.includes(each)) ?? algs[0];
    const signs = {
      key: own.key.toCryptoKey(ALGORITHMS[alg], false, ['sign']),
      ...defined({ kid }),
    };
    const proof = oidc.PrivateKeyJwt(signs, {
      [oidc.modifyAssertion]: (header, payload) => {
        // openid-client uses the name of RFC 9864 for EdDSA, which fewer providers know.
        header['alg'] = alg;
        if (thumbprint !== undefined) header['x5t#S256'] = thumbprint;
        if (audience === 'token_endpoint' && as.token_endpoint !== undefined) payload['aud'] = as.token_endpoint;
      },
    });
    return proof(as, client, body, headers);
  };
}

const ALGORITHMS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  EdDSA: { name: 'Ed25519' },
} as const satisfies Record<AssertionAlg, object>;

interface Normalized {
  readonly response: Response;
  /** The provider does not accept our credentials. */
  readonly rejected: boolean;
}

/**
 * Keycloak and Auth0 send some of these for `invalid_client` (RFC 6749 §5.2). With another status these are about
 * something else.
 */
const REJECTED_AT_401: readonly unknown[] = ['invalid_client', 'unauthorized_client', 'access_denied', undefined];

/**
 * Detects a response that says that the client is not known: 400 or 401, with or without a challenge, with or
 * without a description. It is put into one form, since openid-client reads nothing but the challenge where there
 * is one, and would report an unreachable provider.
 */
async function normalized(response: Response): Promise<Normalized> {
  const { status } = response;
  if (status !== 400 && status !== 401) return { response, rejected: false };
  const original: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  const { error, error_description: description } = fieldsOf(original);
  const rejected = status === 401 ? REJECTED_AT_401.includes(error) : error === 'invalid_client';
  if (!rejected) return { response, rejected };
  const parts = [error === 'invalid_client' ? undefined : error, description].filter(
    (each) => typeof each === 'string',
  );
  const body = { error: 'invalid_client', ...(parts.length === 0 ? {} : { error_description: parts.join(': ') }) };
  return { response: Response.json(body, { status }), rejected };
}

const fieldsOf = (body: unknown): { readonly error?: unknown; readonly error_description?: unknown } =>
  typeof body === 'object' && body !== null ? body : {};
