/**
 * How the token endpoint of a test's provider knows its client, as switches: what real ones do that no standard has, and oidc-provider does
 * not do by itself. What the switches let through is checked by oidc-provider as it should be.
 */
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { ClientMetadata, Configuration } from 'oidc-provider';

type Method = 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | 'tls_client_auth' | 'none';

/** How a provider says that it does not know a client: RFC 6749 §5.2 has the first; the others are seen as well. */
export const REJECTIONS = {
  '401 with a challenge': { status: 401, error: 'invalid_client', challenge: true },
  '401 without a challenge': { status: 401, error: 'invalid_client' },
  '400 without a challenge': { status: 400, error: 'invalid_client' },
  '400 with a challenge': { status: 400, error: 'invalid_client', challenge: true },
  '401 with a challenge alone': { status: 401, challenge: true },
  // Keycloak before version 22, and Auth0.
  '401 and unauthorized_client': { status: 401, error: 'unauthorized_client' },
  '401 and access_denied': { status: 401, error: 'access_denied' },
} as const satisfies Readonly<Record<string, Rejection>>;

export interface Rejection {
  readonly status: 400 | 401;
  readonly error?: string;
  readonly challenge?: true;
}

export interface ClientTraits {
  /** Of the registered client; absent: `CLIENT.secret`. */
  readonly secret?: string;
  /** The one method of the registered client; absent: its secret, in the header or in the form. */
  readonly method?: 'private_key_jwt' | 'tls_client_auth' | 'none';
  /** `token_endpoint_auth_methods_supported`. */
  readonly lists: readonly Method[];
  /** Public keys of a client that signs. */
  readonly keys?: NonNullable<ClientMetadata['jwks']>['keys'];
  readonly tls?: {
    readonly server: { readonly ca: string; readonly cert: string; readonly key: string };
    /** The CA that signs client certificates. */
    readonly clientCa: string;
    /** Certificates are asked for at its own listener (`mtls_endpoint_aliases`), and not at the issuer's. */
    readonly alias?: true;
  };
}

/** May be thrown while it runs. */
export interface ClientSwitches {
  /** Basic is compared as received, without the decoding of RFC 6749 §2.3.1. */
  rawBasic?: boolean;
  /** A client that uses this is rejected, whatever it presents. */
  refusesBasic?: Rejection | undefined;
  refusesPost?: Rejection | undefined;
}

/** One request to the token endpoint. */
export interface TokenRequest {
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
  /** `CN` of the client certificate that was shown. */
  readonly certificate: string | undefined;
  /** Of the same: SHA-256, as `X509Certificate` writes it. */
  readonly fingerprint: string | undefined;
}

export const SUBJECT = 'CN=portcullis';

/** What oidc-provider has to know of the client. */
export function clientSettings(traits: ClientTraits): {
  readonly client: Partial<ClientMetadata>;
  readonly configuration: Configuration;
} {
  const { method, lists, keys } = traits;
  return {
    client: {
      token_endpoint_auth_method: method ?? lists[0] ?? 'client_secret_basic',
      ...(keys === undefined ? {} : { jwks: { keys: [...keys] } }),
      ...(method === 'tls_client_auth' ? { tls_client_auth_subject_dn: SUBJECT } : {}),
    },
    configuration: {
      clientAuthMethods: [...lists],
      ...(lists.includes('tls_client_auth') ? { features: { mTLS } } : {}),
    },
  };
}

const peerOf = (req: IncomingMessage) => {
  const peer = 'getPeerCertificate' in req.socket ? (req.socket as TLSSocket).getPeerCertificate() : undefined;
  return peer?.raw === undefined ? undefined : peer;
};

export const showsCertificate = (req: IncomingMessage): boolean => peerOf(req) !== undefined;

const mTLS: NonNullable<Configuration['features']>['mTLS'] = {
  enabled: true,
  tlsClientAuth: true,
  getCertificate: ({ req }) => {
    const peer = peerOf(req);
    return peer === undefined ? undefined : new X509Certificate(peer.raw).toString();
  },
  certificateAuthorized: ({ req }) => (req.socket as TLSSocket).authorized,
  certificateSubjectMatches: ({ req }, _property, expected) => `CN=${String(peerOf(req)?.subject.CN)}` === expected,
};

/** Of the listener at which client certificates are asked for. */
export const askingForCertificates = ({ server, clientCa }: NonNullable<ClientTraits['tls']>): ServerOptions => ({
  cert: server.cert,
  key: server.key,
  ca: clientCa,
  requestCert: true,
  // The token endpoint rejects a client that shows no certificate, or another client's.
  rejectUnauthorized: false,
});

/**
 * Reads a token request, for oidc-provider too.
 * @returns what it shows, and whether it may go on: where not, it has been answered
 */
export async function throughSwitches(
  req: IncomingMessage & { body?: string },
  res: ServerResponse,
  {
    rawBasic = false,
    refusesBasic,
    refusesPost,
    secret,
    id,
  }: ClientSwitches & { readonly secret: string; readonly id: string },
): Promise<TokenRequest & { readonly goesOn: boolean }> {
  let text = '';
  for await (const chunk of req) text += String(chunk);
  req.body = text;
  const form = new URLSearchParams(text);
  const { authorization } = req.headers;
  const isBasic = authorization?.startsWith('Basic ') === true;
  const raw = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64').toString();
  const rejection =
    (isBasic ? refusesBasic : undefined) ??
    (form.has('client_secret') ? refusesPost : undefined) ??
    (isBasic && rawBasic && raw !== `${id}:${secret}` ? REJECTIONS['401 with a challenge'] : undefined);
  if (rejection !== undefined) refuse(res, rejection);
  // It was right as received; oidc-provider would decode it.
  else if (isBasic && rawBasic)
    req.headers.authorization = `Basic ${btoa([id, secret].map(encodeURIComponent).join(':'))}`;
  const { subject, fingerprint256: fingerprint } = peerOf(req) ?? {};
  const certificate = subject === undefined ? undefined : String(subject.CN);
  return { authorization, form, certificate, fingerprint, goesOn: rejection === undefined };
}

function refuse(res: ServerResponse, { status, error, challenge }: Rejection): void {
  res.writeHead(status, {
    ...(challenge === true ? { 'www-authenticate': 'Basic realm="idp"' } : {}),
    ...(error === undefined ? {} : { 'content-type': 'application/json' }),
  });
  res.end(error === undefined ? '' : JSON.stringify({ error, error_description: 'who are you?' }));
}
