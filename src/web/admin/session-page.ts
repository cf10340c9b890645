/**
 * `/admin/sessions/:id`: one session, with its device, its times and its latest requests.
 */
import { idleEndOf, lastUseOf, type RecentRequest, type SessionRecord } from '../../store/store.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
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
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';

interface SessionPageContent {
  readonly deps: Pick<WebDeps, 'clock'>;
  readonly session: SessionRecord;
  /** The names of the clusters that the user may use now. */
  readonly clusters: readonly string[];
  readonly requests: readonly RecentRequest[] | undefined;
  readonly mayAct: boolean;
}

function deviceCard({ session }: SessionPageContent): Html {
  const { id, client, userAgent, address, device, deviceName, thumbprint } = session;
  return html`<section class="card" aria-labelledby="device">
    <h2 id="device">Device</h2>
    <dl class="facts">
      <dt>Client</dt>
      <dd>${clientName(client)} <code class="muted">${client}</code></dd>
      <dt>Device</dt>
      <dd>${deviceOf(userAgent)}${userAgent !== '' && html`<br /><span class="small muted">${userAgent}</span>`}</dd>
      <dt>Device name</dt>
      <dd>
        ${
          deviceName === undefined
            ? html`<span class="muted">none given</span>`
            : html`${quotedName(deviceName)} <span class="small muted">as the program gave it</span>`
        }
      </dd>
      <dt>IP address</dt>
      <dd>${address === '' ? '–' : address}</dd>
      <dt>Signed in</dt>
      <dd>${device === true ? 'with a code, on another device' : 'in a browser'}</dd>
      <dt>Client certificate</dt>
      <dd>
        ${
          thumbprint === undefined
            ? html`<span class="muted">none yet: the first token of a program binds one, browsers use a cookie</span>`
            : html`<code>${thumbprint}</code>`
        }
      </dd>
      <dt>Session</dt>
      <dd><code>${id}</code></dd>
    </dl>
  </section>`;
}

function timesCard({ session }: SessionPageContent): Html {
  const { createdAt, authTime, checkedAt, expiresAt, version } = session;
  return html`<section class="card" aria-labelledby="times">
    <h2 id="times">Times</h2>
    <dl class="facts">
      <dt>Signed in</dt>
      <dd>${moment(createdAt)}</dd>
      <dt>Authenticated</dt>
      <dd>${authTime === undefined ? html`<span class="muted">the provider does not say</span>` : moment(authTime)}</dd>
      <dt>Last used</dt>
      <dd>${moment(lastUseOf(session))}</dd>
      <dt>Checked at the provider</dt>
      <dd>${moment(checkedAt)}${version > 1 && `, changed ${version - 1} times`}</dd>
      <dt>Idle timeout</dt>
      <dd>${moment(Math.min(idleEndOf(session), expiresAt))}</dd>
      <dt>Expires</dt>
      <dd>${moment(expiresAt)}</dd>
    </dl>
  </section>`;
}

function identityCard({ session, clusters }: SessionPageContent): Html {
  return html`<section class="card" aria-labelledby="who">
    <div class="card-head">
      <h2 id="who">Identity in the clusters</h2>
      <a class="button quiet compact" href="${accountHref(session.account)}">All sessions of this user</a>
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
    ${identityCard(content)}
    <div class="grid">${deviceCard(content)} ${timesCard(content)}</div>
    ${requestsCard(deps, requests, `/admin/audit${queryString({ session: session.id })}`)}`;
}

/** Shows one session. @throws AdminError `session_not_found` */
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
  sendAdminPage(context, {
    title: 'Session',
    section: 'sessions',
    read: { reason: 'session', details: { target: `session:${session.id}` } },
    body: sessionBody({ deps, session, clusters, requests, mayAct }),
  });
}
