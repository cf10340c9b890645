/**
 * `/admin/locks`, `POST /admin/unlock` and `POST /admin/lift-fresh-sign-in`: the locked accounts, and how an admin
 * lets an account sign in again.
 */
import { html, type Html } from '../page/html.ts';
import { moment, momentsCaption } from '../page/layout.ts';
import { tabsBeneath } from '../page/navigation.ts';
import { type LockView, liftFreshSignIn, lockViews, unlock } from '../../services/admin/admin.ts';
import { accountHref } from './links.ts';
import { countOf } from './format.ts';
import { accountSchema, reasonSchema } from '../../core/api/fields.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import type { Account } from '../../core/identity/identity.ts';
import { AppError } from '../../core/errors.ts';
import { passed } from '../../http/problem.ts';
import { field } from '../browser/guards.ts';
import { parameter, seeOther } from '../page/response.ts';
import { textField } from '../page/field.ts';
import { table, type Column } from '../page/table.ts';
import { adminContextAt, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { unlockForm } from './form-fields.ts';
import { whenFresh } from './fresh-page.ts';
import { numberedPager, pageNumber } from './pager.ts';

export const secondsOf = (rfc3339: string): number => Math.floor(Date.parse(rfc3339) / 1000);

const locksTable = (locks: readonly LockView[], csrf: string, mayAct: boolean): Html => {
  const columns: readonly (Column<LockView> | false)[] = [
    { heading: 'Account', kind: 'main', cell: ({ account }) => html`<a href="${accountHref(account)}">${account}</a>` },
    { heading: 'Reason', cell: ({ reason }) => reason },
    { heading: 'Locked by', cell: ({ by }) => by },
    { heading: 'Since', cell: ({ at }) => moment(secondsOf(at)) },
    mayAct && { heading: 'Unlock', kind: 'action', cell: ({ account }) => unlockForm(account, csrf, 'locks') },
  ];
  return table({ columns, rows: locks, caption: momentsCaption() });
};

const lockForm = (): Html =>
  html`<section class="card" aria-labelledby="lock">
    <h2 id="lock">Lock an account</h2>
    <p class="muted">
      Its sessions end, its open connections are cut, and no one can sign in to it until an admin unlocks it.
    </p>
    <form class="filters" method="get" action="/admin/revoke">
      <input type="hidden" name="kind" value="account" />
      <input type="hidden" name="lock" value="on" />
      ${textField({ name: 'value', label: 'Account, as PROVIDER/SUBJECT', required: true, wide: true })}
      <button class="button danger">Continue</button>
    </form>
  </section>`;

interface LocksPage {
  /** The locks on this page. */
  readonly locks: readonly LockView[];
  readonly count: number;
  readonly pager: Html;
  readonly mayAct: boolean;
  readonly csrf: string;
}

function locksBody({ locks, count, pager, mayAct, csrf }: LocksPage): Html {
  return html`<h1>Locks</h1>
    ${tabsBeneath('Users', '/admin/locks')}
    <p class="lead">
      ${count === 0 ? 'No account is locked.' : `${countOf(count, 'account is', 'accounts are')} locked. Newest first.`}
    </p>
    ${count > 0 && html`<section class="card" aria-label="Locked accounts">${locksTable(locks, csrf, mayAct)} ${pager}</section>`}
    ${mayAct && lockForm()}`;
}

const PAGE_SIZE = 25;

export async function showLocks(context: AdminPageContext): Promise<void> {
  const { deps, req, user, mayAct } = context;
  const page = pageNumber(parameter(req.query['page']));
  const all = await lockViews(deps);
  const locks = all.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  const pager = numberedPager('/admin/locks', page, Math.ceil(all.length / PAGE_SIZE));
  const body = locksBody({ locks, count: all.length, pager, mayAct, csrf: user.csrf });
  sendAdminPage(context, { title: 'Locks', read: { reason: 'locks' }, body });
}

/**
 * Unlocks an account and leads back to the page of the form.
 * @throws AppError `bad_request`, ProblemError `lock_not_found`
 */
export async function handleUnlock(context: AdminPageContext): Promise<void> {
  const { deps, req, res } = context;
  const asked = formOf(
    context,
    new AppError('bad_request', 'To unlock an account, give the account and a reason.', { reason: 'unlock_malformed' }),
  );
  const back = field(req, 'from') === 'person' ? accountHref(asked.account) : '/admin/locks';
  await whenFresh(context, back, async () => {
    passed(ADMIN, await unlock(deps, adminContextAt(context), asked));
    seeOther(res, back);
  });
}

/**
 * Lifts the need for a fresh sign-in, so that any sign-in of the account is enough again.
 * @throws AppError `bad_request`, ProblemError `fresh_sign_in_not_needed`, `fresh_sign_in_newer`
 */
export async function handleLiftFreshSignIn(context: AdminPageContext): Promise<void> {
  const { deps, req, res } = context;
  const malformed = new AppError('bad_request', 'To lift a fresh sign-in, give the account and a reason.', {
    reason: 'fresh_sign_in_malformed',
  });
  const asked = formOf(context, malformed);
  const since = field(req, 'since');
  if (!/^\d{1,12}$/.test(since)) throw malformed;
  const back = accountHref(asked.account);
  await whenFresh(context, back, async () => {
    passed(ADMIN, await liftFreshSignIn(deps, adminContextAt(context), { ...asked, upTo: Number(since) }));
    seeOther(res, back);
  });
}

/** Returns the form's account and reason. @throws `malformed` */
function formOf(
  { req }: AdminPageContext,
  malformed: AppError,
): { readonly account: Account; readonly reason: string } {
  const account = accountSchema.safeParse(field(req, 'account'));
  const reason = reasonSchema.safeParse(field(req, 'reason'));
  if (!account.success || !reason.success) throw malformed;
  return { account: account.data, reason: reason.data };
}
