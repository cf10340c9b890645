/**
 * `/admin/sessions/:id`: one session, with its device, its times and its latest requests; for seven days after its end,
 * what the audit log has of it.
 */
import { ADMIN } from '../../core/api/rejections.ts';
import type { AuditEvent } from '../../core/audit/event.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { passed, problemFor } from '../../http/problem.ts';
import { waiterOf } from '../../http/request-context.ts';
import { idleEndOf, lastUseOf, type SessionPage, type SessionRecord } from '../../store/store.ts';
import type { Delegation } from '../../core/delegation/delegation.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { actorName, delegationFacts, rightsCard } from '../page/delegated-sessions.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import type { WebDeps } from '../dependencies.ts';
import { grantFacts } from '../page/grants.ts';
import { card, facts, type Fact } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { moment } from '../page/layout.ts';
import { eventLine, searchedText } from './audit-lines.ts';
import { badges, identityFacts, lastIdentity, requestsCard } from './shared-cards.ts';
import { accountHref, queryString, revokeHref, sessionHref } from './links.ts';
import { countOf } from './format.ts';
import { sessionTable } from './session-table.ts';
import { sessionIdSchema } from '../../core/api/fields.ts';
import { latestRequests, type LatestRequest } from '../page/recent-requests.ts';
import { pastQuery, searchHistory, workloadRule } from '../../services/admin/admin.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';

interface SessionPageContent {
  readonly deps: Pick<WebDeps, 'clock'>;
  readonly session: SessionRecord;
  /** The names of the clusters that the user may use now. */
  readonly clusters: readonly string[];
  readonly requests: readonly LatestRequest[] | undefined;
  /** Delegated sessions beneath it, the newest. */
  readonly beneath: SessionPage;
  readonly mayAct: boolean;
}

function openedHow({ delegation, device }: SessionRecord): string {
  if (delegation !== undefined) return 'no: delegated from another session';
  return device === true ? 'with a code, on another device' : 'in a browser';
}

function deviceCard({ session }: SessionPageContent): Html {
  const { id, client, userAgent, address, deviceName, thumbprint } = session;
  const named =
    deviceName !== undefined && html`${quotedName(deviceName)} <span class="small muted">as the program gave it</span>`;
  const unbound = html`<span class="muted"
    >none yet: the first token of a program binds one, browsers use a cookie</span
  >`;
  const list = facts([
    ['Client', html`${clientName(client)} <code class="muted">${client}</code>`],
    ['Device', [deviceOf(userAgent), userAgent !== '' && html`<br /><span class="small muted">${userAgent}</span>`]],
    ['Device name', named || html`<span class="muted">none given</span>`],
    ['IP address', address === '' ? '–' : address],
    ['Signed in', openedHow(session)],
    ['Client certificate', thumbprint === undefined ? unbound : html`<code>${thumbprint}</code>`],
    ['Session', html`<code>${id}</code>`],
  ]);
  return card('device', 'Device', list);
}

function timesCard({ session }: SessionPageContent): Html {
  const { createdAt, authTime, checkedAt, expiresAt, version, delegation } = session;
  const unsaid = html`<span class="muted">the provider does not say</span>`;
  const list = facts([
    [delegation === undefined ? 'Signed in' : 'Delegated', moment(createdAt)],
    delegation === undefined && ['Authenticated', authTime === undefined ? unsaid : moment(authTime)],
    ['Last used', moment(lastUseOf(session))],
    ['Checked at the provider', [moment(checkedAt), version > 1 && `, changed ${version - 1} times`]],
    ['Idle timeout', moment(Math.min(idleEndOf(session), expiresAt))],
    ['Expires', moment(expiresAt)],
  ]);
  return card('times', 'Times', list);
}

/** Returns who acts in a delegated session, and the sessions above it. */
function delegationCard(delegation: Delegation): Html {
  const { ancestors } = delegation;
  const [own = '', parent = ''] = [ancestors[0], ancestors.at(-1)];
  const link = (id: string): Html => html`<a href="${sessionHref(id)}"><code>${id}</code></a>`;
  const above: readonly Fact[] = [['From', link(parent)], parent !== own && ['User’s own session', link(own)]];
  const note = html`<p class="small muted">It ends with each session above it, by the same revocation.</p>`;
  return card('delegation', 'Delegated', facts([...delegationFacts(delegation), ...above]), note);
}

function beneathCard({ deps, session, beneath, mayAct }: SessionPageContent): Html | false {
  const { sessions, cursor } = beneath;
  if (sessions.length === 0) return false;
  const all = `/admin${queryString({ ancestor: session.id })}`;
  return html`<section class="card" aria-labelledby="beneath">
    <div class="card-head">
      <h2 id="beneath">
        Delegated from it: ${cursor !== undefined && 'more than '}${countOf(sessions.length, 'session')}
      </h2>
      <a class="button quiet compact" href="${all}">In the list</a>
    </div>
    ${sessionTable({ sessions, now: nowSeconds(deps), mayAct, singleUser: true })}
  </section>`;
}

function identityCard({ deps, session, clusters }: SessionPageContent): Html {
  return html`<section class="card" aria-labelledby="who">
    <div class="card-head">
      <h2 id="who">Identity in the clusters</h2>
      <a class="button quiet compact" href="${accountHref(session.account)}">All sessions of this user</a>
    </div>
    ${facts([
      ...identityFacts(session.identity),
      ['Account', html`<code>${session.account}</code>`],
      ['May use', badges(clusters)],
      grantFacts(session, deps.clock.nowMs()),
    ])}
  </section>`;
}

