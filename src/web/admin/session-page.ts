/**
 * `/admin/sessions/:id`: one session.
 */
import type { RecentRequest, SessionRecord } from '../../store/store.ts';
import { clientName, deviceOf } from '../page/client-label.ts';
import type { WebDeps } from '../dependencies.ts';
import { html, type Html } from '../page/html.ts';
import { moment } from '../page/layout.ts';
import { badges, identityFacts } from './shared-cards.ts';
import { accountHref, queryString, revokeHref } from './links.ts';
import { requestsCard } from './shared-cards.ts';
import { sessionIdSchema } from '../../core/admin-api/fields.ts';
import { latestRequests } from '../page/recent-requests.ts';
import { sessionNotFound } from '../../admin/revocation-request.ts';
import { workloadRule } from '../../admin/roles.ts';
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';

interface SessionPageContent {
  readonly deps: Pick<WebDeps, 'clock'>;
  readonly session: SessionRecord;
  /** Names of those that the person may use now. */
  readonly clusters: readonly string[];
  readonly requests: readonly RecentRequest[] | undefined;
  readonly mayAct: boolean;
}

function deviceCard({ session }: SessionPageContent): Html {
  const { id, client, userAgent, address, device, thumbprint } = session;
  return html`<section class="card" aria-labelledby="device">
    <h2 id="device">Device</h2>
    <dl class="facts">
      <dt>Client</dt>
      <dd>${clientName(client)} <code class="muted">${client}</code></dd>
      <dt>Device</dt>
      <dd>${deviceOf(userAgent)}${userAgent !== '' && html`<br /><span class="small muted">${userAgent}</span>`}</dd>
      <dt>From</dt>
      <dd>${address === '' ? '–' : address}</dd>
      <dt>Signed in</dt>
      <dd>${device === true ? 'by a code, at another device' : 'in a browser'}</dd>
      <dt>Bound key</dt>
      <dd>
        ${
          thumbprint === undefined
            ? html`<span class="muted">none yet: a program’s first token binds it, pages use a cookie</span>`
            : html`<code>${thumbprint}</code>`
        }
      </dd>
      <dt>Session</dt>
      <dd><code>${id}</code></dd>
    </dl>
  </section>`;
}

function timesCard({ session }: SessionPageContent): Html {
  const { createdAt, authTime, lastUsedAt, checkedAt, idleSeconds, expiresAt, version } = session;
  return html`<section class="card" aria-labelledby="times">
    <h2 id="times">Times</h2>
    <dl class="facts">
      <dt>Signed in</dt>
      <dd>${moment(createdAt)}</dd>
      <dt>Proved who they are</dt>
      <dd>${authTime === undefined ? html`<span class="muted">the provider does not say</span>` : moment(authTime)}</dd>
      <dt>Last used</dt>
      <dd>${moment(lastUsedAt)}</dd>
      <dt>Re-checked</dt>
      <dd>${moment(checkedAt)}${version > 1 && `, changed ${version - 1} times`}</dd>
      <dt>Ends unused</dt>
      <dd>${moment(Math.min(lastUsedAt + idleSeconds, expiresAt))}</dd>
      <dt>Ends in any case</dt>
      <dd>${moment(expiresAt)}</dd>
    </dl>
  </section>`;
}

function personCard({ session, clusters }: SessionPageContent): Html {
  return html`<section class="card" aria-labelledby="who">
    <div class="card-head">
      <h2 id="who">What clusters are told</h2>
      <a class="button quiet compact" href="${accountHref(session.account)}">Everything of this person</a>
    </div>
    <dl class="facts">
      ${identityFacts(session.identity)}
      <dt>Account</dt>
      <dd><code>${session.account}</code></dd>
      <dt>May use</dt>
      <dd>${badges(clusters)}</dd>
    </dl>
  </section>`;
}

function sessionBody(content: SessionPageContent): Html {
  const { deps, session, requests, mayAct } = content;
  const revoke = html`<a class="button danger" href="${revokeHref({ kind: 'session', value: session.id })}"
    >Revoke this session</a
  >`;
  return html`<div class="row apart page-head">
      <div>
        <h1 class="clip">Session of <bdi>${session.identity.username}</bdi></h1>
        <p class="lead">${clientName(session.client)}, ${deviceOf(session.userAgent)}</p>
      </div>
      ${mayAct && revoke}
    </div>
    ${personCard(content)}
    <div class="grid">${deviceCard(content)} ${timesCard(content)}</div>
    ${requestsCard(deps, requests, `/admin/audit${queryString({ session: session.id })}`)}`;
}

/** @throws AdminError `session_not_found` */
export async function showSession(context: AdminPageContext): Promise<void> {
  const { service, deps, req, mayAct } = context;
  const id = sessionIdSchema.safeParse(req.params['id']);
  const session = id.success ? await deps.store.sessions.read(id.data) : undefined;
  if (session === undefined) throw sessionNotFound();
  const requests = await latestRequests(deps, [session]);
  const rule = workloadRule(session.account, deps.config);
  const clusters = service.clusters
    .usableBy(session.identity)
    .map(({ name }) => name)
    .filter((name) => rule?.clusters.includes(name) ?? true);
  auditRead(context, 'session', { target: `session:${session.id}` });
  sendAdminPage(context, {
    title: 'Session',
    section: 'sessions',
    body: sessionBody({ deps, session, clusters, requests, mayAct }),
  });
}
