/**
 * `/admin/locks`, `POST /admin/unlock` and `POST /admin/lift-fresh-sign-in`: what keeps accounts from signing in, and taking it off.
 */
import { accountSchema, reasonSchema } from '../../core/admin-api/fields.ts';
import type { Account } from '../../core/identity/identity.ts';
import { AppError } from '../../core/errors.ts';
import { field } from '../browser/guards.ts';
import { parameter, seeOther } from '../page/response.ts';
import { liftFreshSignIn } from '../../admin/fresh-sign-ins.ts';
import { lockViews, unlock } from '../../admin/locks.ts';

import { adminContextAt, auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { ifFresh } from './fresh-page.ts';
import { accountHref } from './links.ts';
import { locksBody } from './locks-body.ts';
import { numberedPager, pageNumber } from './pager.ts';

const PAGE_SIZE = 25;

export async function showLocks(context: AdminPageContext): Promise<void> {
  const { deps, req, person, mayAct } = context;
  const page = pageNumber(parameter(req.query['page']));
  const all = await lockViews(deps);
  const locks = all.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  auditRead(context, 'locks');
  const pager = numberedPager('/admin/locks', page, Math.ceil(all.length / PAGE_SIZE));
  const body = locksBody({ locks, count: all.length, pager, mayAct, csrf: person.csrf });
  sendAdminPage(context, { title: 'Locks', section: 'locks', body });
}

/** Takes the lock off and leads back to where it stood. @throws AppError `bad_request`, AdminError `lock_not_found` */
export async function takeLockOff(context: AdminPageContext): Promise<void> {
  const { deps, req, res } = context;
  const asked = askedOf(
    context,
    new AppError('bad_request', 'To unlock an account, say which and why.', { reason: 'unlock_malformed' }),
  );
  const back = field(req, 'from') === 'person' ? accountHref(asked.account) : '/admin/locks';
  await ifFresh(context, back, async () => {
    await unlock(deps, adminContextAt(context), asked);
    seeOther(res, back);
  });
}

/** Any sign-in of the account will do again. @throws AppError `bad_request`, AdminError `fresh_sign_in_not_needed`, `fresh_sign_in_newer` */
export async function takeFreshSignInOff(context: AdminPageContext): Promise<void> {
  const { deps, req, res } = context;
  const malformed = new AppError('bad_request', 'To lift a fresh sign-in, say of which account and why.', {
    reason: 'fresh_sign_in_malformed',
  });
  const asked = askedOf(context, malformed);
  const since = field(req, 'since');
  if (!/^\d{1,12}$/.test(since)) throw malformed;
  const back = accountHref(asked.account);
  await ifFresh(context, back, async () => {
    await liftFreshSignIn(deps, adminContextAt(context), { ...asked, upTo: Number(since) });
    seeOther(res, back);
  });
}

/** The form's account and reason. @throws `malformed` */
function askedOf(
  { req }: AdminPageContext,
  malformed: AppError,
): { readonly account: Account; readonly reason: string } {
  const account = accountSchema.safeParse(field(req, 'account'));
  const reason = reasonSchema.safeParse(field(req, 'reason'));
  if (!account.success || !reason.success) throw malformed;
  return { account: account.data, reason: reason.data };
}
