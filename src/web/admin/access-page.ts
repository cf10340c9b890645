/** `/admin/access`: all access requests, those that are over included, with filters. */
import { ACCESS } from '../../core/api/rejections.ts';
import { passed } from '../../http/problem.ts';
import type { AccessPage } from '../../services/access/access.ts';
import { accountSchema } from '../../core/api/fields.ts';
import type { AuditFacts } from '../../core/audit/event.ts';
import type { AccessRequest, AccessState } from '../../core/access/request.ts';
import { AppError } from '../../core/errors.ts';
import { requestTable } from '../access/request-table.ts';
import { STATES } from '../page/access-text.ts';
import { html, type Html } from '../page/html.ts';
import { tabsBeneath } from '../page/navigation.ts';
import { parameter } from '../page/response.ts';
import { adminContextAt, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { searchField, selectField } from './form-fields.ts';
import { accountHref, queryString } from './links.ts';
import { cursorPager } from './pager.ts';
import { defined } from '../../core/defined.ts';

const FILTERS = ['account', 'role', 'state', 'cursor'] as const;

type Shown = { readonly [F in (typeof FILTERS)[number]]?: string };

const PAGE_SIZE = 25;

const isState = (state: string): state is AccessState => Object.hasOwn(STATES, state);

function filtersOf(query: Readonly<Record<string, unknown>>): Shown {
  const fields = FILTERS.map((name) => [name, parameter(query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== ''));
}

function filters({ account, role, state }: Shown, roles: readonly string[]): Html {
  const names = [['', 'Any'], ...roles.map((name) => [name, name] as const)] as const;
  const states = [['', 'Any'], ...Object.entries(STATES)] as readonly (readonly [string, string])[];
  return html`<form
    class="filters"
    method="get"
    action="/admin/access"
    autocomplete="off"
    spellcheck="false"
    role="search"
    aria-label="Access requests"
  >
    ${searchField({ name: 'account', label: 'Account', value: account, placeholder: 'corp/alice', wide: true })}
    ${selectField({ name: 'role', label: 'Role', options: names, chosen: role })}
    ${selectField({ name: 'state', label: 'State', options: states, chosen: state })}
    <button class="button">Apply</button>
    ${(account ?? role ?? state) !== undefined && html`<a class="button quiet" href="/admin/access">Clear</a>`}
  </form>`;
}

const linkedUser = ({ username, account }: AccessRequest): Html =>
  html`<a class="strong" href="${accountHref(account)}"><bdi>${username}</bdi></a
    ><span class="small muted own-line">${account}</span>`;

function accessBody(
  shown: Shown,
  { page, roles, nowMs }: { readonly page: AccessPage; readonly roles: readonly string[]; readonly nowMs: number },
): Html {
  const { requests, cursor } = page;
  const at = (change: Shown): string => `/admin/access${queryString({ ...shown, cursor: '', ...change })}`;
  return html`<h1>Access</h1>
    ${tabsBeneath('Access', '/admin/access')}
    <p class="lead">
      Rights for a while: who asked for which, who approved, and how each ended. The newest first, for thirty days; the
      audit log has them for as long as it is kept.
    </p>
    <section class="card" aria-label="Access requests">
      ${filters(shown, roles)}
      ${
        requests.length === 0
          ? html`<p class="empty">No request matches.</p>`
          : requestTable({ requests, nowMs, userCell: linkedUser, action: 'Open' })
      }
      ${cursorPager(shown.cursor === undefined ? undefined : at({}), cursor === undefined ? undefined : at({ cursor }), 'Older')}
    </section>`;
}

function malformed(what: string): AppError {
  return new AppError('bad_request', `This list cannot be shown. ${what}`, { reason: 'query_malformed' });
}

/** Shows the history. @throws AppError `bad_request`, `not_found` where there are no access requests here */
export async function showAccess(context: AdminPageContext): Promise<void> {
  const { deps, req } = context;
  if (deps.access === undefined) throw new AppError('not_found', 'There are no access requests here.');
  const shown = filtersOf(req.query);
  const { account, role, state, cursor } = shown;
  const parsed = accountSchema.optional().safeParse(account);
  if (!parsed.success) throw malformed('An account is PROVIDER/SUBJECT.');
  if (state !== undefined && !isState(state)) throw malformed(`A state is one of ${Object.keys(STATES).join(', ')}.`);
  const query = { limit: PAGE_SIZE, ...defined({ account: parsed.data, role, state, cursor }) };
  const page = passed(ACCESS, await deps.access.history(adminContextAt(context), query));
  const roles = deps.config.access.roles.map(({ name }) => name);
  const { cursor: _cursor, ...filter } = shown;
  const details: AuditFacts = Object.keys(filter).length === 0 ? {} : { filter: JSON.stringify(filter) };
  sendAdminPage(context, {
    title: 'Access',
    read: { reason: 'access_requests', details },
    body: accessBody(shown, { page, roles, nowMs: deps.clock.nowMs() }),
  });
}
