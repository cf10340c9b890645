/** Ends sessions of the signed-in user: one, or all except the one of this browser. */
import type { Request, Response } from 'express';
import { revokeAudited, type RevocationResult } from '../../revocation/revocation.ts';
import { everyPage, type SessionQuery, type SessionRecord } from '../../store/store.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { actorName, beneathClass, nested, rightsText, type NestedSession } from '../page/delegated-sessions.ts';
import { sessionOfUser } from './session-page.ts';
import { seeOther, sendPage } from '../page/response.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';
import { navigationFor } from '../page/navigation.ts';
import { receipt } from '../page/receipt.ts';
import { record, requestFacts } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';

const PAGE_SIZE = 100;
/** How many of a user's sessions are ended at the same time. */
const BATCH = 10;
/** How many are listed; of the others the page gives the number. */
const MAX_NAMED = 10;

const BACK = html`<p><a class="button" href="/me">Back to my sessions</a></p>`;

function show(deps: WebDeps, res: Response, user: SignedIn, page: { readonly title: string; readonly body: Html }) {
  sendPage(res, 200, { ...page, navigation: navigationFor(deps, user, 'me') });
}

/**
 * Ends one session of the user, and audits it. No one signs in with a delegated one, so its end asks for no fresh sign-in.
 */
async function end(deps: WebDeps, req: Request, { id: session, delegation }: SessionRecord): Promise<RevocationResult> {
  const target = { kind: 'session', session } as const;
  const happening = { path: req.path, reason: 'ended_by_owner' };
  const order = { target, ...(delegation !== undefined && { ended: true }) };
  const result = await revokeAudited(deps, order, requestFacts(contextOf(req), happening));
  const details = { target: `session:${session}`, complete: String(result.complete) };
  record(deps, contextOf(req), { ...happening, event: 'logout', code: 200, details });
  return result;
}

/** Handles the form that has the session id in its path. */
export async function endOne(
  { deps, browsers }: { readonly deps: WebDeps; readonly browsers: BrowserSessions },
  req: Request,
  res: Response,
  user: SignedIn,
): Promise<void> {
  const session = await sessionOfUser(deps, user, String(req.params['id']));
  user.assertValid();
  const result = await end(deps, req, session);
  if (session.id === user.session) {
    await browsers.forget(req, res);
    return seeOther(res, '/?signed-out');
  }
  const body = html`<h1>Session ended</h1>
    ${receipt(result)} ${BACK}`;
  show(deps, res, user, { title: 'Session ended', body });
}

/** Returns the others that are to be ended: what ends one of them ends those beneath it. */
async function topmostOthers({ store }: WebDeps, user: SignedIn): Promise<readonly SessionRecord[]> {
  const all = async (which: Pick<SessionQuery, 'account' | 'only' | 'ancestor'>): Promise<readonly SessionRecord[]> => {
    const found: SessionRecord[] = [];
    for await (const { sessions } of everyPage(store.sessions, { ...which, limit: PAGE_SIZE })) found.push(...sessions);
    return found;
  };
  const own = await all({ account: user.account, only: 'own' });
  const beneathThis = await all({ ancestor: user.session });
  const others = [...own.filter(({ id }) => id !== user.session), ...beneathThis];
  return nested(others).flatMap(({ session, level }) => (level === 0 ? [session] : []));
}

const sessionCount = (count: number): string => `${count} ${count === 1 ? 'session' : 'sessions'}`;

/** Returns a line for each session, those that were delegated from another one of them beneath it. */
function namedSession({ session, level }: NestedSession): Html {
  const { delegation, client, deviceName, userAgent, address } = session;
  const from = html`${address !== '' && html`<span class="muted">from ${address}</span>`}`;
  if (delegation !== undefined) {
    return html`<li class="${beneathClass(level)}">
      Delegated to <strong>${actorName(delegation)}</strong>: ${rightsText(delegation)} ${from}
    </li>`;
  }
  return html`<li>
    ${clientName(client)}${deviceName !== undefined && html` on ${quotedName(deviceName)}`}: ${deviceOf(userAgent)}
    ${from}
  </li>`;
}

/** Shows what will be ended, and asks for confirmation. */
export async function confirmEndOthers(deps: WebDeps, res: Response, user: SignedIn): Promise<void> {
  const { account } = user;
  const { sessions } = deps.store;
  // A user may have a thousand, and to open all of them only to count them would occupy this replica.
  const own = await sessions.list({ account, only: 'own', limit: MAX_NAMED + 1 });
  const delegated = await sessions.list({ account, only: 'delegated', limit: MAX_NAMED });
  const tally = await sessions.tally({ account });
  user.assertValid();
  const named = nested([...own.sessions.filter(({ id }) => id !== user.session), ...delegated.sessions]);
  // All but this one.
  const count = tally.sessions - 1;
  if (count <= 0) {
    const body = html`<h1>There are no other sessions</h1>
      <p class="lead">You are signed in at this browser only.</p>
      ${BACK}`;
    return show(deps, res, user, { title: 'Sign out everywhere else', body });
  }
  const rest = count - MAX_NAMED;
  const body = html`<h1>Sign out everywhere else</h1>
    <div class="card slim">
      <p>
        This ends
        <strong>${sessionCount(count)}</strong>${tally.delegated > 0 && `, ${tally.delegated} of them delegated`}: all
        of yours except the one of this browser. Everything they have open is cut immediately, and each has to sign in
        again.
      </p>
      <ul>
        ${named.slice(0, MAX_NAMED).map(namedSession)} ${rest > 0 && html`<li>and ${rest} more</li>`}
      </ul>
      <form class="row" method="post" action="/me/end-others">
        ${csrfField(user.csrf)}
        <button class="button danger">Sign out of ${sessionCount(count)}</button>
        <a class="button quiet" href="/me">Cancel</a>
      </form>
    </div>`;
  show(deps, res, user, { title: 'Sign out everywhere else', body });
}

export async function endOthers(deps: WebDeps, req: Request, res: Response, user: SignedIn): Promise<void> {
  const others = await topmostOthers(deps, user);
  user.assertValid();
  const results: RevocationResult[] = [];
  for (let index = 0; index < others.length; index += BATCH) {
    const batch = others.slice(index, index + BATCH).map((session) => end(deps, req, session));
    results.push(...(await Promise.all(batch)));
  }
  const ended = results.reduce((sum, { sessions }) => sum + sessions, 0);
  const streams = results.reduce((sum, result) => sum + result.streamsClosed, 0);
  const pending = results.filter((result) => !result.complete).length;
  const proof =
    pending > 0 ? `Not every replica has confirmed ${pending} of them yet.` : 'No replica accepts them any more.';
  const body = html`<h1>Other sessions ended</h1>
    <div class="notice ${pending > 0 ? 'warn' : 'ok'}">
      <p role="status">${ended} ended, ${streams} streams cut. ${proof}</p>
    </div>
    ${BACK}`;
  show(deps, res, user, { title: 'Other sessions ended', body });
}
