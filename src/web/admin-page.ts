/**
 * The admin pages: who is signed in, and revoking. Everything seen and done here is on the record.
 */
import { Router, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { AppError } from '../core/errors.ts';
import { parameter, sendPage } from './answer.ts';
import { adminPageBody, revokePageBody } from './admin-page-body.ts';
import type { SignedIn } from './browser-session.ts';
import type { WebDeps } from './deps.ts';
import { faultOf } from './error-status.ts';
import { field, type Guards, type PageHandler } from './guards.ts';
import { html } from './html.ts';
import { navigationFor } from './navigation.ts';
import { receipt } from './receipt.ts';
import { record } from './record.ts';
import { revocationSchema, revoke, revocationStatus, targetOf, type RevocationRequest } from './revoking.ts';
import { listQuery } from './session-query.ts';
import { assertRole, type Need } from './roles.ts';
import { visitOf } from './visit.ts';

const PAGE_SIZE = 50;
const SIGN_IN_AGAIN = 'They can sign in again. To keep them out, disable them at the identity provider too.';

function admin(deps: WebDeps, need: Need, handler: PageHandler): PageHandler {
  return async (req, res, person) => {
    assertRole(person.identity, deps.config.admin, need);
    await handler(req, res, person);
  };
}

/** Every refusal of an admin page is an audit event: no role, no session, a foreign Origin, a wrong token. */
function recordingRefusals(deps: WebDeps, handler: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      const { error, status } = faultOf(thrown);
      if (status === 401 || status === 403) {
        record(deps, visitOf(req), { event: 'admin-refused', path: req.path, code: status, reason: error.reason });
      }
      throw thrown;
    }
  };
}

async function show(deps: WebDeps, req: Request, res: Response, person: SignedIn): Promise<void> {
  const account = parameter(req.query['account'])?.trim();
  const cursor = parameter(req.query['cursor']);
  const query = listQuery({ account: account === '' ? undefined : account, cursor, limit: PAGE_SIZE });
  const page = await deps.store.sessions.list(query);
  person.assertGood();
  const mayAct = assertRole(person.identity, deps.config.admin, 'read') === 'admin';
  const body = adminPageBody({ ...page, account: account ?? '', mayAct });
  const details = account === undefined || account === '' ? {} : { account };
  record(deps, visitOf(req), { event: 'admin-read', path: req.path, code: 200, reason: 'sessions', details });
  sendPage(res, 200, { title: 'Admin', body, navigation: navigationFor(deps, person, 'admin') });
}

const kindSchema = z.enum(['session', 'account', 'username', 'provider', 'all']);

/** The fields `kind` and `value` of a form or a link, as the admin API spells the same request. */
function requestOf(kind: string | undefined, value: string, reason: string): RevocationRequest {
  const parsedKind = kindSchema.safeParse(kind);
  const named = parsedKind.data === 'all' ? true : value;
  const parsed = parsedKind.success ? revocationSchema.safeParse({ [parsedKind.data]: named, reason }) : undefined;
  if (parsed?.success === true) return parsed.data;
  const words = parsed?.error.issues.map((issue) => issue.message).join('; ') ?? 'choose what to revoke';
  throw new AppError('bad_request', `That cannot be revoked: ${words}.`, { reason: 'revocation_malformed' });
}

/** Asks once more, with the reason; a link leads here from each session's row. */
function confirm(deps: WebDeps, req: Request, res: Response, person: SignedIn): void {
  const kind = parameter(req.query['kind']);
  const value = parameter(req.query['value'])?.trim() ?? '';
  requestOf(kind, value, 'not given yet');
  const body = revokePageBody({ kind: kind ?? '', value, csrf: person.csrf });
  sendPage(res, 200, { title: 'Revoke', body, navigation: navigationFor(deps, person, 'admin') });
}

async function act(deps: WebDeps, req: Request, res: Response, person: SignedIn): Promise<void> {
  const request = requestOf(field(req, 'kind'), field(req, 'value'), field(req, 'reason'));
  const target = await targetOf(deps, request);
  person.assertGood();
  const answer = await revoke(deps, visitOf(req), { target, reason: request.reason, path: req.path });
  const body = html`<h1>Revoked</h1>
    ${receipt(answer)} ${answer.canSignInAgain && html`<p class="muted">${SIGN_IN_AGAIN}</p>`}
    <p><a class="button" href="/admin">Back to all sessions</a></p>`;
  const page = { title: 'Revoked', body, navigation: navigationFor(deps, person, 'admin') };
  sendPage(res, revocationStatus(answer), page);
}

/** `/admin`, `/admin/revoke`. */
export function adminPage(deps: WebDeps, guards: Guards): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const { page, action } = guards;
  const look = admin(deps, 'read', (req, res, person) => show(deps, req, res, person));
  const ask = admin(deps, 'act', (req, res, person) => confirm(deps, req, res, person));
  const doIt = admin(deps, 'act', (req, res, person) => act(deps, req, res, person));
  router.get('/admin', recordingRefusals(deps, page('admin', look)));
  router.get('/admin/revoke', recordingRefusals(deps, page('admin', ask)));
  router.post('/admin/revoke', recordingRefusals(deps, action(doIt)));
  return router;
}
