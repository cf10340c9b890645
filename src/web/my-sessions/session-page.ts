/**
 * `/me/sessions/:id`: one session of the signed-in user, with what is delegated from it, which ends with it, and its
 * latest requests.
 */
import type { Response } from 'express';
import { nowSeconds } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import { idleEndOf, lastUseOf, type SessionRecord } from '../../store/store.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { actorName, delegationFacts, endsWithIt, nested, rightsCard } from '../page/delegated-sessions.ts';
import { grantFacts } from '../page/grants.ts';
import { card, facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, moment } from '../page/layout.ts';
import { navigationFor } from '../page/navigation.ts';
import { latestRequests, ownRequests, requestsTable, type LatestRequest } from '../page/recent-requests.ts';
import { sendPage } from '../page/response.ts';
import { ownSessionHref, ownSessionTable, sessionName } from './session-table.ts';

/** More than a session may have beneath it by default; of further ones the page says that there are more. */
const MOST_BENEATH = 50;

/** Returns a session of this user. @throws AppError `not_found` */
export async function sessionOfUser(deps: WebDeps, user: SignedIn, id: string): Promise<SessionRecord> {
  const session = await deps.store.sessions.read(id);
  // The session of another user is reported as missing, so that an attacker learns nothing from the difference.
  if (session === undefined || session.account !== user.account) {
    throw new AppError('not_found', 'There is no such session of yours. It may have ended already.');
  }
  return session;
}

interface OwnSessionPage {
  readonly user: SignedIn;
  readonly session: SessionRecord;
  readonly beneath: readonly SessionRecord[];
  readonly more: boolean;
  readonly requests: readonly LatestRequest[] | undefined;
  readonly deps: Pick<WebDeps, 'clock' | 'config'>;
}

function factsCard({ deps, session }: OwnSessionPage): Html {
  const { delegation, client, userAgent, deviceName, address, createdAt, expiresAt } = session;
  const idleAt = idleEndOf(session);
  const parent = delegation?.ancestors.at(-1);
  const device = html`${deviceOf(userAgent)},
  ${clientName(client)}${deviceName !== undefined && html` on ${quotedName(deviceName)}`}`;
  const list = facts([
    ...(delegation === undefined ? [['Device', device] as const] : delegationFacts(delegation)),
    parent !== undefined && ['Delegated from', html`<a href="${ownSessionHref(parent)}">the session above it</a>`],
    ['Address', address === '' ? '–' : address],
    [delegation === undefined ? 'Signed in' : 'Delegated', moment(createdAt)],
    ['Last used', moment(lastUseOf(session))],
    ['Ends', [moment(expiresAt), idleAt < expiresAt && html`, or at ${moment(idleAt)} if it is not used`]],
    grantFacts(session, deps.clock.nowMs()),
    ['Id', html`<code>${session.id}</code>`],
  ]);
  return card('session', 'Session', list);
}

function endCard({ user, session, beneath, more }: OwnSessionPage): Html {
  const names = beneath.map(sessionName);
  const label = session.delegation === undefined ? 'Sign out of' : 'End';
  const all = more ? 'all of them' : `${beneath.length + 1} sessions`;
  return html`<section class="card" aria-labelledby="end">
    <h2 id="end">End it</h2>
    <p>Everything that it has open is cut immediately, on every replica.</p>
    ${endsWithIt(names, 'These delegated sessions end with it:')}
    ${more && html`<p>There are more than these beneath it; all of them end.</p>`}
    <form class="row" method="post" action="${ownSessionHref(session.id)}/end">
      ${csrfField(user.csrf)}
      <button class="button danger">${label} ${beneath.length === 0 ? 'this session' : all}</button>
      <a class="button quiet" href="/me">Cancel</a>
    </form>
  </section>`;
}

function beneathCard({ user, beneath, deps }: OwnSessionPage): Html | false {
  if (beneath.length === 0) return false;
  return html`<section class="card" aria-labelledby="beneath">
    <h2 id="beneath">Delegated from it</h2>
    ${ownSessionTable({ user, rows: nested(beneath), nowSeconds: nowSeconds(deps) })}
  </section>`;
}

function pageBody(content: OwnSessionPage): Html {
  const { session, requests, deps } = content;
  const { delegation } = session;
  return html`<div class="page-head">
      <h1>${delegation === undefined ? 'Session' : html`Delegated to ${actorName(delegation)}`}</h1>
      <p class="lead">
        ${
          delegation === undefined
            ? 'One of the places where you are signed in.'
            : 'A narrower session of yours, for a script or an agent. It acts as you, and never beyond these rights.'
        }
      </p>
    </div>
    <div class="grid">
      ${factsCard(content)} ${delegation === undefined ? endCard(content) : rightsCard(delegation)}
    </div>
    ${beneathCard(content)} ${delegation !== undefined && endCard(content)}
    <section class="card" aria-labelledby="requests">
      <h2 id="requests">Its latest requests</h2>
      ${requestsTable(deps, requests, ownRequests(deps))}
    </section>`;
}

/** Shows one session. @throws AppError `not_found` */
export async function showOwnSession(deps: WebDeps, res: Response, user: SignedIn, id: string): Promise<void> {
  const session = await sessionOfUser(deps, user, id);
  const [{ sessions: beneath, cursor }, requests] = await Promise.all([
    deps.store.sessions.list({ ancestor: session.id, limit: MOST_BENEATH }),
    latestRequests(deps, [session]),
  ]);
  user.assertValid();
  const body = pageBody({ deps, user, session, beneath, more: cursor !== undefined, requests });
  const title = session.delegation === undefined ? 'Session' : 'Delegated session';
  sendPage(res, 200, { title, body, navigation: navigationFor(deps, user, 'me') });
}
