/**
 * `/admin/overview`: what an admin looks at first: what needs attention, how much is going on, the replicas, the last
 * revocations and rejections, and the health of clusters and identity providers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { History } from '../../audit/query/history.ts';
import { isActive, type AccessRequest } from '../../core/access/request.ts';
import { ACCESS } from '../../core/api/rejections.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { passed } from '../../http/problem.ts';
import { pastQuery, searchHistory } from '../../services/admin/admin.ts';
import { waiterOf } from '../../http/request-context.ts';
import type { ReplicaView } from '../../revocation/revocation.ts';
import type { WebDeps } from '../dependencies.ts';
import { html, type Html } from '../page/html.ts';
import { momentSeconds } from '../page/layout.ts';
import { eventLine, isReadBackTo, searchedText } from './audit-lines.ts';
import type { ComponentHealth } from '../../contracts/health.ts';
import { countOf } from './format.ts';
import type { AuditEvent } from '../../core/audit/event.ts';
import { auditHref, queryString, REVOKED } from './links.ts';
import { accessHref } from '../page/access-text.ts';
import { healthCards, type Health } from './health-cards.ts';
import { replicasCard } from './replicas-card.ts';
import { adminContextAt, sendAdminPage, type AdminPageContext } from './admin-frame.ts';

const SHOWN = 5;
const MOST_COUNTED = 100;
/** More than are shown: a monitor runs a drill every few minutes, and each one revokes. */
const REVOKED_READ = 50;
/** The page waits for each search of the audit log, and for the health checks. */
const SEARCH_MS = 1000;
const HEALTH_MS = 1500;

const DAY_MS = 86_400_000;
/** Of access requests that wait so many are looked at, and of break-glass roles so many are named. */
const ACCESS_READ = 50;
const MOST_SAID = 20;

const REJECTED = { refused: 'true', since: '1h' } as const;

interface Overview {
  readonly nowMs: number;
  readonly sessions: number;
  readonly locks: number;
  /** Requests and streams in flight on this replica. */
  readonly open: number;
  readonly replicas: readonly ReplicaView[];
  /** Undefined while they are still being checked. */
  readonly health: Health | undefined;
  /** Access requests that wait for this admin, and active grants that needed no approval. */
  readonly access: {
    readonly waiting: readonly AccessRequest[];
    readonly breakGlass: readonly AccessRequest[];
    /** False: there are more grants than were looked at. */
    readonly isWhole: boolean;
  };
  /** Undefined: there is no file, or it cannot be searched now. */
  readonly rejected: History | undefined;
  readonly revoked: History | undefined;
}

const auditLink = (query: Readonly<Record<string, string>>): string => `/admin/audit${queryString(query)}`;

const figure = (label: string, value: string, href: string): Html =>
  html`<div class="figure">
    <dt><a href="${href}">${label}</a></dt>
    <dd>${value}</dd>
  </div>`;

function figures({ sessions, locks, open, replicas, rejected }: Overview): Html {
  const serving = replicas.filter(({ state }) => state === 'live').length;
  const more = rejected?.stopped === undefined ? '' : '+';
  return html`<dl class="figures">
    ${figure('Sessions', String(sessions), '/admin')}
    ${figure('Open on this replica', String(open), auditLink({ since: '1h' }))}
    ${figure('Rejected in the last hour', rejected === undefined ? '–' : `${rejected.hits.length}${more}`, auditLink(REJECTED))}
    ${figure('Replicas serving', `${serving} of ${replicas.length}`, '#replicas')}
    ${figure('Locked accounts', String(locks), '/admin/locks')}
  </dl>`;
}

const LEASES: Readonly<Record<Exclude<ReplicaView['state'], 'live'>, string>> = {
  silent: 'is silent: it rejects every request until it renews its lease',
  fenced: 'is fenced: it has lost its lease and rejects every request',
};

const down = ({ clusters = [], providers = [] }: Partial<Health> = {}): readonly Html[] => {
  const items = (href: string, components: readonly ComponentHealth[]): readonly Html[] =>
    components
      .filter(({ state }) => state === 'down')
      .map(
        ({ name, problem }) =>
          html`<span class="state bad">Unhealthy</span>
            <a href="${href}">${name}</a>${problem !== undefined && `: ${problem}`}`,
      );
  return [...items('#clusters', clusters), ...items('#providers', providers)];
};