function sessionBody(content: SessionPageContent): Html {
  const { deps, session, requests, mayAct } = content;
  const { delegation } = session;
  const revoke = html`<a class="button danger" href="${revokeHref({ kind: 'session', value: session.id })}"
    >Revoke this session</a
  >`;
  return html`<div class="row apart page-head">
      <div>
        <h1 class="clip">Session of <bdi>${session.identity.username}</bdi></h1>
        <p class="lead">
          ${
            delegation === undefined
              ? `${clientName(session.client)}, ${deviceOf(session.userAgent)}`
              : html`Delegated to ${actorName(delegation)}`
          }
        </p>
      </div>
      ${mayAct && revoke}
    </div>
    ${delegation !== undefined && html`<div class="grid">${delegationCard(delegation)} ${rightsCard(delegation)}</div>`}
    ${identityCard(content)} ${beneathCard(content)}
    <div class="grid">${deviceCard(content)} ${timesCard(content)}</div>
    ${requestsCard(deps, { requests, searched: true }, `/admin/audit${queryString({ session: session.id })}`)}`;
}

/** As many as one session may have beneath it by default. */
const MAX_BENEATH = 20;

/** For as long as the page of its user names what it did. */
const ENDED = '7d';
/** The page waits for it. Milliseconds. */
const ENDED_MS = 2000;
const ENDED_EVENTS = 50;
const MOST_READ = 300;
const UNFINISHED =
  'The search of the audit log ended before it found this session. Try again, or search the audit log.';

/**
 * Returns the page of a session that is not live: what the audit log has of it.
 * @throws ProblemError `session_not_found` where nothing of it is found
 */
async function endedBody({ deps, req }: AdminPageContext, session: string): Promise<Html> {
  const query = pastQuery({ session, since: ENDED }, deps.clock.nowMs());
  const tried = await searchHistory(deps, waiterOf(req), query, { events: MOST_READ, ms: ENDED_MS });
  const { hits: found, stopped, ...asked } = passed(ADMIN, tried) ?? { hits: [] };
  // Each look at this page is in the trail too, and would take the places of what was done.
  const hits = found.filter(({ event }) => event.verb !== 'admin-read').slice(0, ENDED_EVENTS);
  // An admin who revoked it is in its trail too.
  const own = hits.filter(({ event }) => isIn(session, event));
  const seen = lastIdentity(own);
  const account = own.map(({ event }) => event.annotations[`${EXTRA_DOMAIN}/account`]).find(isText);
  if (seen === undefined || account === undefined) {
    // What was not searched to its end may have it.
    if (stopped !== undefined) throw problemFor(ADMIN, { reason: 'too_many_requests', message: UNFINISHED });
    throw problemFor(ADMIN, { reason: 'session_not_found' });
  }
  const limit =
    stopped === 'events'
      ? html`<span class="muted">The newest ${hits.length}.</span>`
      : stopped !== undefined &&
        html`<span class="state warn">Not finished</span> The search took too long: the audit log has a longer one.`;
  const identity = facts([...identityFacts(seen.identity), ['Account', html`<code>${account}</code>`]]);
  return html`<div class="row apart page-head">
      <div>
        <h1 class="clip">Session of <bdi>${seen.identity.username}</bdi></h1>
        <p class="lead">Not live any more: revoked, signed out or expired. Last seen ${moment(seen.seenAt)}.</p>
      </div>
      <a class="button" href="${accountHref(account)}">This user</a>
    </div>
    <section class="card" aria-labelledby="trail">
      <div class="card-head">
        <h2 id="trail">What was done in it</h2>
        <a class="button quiet compact" href="/admin/audit${queryString({ session, since: ENDED })}">Audit log</a>
      </div>
      <p class="small">${searchedText(asked)} ${limit}</p>
      <ol class="record" reversed>
        ${hits.map(({ event }) => eventLine(event))}
      </ol>
      <p class="small muted">What replicas that are gone had written is where the audit log is collected.</p>
    </section>
    ${card('who', 'Identity in the clusters, as of its last request', identity)}`;
}

const isIn = (session: string, { annotations }: AuditEvent): boolean =>
  ['session', 'delegated-session'].some((name) => annotations[`${EXTRA_DOMAIN}/${name}`] === session);

const isText = (value: string | undefined): value is string => value !== undefined;

/**
 * Shows one session, or what it leaves behind in the audit log.
 * @throws ProblemError `session_not_found`
 */
export async function showSession(context: AdminPageContext): Promise<void> {
  const { service, deps, req, mayAct } = context;
  const id = sessionIdSchema.safeParse(req.params['id']);
  if (!id.success) throw problemFor(ADMIN, { reason: 'session_not_found' });
  const read = { reason: 'session', details: { target: `session:${id.data}` } };
  const session = await deps.store.sessions.read(id.data);
  if (session === undefined) {
    const body = await endedBody(context, id.data);
    sendAdminPage(context, { title: 'Session that has ended', read, body });
    return;
  }
  const [requests, beneath] = await Promise.all([
    latestRequests(deps, [session]),
    deps.store.sessions.list({ ancestor: session.id, limit: MAX_BENEATH }),
  ]);
  const rule = workloadRule(session.account, deps.config);
  const clusters = service.clusters
    .usableBy(session.identity)
    .map(({ name }) => name)
    .filter((name) => rule?.clusters.includes(name) ?? true)
    .filter((name) => session.delegation?.clusters.includes(name) ?? true);
  sendAdminPage(context, {
    title: 'Session',
    read,
    body: sessionBody({ deps, session, clusters, requests, beneath, mayAct }),
  });
}
