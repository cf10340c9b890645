/**
 * Parts of the user's and the session's page: the identity in the clusters, also as the audit log last had it, and the
 * latest requests.
 */
import type { Hit } from '../../audit/query/matcher.ts';
import type { WebDeps } from '../dependencies.ts';
import type { Fact } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { auditHref } from './links.ts';
import { requestsTable, type LatestRequest } from '../page/recent-requests.ts';
import type { Identity } from '../../core/identity/identity.ts';

/**
 * Returns the card of the latest requests.
 * @param latest `searched`: all were looked at. If not, *none* is not said
 * @param log the URL of the audit log of these requests
 * @param note what may be missing
 */
export function requestsCard(
  deps: Pick<WebDeps, 'clock'>,
  { requests, searched }: { readonly requests: readonly LatestRequest[] | undefined; readonly searched: boolean },
  log: string,
  note: Html | false = false,
): Html {
  return html`<section class="card" aria-labelledby="requests">
    <div class="card-head">
      <h2 id="requests">Latest requests</h2>
      <a class="button quiet compact" href="${log}">Audit log</a>
    </div>
    ${note} ${(searched || requests?.length !== 0) && requestsTable(deps, requests, auditHref)}
  </section>`;
}

/** Further groups are only counted, because a user may be in a thousand of them. */
const MAX_GROUPS = 40;

export function badges(names: readonly string[]): Html {
  if (names.length === 0) return html`<span class="muted">none</span>`;
  const more = names.length - MAX_GROUPS;
  return html`<ul class="list">
    ${names.slice(0, MAX_GROUPS).map((name) => html`<li class="badge">${name}</li>`)}
    ${more > 0 && html`<li class="muted">and ${more} more</li>`}
  </ul>`;
}

export const identityFacts = ({ username, groups, uid, extra }: Identity): readonly Fact[] => [
  ['Username', html`<code>${username}</code>`],
  ['Groups', badges(groups)],
  uid !== '' && ['UID', html`<code>${uid}</code>`],
  ...Object.entries(extra).map(([key, values]): Fact => [key, values.join(', ')]),
];

/** Who a user was in the clusters when they were last seen. */
export interface SeenIdentity {
  readonly identity: Identity;
  /** Epoch seconds. */
  readonly seenAt: number;
}

/**
 * Returns the identity in the newest event that has one.
 * @param hits the newest first
 */
export function lastIdentity(hits: readonly Hit[]): SeenIdentity | undefined {
  for (const { event } of hits) {
    const { username, groups = [], uid = '', extra = {} } = event.user;
    const seenAt = Math.floor(Date.parse(event.requestReceivedTimestamp) / 1000);
    if (username !== undefined) return { identity: { username, groups, uid, extra }, seenAt };
  }
  return undefined;
}
