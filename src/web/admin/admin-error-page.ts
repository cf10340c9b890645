/**
 * The page for an error on an admin page: in the frame of the admin pages, so that the admin can go on, and without
 * the advice to ask the platform team, which they are.
 */
import type { Request, Response } from 'express';
import type { AppError, ErrorCode } from '../../core/errors.ts';
import { appErrorOf, retryAfterSeconds } from '../../http/error-status.ts';
import { contextOf, isValid, type Actor } from '../../http/request-context.ts';
import { roleOf } from '../../services/admin/admin.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { errorMessageOf } from '../page/error-page.ts';
import { html } from '../page/html.ts';
import { logServerError } from '../page/server-error-log.ts';
import { sendAdminPage, type AdminPlace } from './admin-frame.ts';

/** What to do next, where users are told to ask the platform team. */
const NEXT: Readonly<Partial<Record<ErrorCode, string>>> = {
  forbidden: 'Nothing was changed.',
  audit_unavailable: 'Nothing is done until it can be written. The server’s log says why.',
  provider_unavailable: 'Try again in a minute. The page Health shows which provider does not respond.',
  internal: 'Try again. The server’s log has the error under the request id.',
};

const NEEDS_OPERATOR =
  'Trying again does not help. The server’s log and the audit log have the cause under the request id.';

/** The message of an unexpected error is for users, and names the platform team. */
const messageOf = ({ code, message }: AppError): string =>
  code === 'internal' ? 'Something went wrong on our side.' : message;

const isSignedIn = (actor: Actor | undefined): actor is SignedIn => actor !== undefined && 'csrf' in actor;

/**
 * Sends the page for an error of an admin or auditor on an admin page.
 * @returns false for any other user, and where a response has begun; nothing was sent then
 */
export function sendAdminError(
  { deps, ...place }: AdminPlace & { readonly deps: WebDeps },
  req: Request,
  res: Response,
  thrown: unknown,
): boolean {
  const { actor: user, requestId } = contextOf(req);
  if (res.headersSent || !isSignedIn(user)) return false;
  const role = roleOf(user, deps.config);
  if (role === undefined || !isValid(user)) return false;
  logServerError(deps, requestId, thrown);
  const { error, status } = appErrorOf(thrown);
  const { title, next } = errorMessageOf(error);
  const wait = retryAfterSeconds(error.code);
  if (wait !== undefined) res.setHeader('Retry-After', String(wait));
  const body = html`<h1>${title}</h1>
    <div class="notice bad"><p role="alert">${messageOf(error)}</p></div>
    <div class="card">
      <p>${error.needsOperator ? NEEDS_OPERATOR : (NEXT[error.code] ?? next)}</p>
      <dl class="facts small">
        <dt>Request id</dt>
        <dd><code>${requestId}</code></dd>
      </dl>
      <a class="button" href="/admin">Back to all sessions</a>
    </div>`;
  sendAdminPage({ ...place, deps, req, res, user, mayAct: role === 'admin' }, { title, status, body });
  return true;
}
