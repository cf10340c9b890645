/**
 * What a user has open now, at all replicas, and `POST /admin/cut-stream`, which cuts one of it.
 */
import { z } from 'zod';
import { ADMIN } from '../../core/api/rejections.ts';
import { accountSchema, auditIdSchema, reasonSchema } from '../../core/api/fields.ts';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity/identity.ts';
import { passed } from '../../http/problem.ts';
import { cutStream, type OpenAtReplica, type OpenStreams } from '../../services/admin/admin.ts';
import type { SessionRecord } from '../../store/store.ts';
import { field } from '../browser/guards.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { actorName } from '../page/delegated-sessions.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo } from '../page/layout.ts';
import { seeOther } from '../page/response.ts';
import { table, type Column } from '../page/table.ts';
import { adminContextAt, type AdminPageContext } from './admin-frame.ts';
import { reasonForm } from './form-fields.ts';
import { searchedText } from './audit-lines.ts';
import { countOf } from './format.ts';
import { whenFresh } from './fresh-page.ts';
import { accountHref, auditHref, sessionHref } from './links.ts';

/** What users call a stream; any other one is called by its verb. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['pods/exec', 'shell'],
  ['pods/attach', 'attached'],
  ['pods/portforward', 'port-forward'],
  ['pods/log', 'logs'],
]);

function streamName({ request }: OpenAtReplica): Html {
  const { resource, verb, namespace, name, uri, cluster, auditId, impersonatedUser } = request;
  const called = (resource === undefined ? undefined : NAMES.get(resource)) ?? verb;
  const what = NAMES.has(resource ?? '') ? undefined : (resource ?? uri);
  return html`<a href="${auditHref(auditId)}" title="${uri}"><strong>${called}</strong></a>
    ${what} ${name !== undefined && html`<bdi>${name}</bdi>`}
    <span class="muted"
      >${namespace !== undefined && html`in ${namespace}`}
      @${cluster}${impersonatedUser !== undefined && html`, as <bdi>${impersonatedUser}</bdi>`}</span
    >`;
}

function deviceCell(id: string, sessions: readonly SessionRecord[]): Html {
  const session = sessions.find((one) => one.id === id);
  const called = (): Html | string => {
    if (session === undefined) return 'another session';
    const { delegation, deviceName, client, userAgent } = session;
    if (delegation !== undefined) return actorName(delegation);
    return deviceName === undefined ? `${clientName(client)}, ${deviceOf(userAgent)}` : quotedName(deviceName);
  };
  return html`<a href="${sessionHref(id)}">${called()}</a>`;
}

interface OpenNow {
  readonly account: Account;
  readonly open: OpenStreams;
  /** Of the account, as far as they are on the page. */
  readonly sessions: readonly SessionRecord[];
  /** Epoch seconds. */
  readonly now: number;
  readonly mayAct: boolean;
  readonly csrf: string;
}

/** One stream is cut in two clicks, so that none is cut by one. */
const cutForm = (account: Account, csrf: string, { request }: OpenAtReplica): Html =>
  html`<details class="panel">
    <summary class="revoke" aria-label="Cut ${request.verb} ${request.resource} ${request.name}">Cut</summary>
    ${reasonForm('/admin/cut-stream', {
      account,
      csrf,
      auditId: request.auditId,
      button: 'Cut',
      label: 'Reason for cutting a stream of',
    })}
  </details>`;

/** Returns how many streams are open, as far as it is known. */
export const openCount = ({ streams, more }: OpenStreams): number => streams.length + more;

export function openNowCard({ account, open, sessions, now, mayAct, csrf }: OpenNow): Html {
  const { more } = open;
  const columns: readonly (Column<OpenAtReplica> | false)[] = [
    { heading: 'What', kind: 'main', cell: streamName },
    { heading: 'Device', cell: ({ session }) => deviceCell(session, sessions) },
    { heading: 'IP address', cell: ({ request }) => request.address },
    { heading: 'Since', cell: ({ request }) => momentAgo(Math.floor(request.at / 1000), now) },
    { heading: 'Replica', cell: ({ replica }) => replica },
    mayAct && { heading: 'Cut', kind: 'action', cell: (stream) => cutForm(account, csrf, stream) },
  ];
  return html`<section class="card" aria-labelledby="open">
    <div class="card-head">
      <h2 id="open">Open now: ${countOf(openCount(open), 'stream')}</h2>
      <p class="small">${searchedText(open)}</p>
    </div>
    ${table({ columns, rows: open.streams, empty: 'No shell, log, port-forward or watch of theirs is open.' })}
    ${more > 0 && html`<p class="small muted">and ${countOf(more, 'older one')}</p>`}
  </section>`;
}

const cutSchema = z.object({ account: accountSchema, auditId: auditIdSchema, reason: reasonSchema });

/**
 * Cuts one stream and leads back to the page of its user.
 * @throws AppError `bad_request`, ProblemError `stream_not_found`
 */
export async function handleCutStream(context: AdminPageContext): Promise<void> {
  const { deps, req, res } = context;
  const asked = cutSchema.safeParse({
    account: field(req, 'account'),
    auditId: field(req, 'auditId'),
    reason: field(req, 'reason'),
  });
  if (!asked.success)
    throw new AppError('bad_request', 'To cut a stream, give its account, its request id and a reason.', {
      reason: 'cut_malformed',
    });
  const back = accountHref(asked.data.account);
  await whenFresh(context, back, async () => {
    passed(ADMIN, await cutStream(deps, adminContextAt(context), asked.data));
    seeOther(res, back);
  });
}
