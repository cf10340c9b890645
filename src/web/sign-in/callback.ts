/**
 * The fixed callback of each identity provider. The cookie that proves which browser began is scoped to the page that waits, so
 * this only looks the state up and sends the browser on with the same query.
 */
import { Router, type RequestHandler } from 'express';
import { AppError } from '../../core/errors.ts';
import { parameter, queryOf, seeOther } from '../page/response.ts';
import type { WebDeps } from '../dependencies.ts';
import { findLogin, type LoginPurpose } from './login-transaction.ts';
import { signInStep } from './sign-in.ts';
import { contextOf } from '../../http/request-context.ts';

/** The page that waits. */
function pageOf(purpose: LoginPurpose): string {
  switch (purpose.for) {
    case 'client':
      return `/login/${encodeURIComponent(purpose.uid)}`;
    case 'browser':
      return '/login';
    case 'device':
      return '/device';
  }
}

function handleCallback(deps: WebDeps): RequestHandler<{ provider: string }> {
  return async (req, res) => {
    const { provider } = req.params;
    await signInStep(deps, contextOf(req), { path: '/callback', provider }, async () => {
      const login = await findLogin(deps, parameter(req.query['state']));
      // Threat: mix-up. A provider that was not asked must not be able to finish another provider's sign-in (RFC 9207 §1).
      if (login.provider !== provider) {
        const message = 'Another identity provider answered than the one you chose. Start again.';
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
