/** The latest requests of a user's sessions: what was requested of which cluster, and the response. */
import { actorText } from '../../core/delegation/delegation.ts';
import { lastUseOf, type RecentRequest, type SessionRecord } from '../../store/store.ts';
import { type WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { html, type Html } from './html.ts';
import { momentAgo, momentsCaption } from './layout.ts';
import { table, type Column } from './table.ts';

const MAX_REQUESTS = 50;
/** Each one is read in the store. The others have not been used for longer than all of these. */
const MAX_SESSIONS = 20;

/** A request, and in a delegated session who acted in it. */
export interface LatestRequest extends RecentRequest {
  readonly actor?: string;
}

/**
 * Returns the latest requests, newest first; undefined where the store cannot be read, because the page is useful
 * without them.
 *
 * @param sessions of one user
 */
export async function latestRequests(
  deps: Pick<WebDeps, 'store' | 'logger'>,
  sessions: readonly SessionRecord[],
): Promise<readonly LatestRequest[] | undefined> {
  const latest = sessions.toSorted((left, right) => lastUseOf(right) - lastUseOf(left)).slice(0, MAX_SESSIONS);
  try {
    const read = await deps.store.recent.readEach(latest.map(({ id }) => id));
    return latest
      .flatMap((session, index) => actedIn(session, read[index] ?? []))
      .toSorted((left, right) => right.at - left.at)
      .slice(0, MAX_REQUESTS);
  } catch (err) {
    deps.logger.warn({ err }, 'recent requests not readable; the page shows none');
    return undefined;
  }
}

function actedIn({ delegation }: SessionRecord, requests: readonly RecentRequest[]): readonly LatestRequest[] {
  if (delegation === undefined) return requests;
  const actor = actorText(delegation);
  return requests.map((request) => ({ ...request, actor }));
}

/** Both are the user's requests, but not both are the user's doing. */
const actedThrough = ({ actor }: LatestRequest): Html | false =>
  actor !== undefined &&
  html`<span class="small"
    >by <strong><bdi>${actor}</bdi></strong
    >:</span
  >`;

/** An admin who reads only the session's user takes the rights of another for theirs, so both are named. */
const actedAs = ({ impersonatedUser }: RecentRequest): Html | false =>
  impersonatedUser !== undefined &&
  html`<span class="small"
    >as <strong><bdi>${impersonatedUser}</bdi></strong
    >:</span
  >`;

/** In the order that kubectl uses. */
function objectOf({ resource, namespace, name, uri }: RecentRequest): Html {
  if (resource === undefined) return html`<code>${uri}</code>`;
  return html`${resource} ${name !== undefined && html`<strong>${name}</strong>`}
  ${namespace !== undefined && html`<span class="muted">in ${namespace}</span>`}`;
}

/** For a user who asks others why: they find the request by it. */
const idOf = ({ auditId }: RecentRequest): Html =>
  html`<span class="small muted">request id <code>${auditId}</code></span>`;

/** An access grant gives its user more rights: not a delegated session beyond its limits, nor whom the user acts as. */
const isOwnRight = ({ code, actor, impersonatedUser }: LatestRequest): boolean =>
  code === 403 && actor === undefined && impersonatedUser === undefined;

/**
 * Shows who rejected a request, because the user asks a different team then: the proxy gives a reason, the cluster
 * gives none.
 */
function responseOf(request: LatestRequest, own: OwnRequests | undefined): Html {
  const { code, reason, open, resource } = request;
  if (reason !== undefined) {
    return html`<span class="state bad">${code === 0 ? 'cut' : code}</span>
      <span class="small muted">by Portcullis: ${reason.replaceAll('_', ' ')}</span> ${own && idOf(request)}`;
  }
  if (code === 0) return html`<span class="state quiet">no response</span>`;
  // A pod or a service behind `…/proxy` writes any status, also where it has done what was asked.
  const isCluster = resource?.endsWith('/proxy') !== true;
  if (isCluster && (code === 401 || code === 403)) {
    return html`<span class="state bad">${code}</span>
      <span class="small muted">denied by the cluster</span> ${own && idOf(request)}
      ${own?.mayAsk === true && isOwnRight(request) && html`<a class="small" href="/access">Ask for access</a>`}`;
  }
  return html`<span class="state ${code < 400 ? 'ok' : 'warn'}">${code}</span>${
      open === true && html` <span class="small muted">open</span>`
    }`;
}

/** Returns the URL of the audit events of a request. */
type HrefOf = (auditId: string) => string;

/** A user's own: without links to the audit log, which they may not read. */
interface OwnRequests {
  /** There are roles that users may ask for. */
  readonly mayAsk: boolean;
}

export const ownRequests = ({ config }: Pick<WebDeps, 'config'>): OwnRequests => ({
  mayAsk: config.access.roles.length > 0,
});

/** Returns as much of an id as tells it from others on a page. */
export const shortId = (id: string): string => id.slice(0, 8);

/**
 * @param requests undefined where they could not be read
 * @param shown to whom: to a reader of the audit log, to the user, or to others
 */
export function requestsTable(
  deps: Pick<WebDeps, 'clock'>,
  requests: readonly LatestRequest[] | undefined,
  shown?: HrefOf | OwnRequests,
): Html {
  const hrefOf = typeof shown === 'function' ? shown : undefined;
  const own = typeof shown === 'object' ? shown : undefined;
  if (requests === undefined)
    return html`<p class="empty">The requests cannot be read right now. Try again in a minute.</p>`;
  const epochSeconds = nowSeconds(deps);
  const columns: readonly (Column<LatestRequest> | false)[] = [
    { heading: 'When', cell: ({ at }) => momentAgo(Math.floor(at / 1000), epochSeconds) },
    { heading: 'Cluster', cell: ({ cluster }) => (cluster === '' ? '–' : cluster) },
    {
      heading: 'Request',
      kind: 'main',
      cell: (request) =>
        html`<span title="${request.uri}"
          >${actedThrough(request)} ${actedAs(request)}
          <code class="verb">${request.verb}</code> ${objectOf(request)}</span
        >`,
    },
    { heading: 'Response', kind: 'answer', cell: (request) => responseOf(request, own) },
    { heading: 'Address', cell: ({ address }) => (address === '' ? '–' : address) },
    hrefOf !== undefined && {
      heading: 'Request id',
      cell: ({ auditId }) => html`<a href="${hrefOf(auditId)}">${shortId(auditId)}</a>`,
    },
  ];
  const empty = 'No requests yet. They appear a few seconds after they are made.';
  return table({ columns, rows: requests, style: 'log', empty, caption: momentsCaption() });
}
