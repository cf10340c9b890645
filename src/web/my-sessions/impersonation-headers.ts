/** The impersonation headers of a user, exactly as the data plane sends them to clusters, and the meaning of each. */
import { EXTRA_SESSION } from '../../core/core.ts';
import { impersonationHeaders, limitIdentity } from '../../core/http/upstream-headers.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebConfig } from '../dependencies.ts';
import { html, type Html } from '../page/html.ts';

/** Header lines of one name, and their meaning. */
interface HeaderGroup {
  readonly lines: readonly string[];
  readonly meaning: string;
}

interface ClusterHeaders {
  /** Names of the clusters that receive the same headers. */
  readonly clusters: readonly string[];
  readonly told: readonly HeaderGroup[];
}

const EXTRA = 'Impersonate-Extra-';

function meaningOf(header: string): string {
  switch (header) {
    case 'Impersonate-User':
      return 'Your name. Roles are bound to it, and the audit log of the cluster has it.';
    case 'Impersonate-Uid':
      return 'Your account at the identity provider. It stays the same when your name changes.';
    case 'Impersonate-Group':
      return 'Your groups, one line each. Roles are bound to them, too.';
    default: {
      const key = decodeURIComponent(header.slice(EXTRA.length)).toLowerCase();
      if (key === EXTRA_SESSION) {
        return 'The session of the request, for the audit logs of Portcullis and of the cluster. Here it is the one of this browser.';
      }
      return 'Set by your platform team, for access rules in the cluster.';
    }
  }
}

/** Values are UTF-8 bytes, one character a byte; the page shows the decoded text. */
function groupsOf(headers: readonly string[]): readonly HeaderGroup[] {
  const told = new Map<string, string[]>();
  for (let index = 0; index < headers.length; index += 2) {
    const [name = '', value = ''] = headers.slice(index, index + 2);
    const line = `${name}: ${Buffer.from(value, 'latin1').toString('utf8')}`;
    told.set(name, [...(told.get(name) ?? []), line]);
  }
  return [...told].map(([name, lines]) => ({ lines, meaning: meaningOf(name) }));
}

/**
 * Returns the headers by cluster, because a cluster may receive fewer groups than another (`impersonate`).
 * Clusters with the same headers are grouped.
 *
 * @param usable names of the clusters that the user may use
 */
function headersByCluster(
  user: SignedIn,
  clusters: WebConfig['clusters'],
  usable: readonly string[],
): readonly ClusterHeaders[] {
  const byHeaders = new Map<string, { clusters: string[]; told: readonly HeaderGroup[] }>();
  for (const { name, impersonate } of clusters.filter((cluster) => usable.includes(cluster.name))) {
    const headers = impersonationHeaders(limitIdentity(user.identity, impersonate), user.session);
    const key = JSON.stringify(headers);
    const same = byHeaders.get(key) ?? { clusters: [], told: groupsOf(headers) };
    same.clusters.push(name);
    byHeaders.set(key, same);
  }
  return [...byHeaders.values()];
}

const headerList = (told: readonly HeaderGroup[]): Html =>
  html`<dl class="headers">
    ${told.map(
      ({ lines, meaning }) =>
        html`${lines.map((line) => html`<dt><code>${line}</code></dt>`)}
          <dd>${meaning}</dd>`,
    )}
  </dl>`;

/** @param usable names of the clusters that the user may use */
export function impersonationCard(user: SignedIn, clusters: WebConfig['clusters'], usable: readonly string[]): Html {
  const all = headersByCluster(user, clusters, usable);
  return html`<section class="card" aria-labelledby="impersonation">
    <h2 id="impersonation">Headers that your clusters receive</h2>
    <p class="muted">
      Portcullis adds these headers to each of your requests. Clusters know your identity from them alone, and decide by
      them what you may do.
    </p>
    ${all.map((one) => html`${all.length > 1 && html`<h3>${one.clusters.join(', ')}</h3>`} ${headerList(one.told)}`)}
    ${all.length === 0 && html`<p class="empty">You have access to no cluster, so none receives any.</p>`}
  </section>`;
}
