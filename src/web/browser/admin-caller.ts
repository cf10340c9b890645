/** Authenticates a browser at the admin API. */
import type { Request } from 'express';
import type { IdentifyCaller } from '../../api/api.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import { problemFor } from '../../http/problem.ts';
import { noteActor } from '../../http/request-context.ts';
import type { WebDeps } from '../dependencies.ts';
import type { BrowserSessions, SignedIn } from './browser-session.ts';
import { assertCsrf, assertOwnOrigin } from './guards.ts';

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

function unauthenticated(message: string, reason: string): AppError {
  return new AppError('unauthenticated', message, { reason });
}

/**
 * Identifies the caller by the cookie of the pages. A request with an `Authorization` header is rejected: an
 * attacker who has a stolen token without its client certificate could otherwise use it at the listener that asks
 * for no certificate.
 */
export function browserCaller(deps: WebDeps, browsers: BrowserSessions): IdentifyCaller {
  return async (req) => {
    if (req.headers.authorization !== undefined) {
      const text = 'This address accepts the browser’s cookie only. Programs use /-/admin/api/v1 on the api listener.';
      throw unauthenticated(text, 'authorization_header');
    }
    const user = await browsers.current(req);
    if (user === undefined) throw unauthenticated('Sign in at /login first.', 'no_session');
    noteActor(req, user);
    if (!SAFE_METHODS.has(req.method)) assertFromOwnPage(deps, req, user);
    return user;
  };
}

/** A code of the admin API alone. */
const CSRF_FAILED = 'csrf_failed';

/**
 * Rejects with a code of its own, because a page recovers from this by reloading. The audit event has the exact
 * reason.
 */
function assertFromOwnPage({ config }: WebDeps, req: Request, user: SignedIn): void {
  try {
    assertOwnOrigin(req, config.publicUrl);
    assertCsrf(user, req.headers['x-csrf-token']);
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause;
    const { message, reason } = cause;
    throw problemFor(ADMIN, { reason: CSRF_FAILED, message, precisely: reason, cause });
  }
}
