/**
 * `/admin/locks` and `POST /admin/unlock`: who may not sign in, and letting them again.
 */
import { accountSchema, reasonSchema } from '../../../core/admin-api/fields.ts';
import { AppError } from '../../../core/errors.ts';
import { field } from '../../browser/guards.ts';
import { parameter, seeOther } from '../../page/answer.ts';
import { lockViews, unlock } from '../locks.ts';

import { askerAt, recordRead, sendAdminPage, type AdminVisit } from './admin-frame.ts';
import { ifFresh } from './fresh-page.ts';
import { accountHref } from './links.ts';
import { locksBody } from './locks-body.ts';
import { numberedPager, pageNumber } from './pager.ts';

const PAGE_SIZE = 25;

export async function showLocks(visit: AdminVisit): Promise<void> {
  const { deps, req, person, mayAct } = visit;
  const page = pageNumber(parameter(req.query['page']));
  const all = await lockViews(deps);
  const locks = all.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  recordRead(visit, 'locks');
  const pager = numberedPager('/admin/locks', page, Math.ceil(all.length / PAGE_SIZE));
  const body = locksBody({ locks, count: all.length, pager, mayAct, csrf: person.csrf });
  sendAdminPage(visit, { title: 'Locks', section: 'locks', body });
}

/** Takes the lock off and leads back to where it stood. @throws AppError `bad_request`, AdminError `lock_not_found` */
export async function takeLockOff(visit: AdminVisit): Promise<void> {
  const { deps, req, res } = visit;
  const account = accountSchema.safeParse(field(req, 'account'));
  const reason = reasonSchema.safeParse(field(req, 'reason'));
  if (!account.success || !reason.success) {
    throw new AppError('bad_request', 'To unlock an account, say which and why.', { reason: 'unlock_malformed' });
  }
  const back = field(req, 'from') === 'person' ? accountHref(account.data) : '/admin/locks';
  await ifFresh(visit, back, async () => {
    await unlock(deps, askerAt(visit), { account: account.data, reason: reason.data });
    seeOther(res, back);
  });
}
