/**
 * The markup of the own page.
 */
import type { SignedIn } from '../browser/browser-session.ts';
import { html, type Html } from '../page/html.ts';
import type { UsableCluster } from '../../core/identity/cluster-access.ts';
import { moment } from '../page/layout.ts';
import { sessionsCard, type SessionsContent } from './session-table.ts';

interface OwnPageContent extends SessionsContent {
  readonly clusters: readonly UsableCluster[];
  /** Since when the next sign-in has to be a fresh one, epoch seconds. */
  readonly freshSince: number | undefined;
  /** What clusters are told. */
  readonly told: Html;
  /** The latest requests. */
  readonly requests: Html;
}

/** What the download is named, and the commands that come next say. */
export const KUBECONFIG_FILE = 'portcullis.kubeconfig.yaml';

function identityCard({ identity, account }: SignedIn): Html {
  const { username, groups } = identity;
  const names = html`<ul class="list">
    ${groups.map((group) => html`<li class="badge">${group}</li>`)}
  </ul>`;
  return html`<section class="card" aria-labelledby="who">
    <h2 id="who">Who you are here</h2>
    <dl class="facts">
      <dt>Username</dt>
      <dd><code>${username}</code></dd>
      <dt>Groups</dt>
      <dd>${groups.length === 0 ? html`<span class="muted">none</span>` : names}</dd>
      <dt>Account</dt>
      <dd><code>${account}</code></dd>
    </dl>
  </section>`;
}

function kubeconfigSteps(): Html {
  return html`<p><a class="button" href="/me/kubeconfig" download="${KUBECONFIG_FILE}">Download kubeconfig</a></p>
    <p class="small muted">One context for each cluster, and no credential inside. Then, in a terminal:</p>
    <pre class="commands">
export KUBECONFIG=~/Downloads/${KUBECONFIG_FILE}
kubectl get pods</pre>`;
}

function clustersCard(clusters: readonly UsableCluster[]): Html {
  const names = html`<ul class="list">
    ${clusters.map((cluster) => html`<li class="badge">${cluster.name}</li>`)}
  </ul>`;
  return html`<section class="card" aria-labelledby="clusters">
    <div class="card-head">
      <h2 id="clusters">Your clusters</h2>
      ${clusters.length > 0 && names}
    </div>
    ${
      clusters.length === 0
        ? html`<p class="empty">No cluster allows you in yet. Ask your platform team.</p>`
        : kubeconfigSteps()
    }
  </section>`;
}

const freshSignInNotice = ({ record }: SignedIn, since: number): Html =>
  html`<p class="notice">
    A session of yours was ended at ${moment(since)}. The next time you sign in, ${record.provider} asks again who you
    are. If it cannot, an admin can lift that.
  </p>`;

export function ownPageBody(content: OwnPageContent): Html {
  return html`<div class="page-head">
      <h1>My sessions</h1>
      <p class="lead">Ending a session cuts whatever it has open, at once, on every replica.</p>
    </div>
    ${content.freshSince !== undefined && freshSignInNotice(content.person, content.freshSince)}
    ${sessionsCard(content)}
    <div class="grid">${identityCard(content.person)} ${clustersCard(content.clusters)}</div>
    <section class="card" aria-labelledby="requests">
      <h2 id="requests">My last 50 requests</h2>
      ${content.requests}
    </section>
    ${content.told}`;
}
