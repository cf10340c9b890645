/**
 * The admin pages: who is signed in, and revoking. Everything seen and done here is on the record.
 */
import { Router, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { AppError } from '../../../core/errors.ts';
import { parameter, seeOther, sendPage } from '../../page/answer.ts';
import { adminPageBody, revokePageBody } from './admin-page-body.ts';
import type { SignedIn } from '../../browser/browser-session.ts';
import type { WebDeps } from '../../deps.ts';
import { faultOf } from '../../page/error-status.ts';
import { field, type Guards, type PageHandler } from '../../browser/guards.ts';
import { html } from '../../page/html.ts';
import { lockViews, unlock } from '../locks.ts';
import { navigationFor } from '../../page/navigation.ts';
import { AdminError } from '../problem.ts';
import { receipt } from '../../page/receipt.ts';
import { record } from '../../record.ts';
import { accountSchema, reasonSchema, revocationSchema, type RevocationRequest } from '../revocation-request.ts';
import { carryOut, revocationStatus, type AdminRoom } from '../revoking.ts';
import { listQuery } from '../session-query.ts';
import { assertRole, type Need } from '../roles.ts';
import { visitOf } from '../../visit.ts';

const PAGE_SIZE = 50;
const SIGN_IN_AGAIN =
  'They can sign in again by themselves. To keep them out, lock the account, and disable it at the identity provider.';

function admin(deps: WebDeps, need: Need, handler: PageHandler): PageHandler {
  return async (req, res, person) => {
    assertRole(person, deps.config, need);
    await handler(req, res, person);
  };
}

/** Every refusal of an admin page is an audit event: no role, no session, a foreign Origin, a wrong token, an approval of one's own. */
function recordingRefusals(deps: WebDeps, handler: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      const { error, status } = faultOf(thrown);
      const refused = status === 401 || status === 403;
      // What was tried and came to nothing has a line of its own, unless it stands there already.
      const failed = req.method === 'POST' && !(thrown instanceof AdminError && thrown.recorded);
      const event = refused ? 'admin-refused' : req.path === '/admin/unlock' ? 'unlock' : 'revocation';
      if (refused || failed) record(deps, visitOf(req), { event, path: req.path, code: status, reason: error.reason });
      throw thrown;
    }
  };
}

async function show(deps: WebDeps, req: Request, res: Response, person: SignedIn): Promise<void> {
  const account = parameter(req.query['account'])?.trim();
  const cursor = parameter(req.query['cursor']);
  const query = listQuery({ account: account === '' ? undefined : account, cursor, limit: PAGE_SIZE });
  const [page, locks] = await Promise.all([deps.store.sessions.list(query), lockViews(deps)]);
  person.assertGood();
  const mayAct = assertRole(person, deps.config, 'read') === 'admin';
  const body = adminPageBody({ ...page, locks, account: account ?? '', mayAct, csrf: person.csrf });
  const details = account === undefined || account === '' ? {} : { target: `account:${account}` };
  record(deps, visitOf(req), { event: 'admin-read', path: req.path, code: 200, reason: 'sessions', details });
  sendPage(res, 200, { title: 'Admin', body, navigation: navigationFor(deps, person, 'admin') });
}

const kindSchema = z.enum(['session', 'account', 'username', 'provider', 'all']);

interface Fields {
  readonly kind: string | undefined;
  readonly value: string;
  readonly reason: string;
  readonly lock: boolean;
  /** Empty for none. */
  readonly approval: string;
}

/** The fields of a form or a link, as the admin API spells the same request. */
function requestOf({ kind, value, reason, lock, approval }: Fields): RevocationRequest {
  const parsedKind = kindSchema.safeParse(kind);
  const named = parsedKind.data === 'all' ? true : value;
  const rest = { reason, ...(lock ? { lock } : {}), ...(approval === '' ? {} : { approval }) };
  const parsed = parsedKind.success ? revocationSchema.safeParse({ [parsedKind.data]: named, ...rest }) : undefined;
  if (parsed?.success === true) return parsed.data;
  const words = parsed?.error.issues.map((issue) => issue.message).join('; ') ?? 'choose what to revoke';
  throw new AppError('bad_request', `That cannot be revoked: ${words}.`, { reason: 'revocation_malformed' });
}

/** Asks once more, with the reason; a link leads here from each session's row. */
function confirm(deps: WebDeps, req: Request, res: Response, person: SignedIn): void {
  const kind = parameter(req.query['kind']);
  const value = parameter(req.query['value'])?.trim() ?? '';
  const lock = parameter(req.query['lock']) === 'on';
  const approval = parameter(req.query['approval'])?.trim() ?? '';
  requestOf({ kind, value, lock, approval, reason: 'not given yet' });
  const shown = deps.config.admin.dualControl === 'on' ? approval : undefined;
  const body = revokePageBody({ kind: kind ?? '', value, lock, approval: shown, csrf: person.csrf });
  sendPage(res, 200, { title: 'Revoke', body, navigation: navigationFor(deps, person, 'admin') });
}

async function act(room: AdminRoom, req: Request, res: Response, person: SignedIn): Promise<void> {
  const { deps } = room;
  const request = requestOf({
    kind: field(req, 'kind'),
    value: field(req, 'value'),
    reason: field(req, 'reason'),
    lock: field(req, 'lock') === 'on',
    approval: field(req, 'approval'),
  });
  const answer = await carryOut(room, { visit: visitOf(req), actor: person, path: req.path }, request);
  const body = html`<h1>Revoked</h1>
    ${receipt(answer)} ${answer.canSignInAgain && html`<p class="muted">${SIGN_IN_AGAIN}</p>`}
    <p><a class="button" href="/admin">Back to all sessions</a></p>`;
  const page = { title: 'Revoked', body, navigation: navigationFor(deps, person, 'admin') };
  sendPage(res, revocationStatus(answer), page);
}

async function takeLockOff(deps: WebDeps, req: Request, res: Response, person: SignedIn): Promise<void> {
  const account = accountSchema.safeParse(field(req, 'account'));
  const reason = reasonSchema.safeParse(field(req, 'reason'));
  if (!account.success || !reason.success) {
    throw new AppError('bad_request', 'To unlock an account, say which and why.', { reason: 'unlock_malformed' });
  }
  const asker = { visit: visitOf(req), actor: person, path: req.path };
  await unlock(deps, asker, { account: account.data, reason: reason.data });
  seeOther(res, '/admin');
}

/** `/admin`, `/admin/revoke`, `/admin/unlock`. */
export function adminPage(room: AdminRoom, guards: Guards): Router {
  const { deps } = room;
  const router = Router({ caseSensitive: true, strict: true });
  const { page, action } = guards;
  const look = admin(deps, 'read', (req, res, person) => show(deps, req, res, person));
  const ask = admin(deps, 'act', (req, res, person) => confirm(deps, req, res, person));
  const doIt = admin(deps, 'act', (req, res, person) => act(room, req, res, person));
  const open = admin(deps, 'act', (req, res, person) => takeLockOff(deps, req, res, person));
  router.get('/admin', recordingRefusals(deps, page('admin', look)));
  router.get('/admin/revoke', recordingRefusals(deps, page('admin', ask)));
  router.post('/admin/revoke', recordingRefusals(deps, action(doIt)));
  router.post('/admin/unlock', recordingRefusals(deps, action(open)));
  return router;
}