/** Revocations of the last day that were not done. */
const failed = ({ hits = [] }: Partial<History> = {}, nowMs: number): readonly Html[] =>
  hits
    .map(({ event }) => event)
    .filter(({ responseStatus }) => (responseStatus?.code ?? 500) >= 500)
    .filter(({ stageTimestamp }) => Date.parse(stageTimestamp) > nowMs - DAY_MS)
    .slice(0, SHOWN)
    .map(
      (event) =>
        html`<span class="state bad">Not revoked</span> <a href="${auditHref(event.auditID)}">a revocation failed</a> at
          ${momentSeconds(event.stageTimestamp)}.`,
    );

function accessItems({ waiting, breakGlass, isWhole }: Overview['access']): readonly Html[] {
  const count = countOf(waiting.length, 'access request waits', 'access requests wait');
  const forYou = html`<span class="state warn">For you</span> <a href="/access">${count}</a> for you to decide.`;
  const used = breakGlass.map(
    ({ id, username, terms }) =>
      html`<span class="state warn">Break-glass</span> <bdi>${username}</bdi> has
        <a href="${accessHref(id)}">${terms.name}</a> now, without approval.`,
  );
  const more = html`<span class="state warn">Not finished</span> More grants are active than were looked at for
    break-glass: <a href="/admin/access?state=granted">see all of them</a>.`;
  return [...(waiting.length > 0 ? [forYou] : []), ...used, ...(isWhole ? [] : [more])];
}

function attentionOf({ replicas, health, access, revoked, nowMs }: Overview): readonly Html[] {
  const lapsed = replicas.flatMap(({ id, state }) =>
    state === 'live'
      ? []
      : [html`<span class="state bad">Replica</span> <a href="#replicas">${id}</a> ${LEASES[state]}.`],
  );
  return [...lapsed, ...failed(revoked, nowMs), ...down(health), ...accessItems(access)];
}

/** What the script shows in place of *Nothing* once the card of the replicas knows better. */
const nothing = (checked: boolean): Html =>
  html`<p data-replicas="live">
      ${
        checked
          ? html`<span class="state ok">Nothing</span>: every replica has a valid lease, and clusters and identity
              providers respond.`
          : 'Clusters and identity providers are still being checked: load the page again.'
      }
    </p>
    <p data-replicas="lapsed" hidden>
      <span class="state bad">Replica</span> <a href="#replicas">One of them</a> does not serve any more.
    </p>
    <p data-replicas="unknown" hidden>
      <span class="state quiet">unknown</span> The server has sent nothing for some seconds. What is below was so
      before.
    </p>`;

function attentionCard(content: Overview): Html {
  const items = attentionOf(content);
  return html`<section class="card" aria-labelledby="attention">
    <h2 id="attention">Needs attention</h2>
    ${
      items.length === 0
        ? nothing(content.health !== undefined)
        : html`<ul class="stack">
            ${items.map((item) => html`<li>${item}</li>`)}
          </ul>`
    }
  </section>`;
}

interface EventsCard {
  readonly id: string;
  readonly title: string;
  readonly none: string;
  readonly query: Readonly<Record<string, string>>;
  readonly found: History | undefined;
}

function eventsCard({ id, title, none, query, found }: EventsCard): Html {
  const events = found?.hits.slice(0, SHOWN) ?? [];
  // Drills are left out of what was read: a monitor, or an admin who makes sixty, would hide a revocation behind them.
  const nothing =
    found?.stopped === undefined ? none : 'The search ended at its limit before it found one: open all of them.';
  const oldest = events.at(-1)?.event.stageTimestamp ?? '';
  const isWhole = found?.stopped === undefined || (events.length === SHOWN && isReadBackTo(found, Date.parse(oldest)));
  const message = found === undefined ? 'No audit file can be searched now.' : nothing;
  return html`<section class="card" aria-labelledby="${id}">
    <div class="card-head">
      <h2 id="${id}">${title}</h2>
      <a class="button quiet compact" href="${auditLink(query)}">All of them</a>
    </div>
    ${
      events.length === 0
        ? html`<p class="empty">${message}</p>`
        : html`<ol class="record" reversed>
            ${events.map(({ event }) => eventLine(event))}
          </ol>`
    }
    ${
      events.length > 0 &&
      !isWhole &&
      html`<p class="small">
        <span class="state warn">Not finished</span> The search ended at its limit: open all of them.
      </p>`
    }
  </section>`;
}

