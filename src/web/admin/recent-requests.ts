/**
 * The latest requests of a person or of one session, with the way to those that come.
 */
import type { RecentRequest } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { html, type Html } from '../page/html.ts';
import { requestsTable } from '../page/recent-requests.ts';

/** @param live where the record of them can be followed */
export function requestsCard(
  deps: Pick<WebDeps, 'clock'>,
  requests: readonly RecentRequest[] | undefined,
  live: string,
): Html {
  return html`<section class="card" aria-labelledby="requests">
    <div class="card-head">
      <h2 id="requests">Latest requests</h2>
      <a class="button quiet compact" href="${live}">Follow live</a>
    </div>
    ${requestsTable(deps, requests)}
  </section>`;
}
