/**
 * `/admin`: the list of sessions.
 */
import type { AuditFacts } from '../../core/audit/event.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { auditRead, sendAdminPage, type AdminHandler } from './admin-frame.ts';
import type { ListSessions } from '../../admin/session-query.ts';
import { sessionsBody } from './sessions-body.ts';
import { queryFor, shownBy, type Shown } from './sessions-query.ts';

/** What was looked for, as the record keeps it. */
function asked({ cursor: _cursor, sort: _sort, ...filters }: Shown): AuditFacts {
  return Object.keys(filters).length === 0 ? {} : { filter: JSON.stringify(filters) };
}

/** @param list the very list that the admin API has */
export function showSessions(list: ListSessions): AdminHandler {
  return async (context) => {
    const { deps, req, mayAct } = context;
    const shown = shownBy(req);
    const query = queryFor(shown);
    const [page, total] = await Promise.all([list(query), deps.store.sessions.count()]);
    auditRead(context, 'sessions', asked(shown));
    const body = sessionsBody({
      shown,
      page,
      total,
      providers: [...deps.providers.keys(), ...deps.config.workload.map(({ name }) => name)],
      clusters: deps.config.clusters.map(({ name }) => name),
      now: nowSeconds(deps),
      mayAct,
    });
    sendAdminPage(context, { title: 'Sessions', section: 'sessions', body });
  };
}
