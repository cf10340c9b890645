/** How a program proves to the admin API who it is. Browsers do so by their cookie: `web`. */
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

/** The token of exactly one `Authorization: Bearer` header (RFC 6750 §2.1). */
function bearerToken(req: Request): string {
  const [header, ...others] = req.headersDistinct.authorization ?? [];
  const match = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(header ?? '');
  if (match?.[1] === undefined || others.length > 0) {
    throw unauthenticated('Send one header “Authorization: Bearer TOKEN” with a token for the admin API.', 'no_token');
  }
  return match[1];
}

/** `x5t#S256` of the connection's client certificate (RFC 8705 §3.1); undefined without one. */
function thumbprintOf(req: Pick<Request, 'socket'>): string | undefined {
  // Over HTTP/2 it is no TLS socket, but shows the certificate of one.
  const certificate = peerCertificate(req.socket as TlsPeer);
  return certificate === undefined ? undefined : createHash('sha256').update(certificate).digest('base64url');
}

type Program = Pick<Caller, 'credential' | 'identity' | 'authTime'> & Pick<Actor, 'unread'>;

/** An admin whose session cannot be read, as their token has them: without a name but the account. @throws anything else as it came */
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
    // With the identity, so that an admin who is known here can shut this replica's guard when the store does not answer.
    proof: authTime === undefined ? { provider } : { provider, authTime },
    ...(unread === undefined ? {} : { unread }),
    account: credential.account,
    session: credential.session,
    expiresAt: credential.expiresAt,
    assertGood() {
      const rejection = deps.guard.check(credential);
      if (rejection === 'fenced') throw fencedError();
      if (rejection !== undefined) throw unauthenticated('Your session has ended. Run “portcullis login”.', rejection);
    },
  };
}

/** By Bearer token, for programs. Only a token that is bound, and to this connection's certificate, counts; unless `sessions.binding` is off. */
export function bearerCaller(deps: AdminDeps): IdentifyCaller {
  return async (req) => {
    const token = bearerToken(req);
    const thumbprint = thumbprintOf(req);
    const words = 'The token is not good for the admin API on this connection. Run “portcullis login”, then try again.';
    const { binding } = deps.config.sessions;
    if (thumbprint === undefined && binding === 'required') throw unauthenticated(words, 'certificate_missing');
    const outcome = await deps
      .authenticate({ token, audience: ADMIN_AUDIENCE, thumbprint })
      .catch((thrown: unknown) => ok(unreadAdmin(thrown)));
    if (!outcome.ok) {
      if (outcome.reason === 'fenced') throw fencedError();
      throw unauthenticated(words, outcome.reason);
    }
    // The authenticator has judged both already. Admin rights are worth asking twice.
    const { credential } = outcome.value;
    if (credential.audience !== ADMIN_AUDIENCE) throw unauthenticated(words, 'wrong_audience');
    const mayBeUnbound = binding === 'off' && credential.thumbprint === undefined;
    if (credential.thumbprint !== thumbprint && !mayBeUnbound) throw unauthenticated(words, 'certificate_mismatch');
    return actorFrom(deps, outcome.value);
  };
}
