/**
 * The person's own page: who they are to the clusters, where they are signed in, ending sessions, and their kubeconfig.
 */
import { Router, type Request, type Response } from 'express';
import { AppError } from '../../core/errors.ts';
import type { RevocationAnswer } from '../../revocation/revocation.ts';
import type { SessionRecord } from '../../store/store.ts';
import { seeOther, sendPage } from '../page/answer.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../deps.ts';
import type { Guards } from '../browser/guards.ts';
import { createClusters, kubeconfigFor, type Clusters } from './kubeconfig.ts';
import { navigationFor } from '../page/navigation.ts';
import { receipt } from '../page/receipt.ts';
import { ownPageBody } from './own-page-body.ts';
import { record } from '../record.ts';
import { signOut } from '../sign-in/sign-out.ts';
import { html } from '../page/html.ts';
import { visitOf } from '../visit.ts';

interface OwnPage {
  readonly deps: WebDeps;
  readonly browsers: BrowserSessions;
  readonly clusters: Clusters;
}

const LISTED = 100;
/** How many of one person's sessions are ended at the same time. */
const BATCH = 10;

async function show({ deps, clusters }: OwnPage, res: Response, person: SignedIn): Promise<void> {
  const { sessions, cursor } = await deps.store.sessions.list({ account: person.account, limit: LISTED });
  person.assertGood();
  const usable = clusters.usableBy(person.identity);
  const body = ownPageBody({ person, sessions, more: cursor !== undefined, clusters: usable });
  sendPage(res, 200, { title: 'My sessions', body, navigation: navigationFor(deps, person, 'me') });
}

function download({ deps, clusters }: OwnPage, res: Response, person: SignedIn): void {
  const usable = clusters.usableBy(person.identity);
  if (usable.length === 0) {
    const words = 'No cluster here allows you in, so there is no kubeconfig to download.';
    throw new AppError('forbidden', words, { reason: 'no_cluster' });
  }
  const text = kubeconfigFor(deps.config.publicUrl, usable, deps.apiCa?.());
  res.status(200).type('application/yaml').attachment('portcullis.kubeconfig.yaml').send(text);
}

/** Ends one session of the person's own, and says so on the record. */
async function end(deps: WebDeps, req: Request, session: string): Promise<RevocationAnswer> {
  const answer = await deps.gate.revoke({ target: { kind: 'session', session } });
  const details = { target: `session:${session}`, complete: String(answer.complete) };
  record(deps, visitOf(req), { event: 'logout', path: req.path, code: 200, reason: 'ended_by_owner', details });
  return answer;
}

async function ownSession(deps: WebDeps, person: SignedIn, id: string): Promise<SessionRecord> {
  const session = await deps.store.sessions.read(id);
  // Somebody else's session looks exactly like none.
  if (session === undefined || session.account !== person.account) {
    throw new AppError('not_found', 'There is no such session of yours. It may have ended already.');
  }
  return session;
}

async function endOne({ deps, browsers }: OwnPage, req: Request, res: Response, person: SignedIn): Promise<void> {
  const session = await ownSession(deps, person, String(req.params['id']));
  person.assertGood();
  const answer = await end(deps, req, session.id);
  if (session.id === person.session) {
    await browsers.forget(req, res);
    return seeOther(res, '/?signed-out');
  }
  const body = html`<h1>Session ended</h1>
    ${receipt(answer)}
    <p><a class="button" href="/me">Back to my sessions</a></p>`;
  sendPage(res, 200, { title: 'Session ended', body, navigation: navigationFor(deps, person, 'me') });
}

async function otherSessions(deps: WebDeps, person: SignedIn): Promise<readonly string[]> {
  const others: string[] = [];
  let cursor: string | undefined;
  do {
    const query = { account: person.account, limit: LISTED, ...(cursor === undefined ? {} : { cursor }) };
    const page = await deps.store.sessions.list(query);
    others.push(...page.sessions.map((session) => session.id).filter((id) => id !== person.session));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return others;
}

async function endOthers({ deps }: OwnPage, req: Request, res: Response, person: SignedIn): Promise<void> {
  const others = await otherSessions(deps, person);
  person.assertGood();
  const answers: RevocationAnswer[] = [];
  for (let index = 0; index < others.length; index += BATCH) {
    answers.push(...(await Promise.all(others.slice(index, index + BATCH).map((id) => end(deps, req, id)))));
  }
  const streams = answers.reduce((sum, answer) => sum + answer.streamsClosed, 0);
  const pending = answers.filter((answer) => !answer.complete).length;
  const body = html`<h1>Other sessions ended</h1>
    <div class="notice ${pending > 0 && 'bad'}">
      <p role="status">
        ${answers.length} ended, ${streams} streams cut.
        ${
          pending > 0
            ? `${pending} are written and still being confirmed by every replica.`
            : 'No replica accepts them any more.'
        }
      </p>
    </div>
    <p><a class="button" href="/me">Back to my sessions</a></p>`;
  sendPage(res, 200, { title: 'Other sessions ended', body, navigation: navigationFor(deps, person, 'me') });
}

/** `/me`, `/me/kubeconfig`, `/me/sessions/:id/end`, `/me/end-others`, `/logout`. */
export function ownPage(deps: WebDeps, browsers: BrowserSessions, guards: Guards): Router {
  const room: OwnPage = { deps, browsers, clusters: createClusters(deps.config) };
  const router = Router({ caseSensitive: true, strict: true });
  const { page, action } = guards;
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
  router.post(
    '/me/end-others',
    action((req, res, person) => endOthers(room, req, res, person)),
  );
  router.post(
    '/logout',
    action((req, res, person) => signOut(room, req, res, person)),
  );
  return router;
}
