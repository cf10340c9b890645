/**
 * My sessions, the user's own page: where they are signed in, their identity, their latest requests, and their
 * kubeconfig.
 */
import { Router, type RequestHandler, type Response } from 'express';
import { AppError } from '../../core/errors.ts';
import { sendPage } from '../page/response.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import type { WebConfig, WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { liftCommand } from '../../core/identity/fresh-sign-in.ts';
import type { Guards, PageHandler } from '../browser/guards.ts';
import { confirmEndOthers, endOne, endOthers } from './end-sessions.ts';
import { createClusters, type Clusters, type UsableCluster } from '../../core/identity/cluster-access.ts';
import { freshSignInNeeded } from '../../services/admin/admin.ts';
import { navigationFor } from '../page/navigation.ts';
import { proofNotice } from '../page/proof-notice.ts';
import { latestRequests, ownRequests, requestsTable } from '../page/recent-requests.ts';
import { signOut } from '../sign-in/sign-out.ts';
import { auditFailures } from '../../http/audit-events.ts';
import { impersonationCard } from './impersonation-headers.ts';
import { ownGrantsCard } from '../page/grants.ts';
import { card, facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { moment } from '../page/layout.ts';
import { nestedPage } from '../page/delegated-sessions.ts';
import { showOwnSession } from './session-page.ts';
import { sessionsCard, type SessionsContent } from './session-table.ts';
import { stringify } from 'yaml';
import { newKubeconfig } from '../../core/kubeconfig.ts';
import { defined } from '../../core/defined.ts';

interface PageContent extends SessionsContent {
  readonly config: Pick<WebConfig, 'installUrl' | 'contact'>;
  readonly clusters: readonly UsableCluster[];
  /** Epoch seconds since when the next sign-in has to be a fresh one. */
  readonly freshSince: number | undefined;
  /** The notice for an admin or approver who may be unable to prove a fresh sign-in. */
  readonly proof: Html | false;
  /** The card of what is granted to these sessions for a while. */
  readonly grants: Html | false;
  /** The card with the impersonation headers. */
  readonly headers: Html;
  /** The table of the latest requests. */
  readonly requests: Html;
}

/** The file name of the download, and in the commands below it. */
const KUBECONFIG_FILE = 'portcullis.kubeconfig.yaml';

function identityCard({ identity, account }: SignedIn): Html {
  const { username, groups } = identity;
  const names = html`<ul class="list">
    ${groups.map((group) => html`<li class="badge">${group}</li>`)}
  </ul>`;
  const list = facts([
    ['Username', html`<code>${username}</code>`],
    ['Groups', groups.length === 0 ? html`<span class="muted">none</span>` : names],
    ['Account', html`<code>${account}</code>`],
  ]);
  return card('identity', 'Your identity', list);
}

function kubeconfigSteps({ installUrl, contact }: PageContent['config']): Html {
  const install =
    installUrl === undefined
      ? html`Ask ${contact} where to get it (<code>docs/install-cli.md</code>).`
      : html`<a href="${installUrl}">Install it</a>.`;
  return html`<p><a class="button" href="/me/kubeconfig" download="${KUBECONFIG_FILE}">Download kubeconfig</a></p>
    <p class="small muted">
      It has one context for each cluster, and no credential. With it kubectl runs the command <code>portcullis</code>.
      ${install} Then, in a terminal:
    </p>
    <pre class="commands">
export KUBECONFIG=~/Downloads/${KUBECONFIG_FILE}
kubectl get pods</pre>`;
}

function clustersCard(clusters: readonly UsableCluster[], config: PageContent['config']): Html {
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
        ? html`<p class="empty">You have access to no cluster yet. Ask your platform team.</p>`
        : kubeconfigSteps(config)
    }
  </section>`;
}

const freshSignInNotice = ({ record }: SignedIn, since: number): Html =>
  html`<p class="notice">
    A session of yours was ended at ${moment(since)}. Your next sign-in at ${record.provider} has to be a fresh one. If
    it cannot be proven, an admin whose own sign-in is fresh can lift that:
    <code>${liftCommand(record.provider, record.account)}</code>
  </p>`;

function pageBody(content: PageContent): Html {
  return html`<div class="page-head">
      <h1>My sessions</h1>
      <p class="lead">When a session ends, everything it has open is cut immediately, on every replica.</p>
    </div>
    ${content.proof} ${content.freshSince !== undefined && freshSignInNotice(content.user, content.freshSince)}
    ${sessionsCard(content)} ${content.grants}
    <div class="grid">${identityCard(content.user)} ${clustersCard(content.clusters, content.config)}</div>
    <section class="card" aria-labelledby="requests">
      <h2 id="requests">My last 50 requests</h2>
      ${content.requests}
    </section>
    ${content.headers}`;
}

/**
 * Builds the same kubeconfig as `portcullis kubeconfig --print`: one context for each cluster, without a
 * credential.
 *
 * @param config our public URL, where the plugin signs in, and where users get the plugin
 * @param ca PEM to verify the clusters' addresses with; undefined: the system's CAs
 * @returns YAML
 */
export function kubeconfigFor(
  { publicUrl: server, installUrl }: Pick<WebConfig, 'publicUrl' | 'installUrl'>,
  clusters: readonly UsableCluster[],
  ca: string | undefined,
): string {
  const reached = clusters.map(({ name, publicUrl }) => ({
    name,
    server: publicUrl,
    ...defined({ caData: ca }),
  }));
  return stringify(
    newKubeconfig({ server, clusters: reached, command: 'portcullis', ...(installUrl && { installUrl }) }),
    { lineWidth: 0 },
  );
}

interface MySessionsParts {
  readonly deps: WebDeps;
  readonly browsers: BrowserSessions;
  readonly clusters: Clusters;
}

/** More would exceed the size budget of the page. The link to end all others includes those that are not listed. */
const MAX_LISTED = 20;
/** As many as one session may have beneath it by default. */
const MAX_DELEGATED = 20;

async function showPage({ deps, clusters }: MySessionsParts, res: Response, user: SignedIn): Promise<void> {
  const { account } = user;
  const { sessions: store } = deps.store;
  const [own, delegated] = await Promise.all([
    store.list({ account, only: 'own', limit: MAX_LISTED }),
    store.list({ account, only: 'delegated', limit: MAX_DELEGATED }),
  ]);
  const since = await freshSignInNeeded(deps, user.account);
  // A user who has authenticated since then is not asked again because of it.
  const freshSince = since !== undefined && (user.record.authTime ?? 0) >= since ? undefined : since;
  const latest = await latestRequests(deps, [...own.sessions, ...delegated.sessions]);
  const requests = requestsTable(deps, latest, ownRequests(deps));
  user.assertValid();
  const usable = clusters.usableBy(user.identity);
  const headers = impersonationCard(
    user,
    deps.config.clusters,
    usable.map(({ name }) => name),
  );
  const body = pageBody({
    config: deps.config,
    user,
    page: nestedPage(own, delegated),
    nowSeconds: nowSeconds(deps),
    clusters: usable,
    requests,
    grants: ownGrantsCard({ sessions: own.sessions, csrf: user.csrf, nowMs: deps.clock.nowMs() }),
    headers,
    freshSince,
    proof: proofNotice(deps, user),
  });
  sendPage(res, 200, { title: 'My sessions', body, navigation: navigationFor(deps, user, 'me') });
}

function download({ deps, clusters }: MySessionsParts, res: Response, user: SignedIn): void {
  const usable = clusters.usableBy(user.identity);
  if (usable.length === 0) {
    const message = 'You have access to no cluster, so there is no kubeconfig to download.';
    throw new AppError('forbidden', message, { reason: 'no_cluster' });
  }
  const text = kubeconfigFor(deps.config, usable, deps.apiCa?.());
  res.status(200).type('application/yaml').attachment(KUBECONFIG_FILE).send(text);
}

/** `/me`, `/me/kubeconfig`, `/me/sessions/:id`, `/me/sessions/:id/end`, `/me/end-others`, `/logout`. */
export function mySessions(deps: WebDeps, browsers: BrowserSessions, guards: Guards): Router {
  const parts: MySessionsParts = { deps, browsers, clusters: createClusters(deps.config) };
  const router = Router({ caseSensitive: true, strict: true });
  const { page } = guards;
  const action = (handler: PageHandler, options?: Parameters<Guards['action']>[1]): RequestHandler =>
    auditFailures(deps, 'logout-refused', guards.action(handler, options));
  router.get(
    '/me',
    page('me', (_req, res, user) => showPage(parts, res, user)),
  );
  router.get(
    '/me/kubeconfig',
    page('me', (_req, res, user) => download(parts, res, user)),
  );
  router.get(
    '/me/sessions/:id',
    page('me', (req, res, user) => showOwnSession(deps, res, user, String(req.params['id']))),
  );
  router.post(
    '/me/sessions/:id/end',
    action((req, res, user) => endOne(parts, req, res, user)),
  );
  router.get(
    '/me/end-others',
    page('me', (_req, res, user) => confirmEndOthers(deps, res, user)),
  );
  router.post(
    '/me/end-others',
    action((req, res, user) => endOthers(deps, req, res, user), { behind: 'forms' }),
  );
  router.post(
    '/logout',
    action((req, res, user) => signOut(parts, req, res, user)),
  );
  return router;
}