/** Of both searches the one that found less. */
function searchedIn({ revoked, rejected }: Overview): Html | false {
  const found = [revoked, rejected].filter((one) => one !== undefined);
  const worst = found.toSorted((left, right) => (right.missing ?? []).length - (left.missing ?? []).length)[0];
  return worst !== undefined && html`Events are from the audit files of ${searchedText(worst)}`;
}

function nowBody(content: Overview, { deps, mayAct }: AdminPageContext): Html {
  const { revoked, rejected, replicas, health } = content;
  return html`<div class="title">
      <h1>Now</h1>
      <p class="lead">${countOf(content.sessions, 'session')} on all replicas. ${searchedIn(content)}</p>
    </div>
    ${attentionCard(content)} ${figures(content)} ${replicasCard(replicas, { live: '/admin/api/v1/replicas', mayAct })}
    ${eventsCard({ id: 'revoked', title: 'Last revocations', none: 'No revocation in 30 days.', query: REVOKED, found: revoked })}
    ${eventsCard({ id: 'rejected', title: 'Last rejections', none: 'No rejection in the last hour.', query: REJECTED, found: rejected })}
    ${healthCards(deps, health, nowSeconds(deps))}`;
}

/** The page is useful without the past, so a search that cannot run is not an error of the page. */
async function pastOf(
  { deps, req }: AdminPageContext,
  filter: Readonly<Record<string, string>>,
  events: number,
): Promise<History | undefined> {
  const query = pastQuery(filter, deps.clock.nowMs());
  const found = await searchHistory(deps, waiterOf(req), query, { events, ms: SEARCH_MS }).catch(() => undefined);
  return found?.ok === true ? found.value : undefined;
}

/** A drill revokes a session of its own, which tells an admin nothing. */
function withoutDrills(found: History | undefined): History | undefined {
  const isDrill = ({ requestURI }: AuditEvent): boolean => /\/drills?$/.test(requestURI);
  return found && { ...found, hits: found.hits.filter(({ event }) => !isDrill(event)) };
}

/** A cluster that does not respond takes as long as its time limit, and the page must not. */
async function healthOf({ health }: WebDeps): Promise<Health | undefined> {
  if (health === undefined) return { clusters: [], providers: [] };
  const checked = Promise.all([health.clusters(), health.providers()]);
  const all = await Promise.race([checked, delay(HEALTH_MS, undefined, { ref: false })]);
  return all && { clusters: all[0], providers: all[1] };
}

async function accessOf(context: AdminPageContext): Promise<Overview['access']> {
  const { access, clock } = context.deps;
  if (access === undefined) return { waiting: [], breakGlass: [], isWhole: true };
  const caller = adminContextAt(context);
  const [queue, active] = await Promise.all([access.queue(caller, { limit: ACCESS_READ }), access.active(caller)]);
  const { requests, cursor } = passed(ACCESS, active);
  return {
    waiting: queue.requests.filter(({ state }) => state === 'open'),
    breakGlass: requests
      .filter((one) => one.terms.approval === 'none' && isActive(one, clock.nowMs()))
      .slice(0, MOST_SAID),
    isWhole: cursor === undefined,
  };
}

async function overviewOf(context: AdminPageContext): Promise<Overview> {
  const { deps } = context;
  const { store, guard } = deps;
  const [sessions, locks, health, access] = await Promise.all([
    store.sessions.count(),
    store.locks.list(),
    healthOf(deps),
    accessOf(context),
  ]);
  // One after the other, because each admin has one search at a time.
  const revoked = withoutDrills(await pastOf(context, REVOKED, REVOKED_READ));
  const rejected = await pastOf(context, REJECTED, MOST_COUNTED);
  const open = guard.sessionsInFlight().reduce((sum, { flights }) => sum + flights, 0);
  return {
    nowMs: deps.clock.nowMs(),
    sessions,
    locks: locks.length,
    health,
    access,
    revoked,
    rejected,
    open,
    replicas: guard.replicas,
  };
}

export async function showNow(context: AdminPageContext): Promise<void> {
  const body = nowBody(await overviewOf(context), context);
  sendAdminPage(context, { title: 'Now', read: { reason: 'overview' }, body, scripts: ['replicas.js'] });
}
