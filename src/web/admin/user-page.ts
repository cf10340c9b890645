/**
 * `/admin/accounts/:account`: one person, with all that is known of them here.
 */
import { accountSchema } from '../../core/admin-api/fields.ts';
import { AppError } from '../../core/errors.ts';
import { parameter } from '../page/response.ts';
import { latestRequests } from '../page/recent-requests.ts';
import { freshSignInNeeded } from '../../admin/fresh-sign-ins.ts';
import type { ListSessions } from '../../admin/session-query.ts';
import { listQuery } from '../../admin/session-query.ts';
import { auditRead, sendAdminPage, type AdminHandler } from './admin-frame.ts';
import { personBody } from './user-body.ts';

const PAGE_SIZE = 15;
/** The page of each session has fifty. */
const MOST_REQUESTS = 25;

/** An account that is not known shows as one that is not signed in: it can be locked all the same. */
export function showPerson(list: ListSessions): AdminHandler {
  return async (context) => {
    const { deps, req, person, mayAct } = context;
    const account = accountSchema.safeParse(req.params['account']);
    if (!account.success) throw new AppError('not_found', 'There is no such account. An account is PROVIDER/SUBJECT.');
    const cursor = parameter(req.query['cursor']);
    const query = listQuery({ account: account.data, limit: PAGE_SIZE, ...(cursor === undefined ? {} : { cursor }) });
    const [page, lock, freshSince] = await Promise.all([
      list(query),
      deps.store.locks.find(account.data),
      freshSignInNeeded(deps, account.data),
    ]);
    const requests = (await latestRequests(deps, page.sessions))?.slice(0, MOST_REQUESTS);
    auditRead(context, 'account', { target: `account:${account.data}` });
    const later = cursor !== undefined;
    const known = { account: account.data, page, later, lock, freshSince, requests };
    const body = personBody({ deps, ...known, mayAct, csrf: person.csrf });
    sendAdminPage(context, { title: 'Person', section: 'sessions', body });
  };
}
