/**
 * The person's own page: where they are signed in, who they are to the clusters, what they asked of them, and their kubeconfig.
 */
import { Router, type RequestHandler, type Response } from 'express';
import { AppError } from '../../core/errors.ts';
import { sendPage } from '../page/response.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import { type WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import type { Guards, PageHandler } from '../browser/guards.ts';
import { confirmEndOthers, endOne, endOthers } from './end-sessions.ts';
import { kubeconfigFor } from './kubeconfig.ts';
import { createClusters, type Clusters } from '../../core/identity/cluster-access.ts';
import { freshSignInNeeded } from '../../admin/fresh-sign-ins.ts';
import { navigationFor } from '../page/navigation.ts';
import { latestRequests, requestsTable } from '../page/recent-requests.ts';
import { KUBECONFIG_FILE, ownPageBody } from './my-sessions-body.ts';
import { signOut } from '../sign-in/sign-out.ts';
import { auditFailures } from '../../http/audit-events.ts';
import { toldCard } from './impersonation-headers.ts';

interface OwnPage {
  readonly deps: WebDeps;
  readonly browsers: BrowserSessions;
  readonly clusters: Clusters;
}

/** More would make the page heavier than its budget; ending all others means all of them. */
const LISTED = 30;

async function show({ deps, clusters }: OwnPage, res: Response, person: SignedIn): Promise<void> {
  const { sessions, cursor } = await deps.store.sessions.list({ account: person.account, limit: LISTED });
  const since = await freshSignInNeeded(deps, person.account);
  // Who has authenticated since will not be asked again by it.
  const freshSince = since !== undefined && (person.record.authTime ?? 0) >= since ? undefined : since;
  const requests = requestsTable(deps, await latestRequests(deps, sessions));
  person.assertGood();
  const usable = clusters.usableBy(person.identity);
  const told = toldCard(
    person,
    deps.config.clusters,
    usable.map(({ name }) => name),
  );
  const now = nowSeconds(deps);
  const more = cursor !== undefined;
  const body = ownPageBody({ person, sessions, more, now, clusters: usable, requests, told, freshSince });
  sendPage(res, 200, { title: 'My sessions', body, navigation: navigationFor(deps, person, 'me') });
}

function download({ deps, clusters }: OwnPage, res: Response, person: SignedIn): void {
  const usable = clusters.usableBy(person.identity);
  if (usable.length === 0) {
    const words = 'No cluster here allows you in, so there is no kubeconfig to download.';
    throw new AppError('forbidden', words, { reason: 'no_cluster' });
  }
  const text = kubeconfigFor(deps.config.publicUrl, usable, deps.apiCa?.());
  res.status(200).type('application/yaml').attachment(KUBECONFIG_FILE).send(text);
}

/** `/me`, `/me/kubeconfig`, `/me/sessions/:id/end`, `/me/end-others`, `/logout`. */
export function ownPage(deps: WebDeps, browsers: BrowserSessions, guards: Guards): Router {
  const room: OwnPage = { deps, browsers, clusters: createClusters(deps.config) };
  const router = Router({ caseSensitive: true, strict: true });
  const { page } = guards;
  const action = (handler: PageHandler): RequestHandler =>
    auditFailures(deps, 'logout-refused', guards.action(handler));
  router.get(
    '/me',
    page('me', (_req, res, person) => show(room, res, person)),
  );
  router.get(
    '/me/kubeconfig',
    page('me', (_req, res, person) => download(room, res, person)),
  );
  router.post(
    '/me/sessions/:id/end',
    action((req, res, person) => endOne(room, req, res, person)),
  );
  router.get(
    '/me/end-others',
    page('me', (_req, res, person) => confirmEndOthers(deps, res, person)),
  );
  router.post(
    '/me/end-others',
    action((req, res, person) => endOthers(deps, req, res, person)),
  );
  router.post(
    '/logout',
    action((req, res, person) => signOut(room, req, res, person)),
  );
  return router;
}
