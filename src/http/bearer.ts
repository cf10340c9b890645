/** Programs with a Bearer token at the api listener, which is bound to the client certificate of their connection. */
import type { IncomingMessage } from 'node:http';
import type { Caller, Credential } from '../core/credential/credential.ts';
import { peerCertificate, type TlsPeer } from '../core/credential/peer-certificate.ts';
import { certificateThumbprint } from '../core/credential/thumbprint.ts';
import { AppError } from '../core/errors.ts';
import { ok, type Result } from '../core/result.ts';
import { defined } from '../core/defined.ts';
import { fencedError } from './error-status.ts';
import type { Actor } from './request-context.ts';
import { registerFor, type FlightGuard } from './revocable-response.ts';

export const unauthenticated = (message: string, reason: string): AppError =>
  new AppError('unauthenticated', message, { reason });

/** Verifies an access token as the data plane does. `reason` is for the audit log only. */
export type Authenticate<C> = (request: {
  readonly token: string;
  readonly audience: string;
  /** SHA-256 of the connection's client certificate, base64url. */
  readonly thumbprint: string | undefined;
}) => Promise<Result<C, string>>;

interface Asked<C> {
  readonly authenticate: Authenticate<C>;
  readonly audience: string;
  /** What the token is for, for messages: `the admin API`. */
  readonly what: string;
  readonly binding: 'required' | 'off';
  /** Returns the caller for an error of the authentication, or throws it. Default: it is thrown. */
  readonly orElse?: (thrown: unknown) => C;
}

/**
 * Asserts that the credential of a caller is valid still.
 * @throws AppError `unauthenticated`, `fenced`
 */
function assertCredential(guard: { check(credential: Credential): string | undefined }, credential: Credential): void {
  const rejection = guard.check(credential);
  if (rejection === 'fenced') throw fencedError();
  if (rejection !== undefined) throw unauthenticated('Your session has ended. Run “portcullis login”.', rejection);
}

/** Returns the token of exactly one `Authorization: Bearer` header (RFC 6750 §2.1). */
function bearerToken(req: IncomingMessage, what: string): string {
  const [header, ...others] = req.headersDistinct.authorization ?? [];
  const match = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(header ?? '');
  if (match?.[1] === undefined || others.length > 0) {
    throw unauthenticated(`Send one header “Authorization: Bearer TOKEN” with a token for ${what}.`, 'no_token');
  }
  return match[1];
}

/** Returns the `x5t#S256` of the connection's client certificate (RFC 8705 §3.1); undefined without one. */
function thumbprintOf(req: Pick<IncomingMessage, 'socket'>): string | undefined {
  // Over HTTP/2 this is not a TLS socket, but it has the certificate of one.
  const certificate = peerCertificate(req.socket as TlsPeer);
  return certificate === undefined ? undefined : certificateThumbprint(certificate);
}

/**
 * Authenticates the caller of a request. The token must be bound to the client certificate of the connection, unless
 * `sessions.binding` is off.
 * @throws AppError `unauthenticated`, `fenced`
 */
export async function authenticateBearer<C extends { readonly credential: Credential }>(
  req: IncomingMessage,
  { authenticate, audience, what, binding, orElse }: Asked<C>,
): Promise<C> {
  const token = bearerToken(req, what);
  const thumbprint = thumbprintOf(req);
  const message = `The token is not valid for ${what} on this connection. Run “portcullis login”, then try again.`;
  if (thumbprint === undefined && binding === 'required') throw unauthenticated(message, 'certificate_missing');
  const outcome = await authenticate({ token, audience, thumbprint }).catch((thrown: unknown) => {
    if (orElse === undefined) throw thrown;
    return ok(orElse(thrown));
  });
  if (!outcome.ok) {
    if (outcome.reason === 'fenced') throw fencedError();
    throw unauthenticated(message, outcome.reason);
  }
  // The authenticator has checked both already. For what changes something they are checked again.
  const { credential } = outcome.value;
  if (credential.audience !== audience) throw unauthenticated(message, 'wrong_audience');
  const mayBeUnbound = binding === 'off' && credential.thumbprint === undefined;
  if (credential.thumbprint !== thumbprint && !mayBeUnbound) throw unauthenticated(message, 'certificate_mismatch');
  return outcome.value;
}

/** A program whose token was verified. */
export type Program = Pick<Caller, 'credential' | 'identity' | 'authTime' | 'sessionExpiresAt' | 'sessionIdleAt'> &
  Pick<Actor, 'unread'>;

/** Returns who acts in the calls of a program. */
export function programActor(
  guard: FlightGuard & { check(credential: Credential): string | undefined },
  { credential, identity, authTime, unread, sessionExpiresAt, sessionIdleAt }: Program,
): Actor {
  const { account, session, provider, expiresAt } = credential;
  return {
    identity,
    account,
    session,
    expiresAt,
    // Read together with the identity, so that a known admin can have a target held here while the store does not
    // respond.
    proof: { provider, ...defined({ authTime }) },
    ...defined({ unread }),
    assertValid: () => assertCredential(guard, credential),
    register: registerFor(guard, credential, { expiresAt: sessionExpiresAt, idleAt: sessionIdleAt }),
  };
}
