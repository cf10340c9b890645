/** The callers of the admin API with a Bearer token. Browsers have a cookie, which the module `web` verifies. */
import { fencedError } from '../../http/error-status.ts';
import { createHash } from 'node:crypto';
import type { Request } from 'express';
import { ADMIN_AUDIENCE } from '../../core/core.ts';
import { SessionUnread, type Caller } from '../../core/credential/credential.ts';
import { AppError } from '../../core/errors.ts';
import { peerCertificate, type TlsPeer } from '../../core/credential/peer-certificate.ts';
import { ok } from '../../core/result.ts';
import type { IdentifyCaller } from './admin-call.ts';
import type { AdminDeps } from '../dependencies.ts';
import type { Actor } from '../../http/request-context.ts';

function unauthenticated(message: string, reason: string): AppError {
  return new AppError('unauthenticated', message, { reason });
}

/** Returns the token of exactly one `Authorization: Bearer` header (RFC 6750 §2.1). */
function bearerToken(req: Request): string {
  const [header, ...others] = req.headersDistinct.authorization ?? [];
  const match = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(header ?? '');
  if (match?.[1] === undefined || others.length > 0) {
    throw unauthenticated('Send one header “Authorization: Bearer TOKEN” with a token for the admin API.', 'no_token');
  }
  return match[1];
}

/** Returns the `x5t#S256` of the connection's client certificate (RFC 8705 §3.1); undefined without one. */
function thumbprintOf(req: Pick<Request, 'socket'>): string | undefined {
  // Over HTTP/2 this is not a TLS socket, but it has the certificate of one.
  const certificate = peerCertificate(req.socket as TlsPeer);
  return certificate === undefined ? undefined : createHash('sha256').update(certificate).digest('base64url');
}

type Program = Pick<Caller, 'credential' | 'identity' | 'authTime'> & Pick<Actor, 'unread'>;

/**
 * Returns an admin whose session cannot be read, with what their token says: the account, also as the username.
 * @throws any other error unchanged
 */
function unreadAdmin(thrown: unknown): Program {
  if (!(thrown instanceof SessionUnread) || thrown.credential.wasAdmin !== true) throw thrown;
  const { credential } = thrown;
  const { account, authTime } = credential;
  const identity = { username: account, uid: account, groups: [], extra: {} };
  return { credential, identity, unread: thrown, ...(authTime === undefined ? {} : { authTime }) };
}

function actorFrom(deps: AdminDeps, caller: Program): Actor {
  const { credential, identity, authTime, unread } = caller;
  const { provider } = credential;
  return {
    identity,
    // Read together with the identity, so that a known admin can have a target held here while the store does not
    // respond.
    proof: authTime === undefined ? { provider } : { provider, authTime },
    ...(unread === undefined ? {} : { unread }),
    account: credential.account,
    session: credential.session,
    expiresAt: credential.expiresAt,
    assertValid() {
      const rejection = deps.guard.check(credential);
      if (rejection === 'fenced') throw fencedError();
      if (rejection !== undefined) throw unauthenticated('Your session has ended. Run “portcullis login”.', rejection);
    },
  };
}

/**
 * Identifies callers by Bearer token. A token must be bound to the client certificate of its connection, unless
 * `sessions.binding` is off.
 */
export function bearerCaller(deps: AdminDeps): IdentifyCaller {
  return async (req) => {
    const token = bearerToken(req);
    const thumbprint = thumbprintOf(req);
    const message =
      'The token is not valid for the admin API on this connection. Run “portcullis login”, then try again.';
    const { binding } = deps.config.sessions;
    if (thumbprint === undefined && binding === 'required') throw unauthenticated(message, 'certificate_missing');
    const outcome = await deps
      .authenticate({ token, audience: ADMIN_AUDIENCE, thumbprint })
      .catch((thrown: unknown) => ok(unreadAdmin(thrown)));
    if (!outcome.ok) {
      if (outcome.reason === 'fenced') throw fencedError();
      throw unauthenticated(message, outcome.reason);
    }
    // The authenticator has checked both already. For admin rights they are checked again.
    const { credential } = outcome.value;
    if (credential.audience !== ADMIN_AUDIENCE) throw unauthenticated(message, 'wrong_audience');
    const mayBeUnbound = binding === 'off' && credential.thumbprint === undefined;
    if (credential.thumbprint !== thumbprint && !mayBeUnbound) throw unauthenticated(message, 'certificate_mismatch');
    return actorFrom(deps, outcome.value);
  };
}
