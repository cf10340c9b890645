/**
 * The fixed callback of each identity provider. The cookie of the browser that began is scoped to the page that
 * waits, so this only looks up the state and redirects to that page with the same query.
 */
import { Router, type RequestHandler } from 'express';
import { AppError } from '../../core/errors.ts';
import { parameter, queryOf, seeOther } from '../page/response.ts';
import type { WebDeps } from '../dependencies.ts';
import { findLogin, type LoginPurpose } from './login-transaction.ts';
import { signInStep } from './sign-in.ts';
import { contextOf } from '../../http/request-context.ts';

/** Returns the path of the page that waits. */
function pageOf(purpose: LoginPurpose): string {
  switch (purpose.for) {
    case 'client':
      return `/login/${encodeURIComponent(purpose.uid)}`;
    case 'browser':
      return '/login';
    case 'device':
      return '/device';
    case 'step-up':
      return '/step-up';
  }
}

function handleCallback(deps: WebDeps): RequestHandler<{ provider: string }> {
  return async (req, res) => {
    const { provider } = req.params;
    await signInStep(deps, contextOf(req), { path: '/callback', provider }, async () => {
      const login = await findLogin(deps, parameter(req.query['state']));
      // A malicious provider answers in place of another one (mix-up, RFC 9207 §1). So a sign-in is finished only
      // by the provider that it began with.
      if (login.provider !== provider) {
        const message = 'The response came from another identity provider than the one you chose. Start again.';
        throw new AppError('sign_in_refused', message, { reason: 'provider_mismatch' });
      }
      seeOther(res, `${pageOf(login.purpose)}/finish${queryOf(req.originalUrl)}`);
    });
  };
}

/** `/callback/:provider`. */
export function callback(deps: WebDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/callback/:provider', handleCallback(deps));
  return router;
}
