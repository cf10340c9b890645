/**
 * The markup of the own page.
 */
import type { SessionRecord } from '../../store/store.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import { clientName, deviceOf } from '../page/client-words.ts';
import { html, type Html } from '../page/html.ts';
import type { UsableCluster } from './kubeconfig.ts';
import { csrfField, moment, momentsCaption } from '../page/layout.ts';

interface OwnPageContent {
  readonly person: SignedIn;
  readonly sessions: readonly SessionRecord[];
  /** There are more than are shown. */
  readonly more: boolean;
  readonly clusters: readonly UsableCluster[];
}

function identityCard(person: SignedIn): Html {
  const { username, groups } = person.identity;
  return html`<section class="card" aria-labelledby="who">
    <h2 id="who">Who you are to your clusters</h2>
    <dl class="facts">
      <dt>Username</dt>
      <dd><code>${username}</code></dd>
      <dt>Groups</dt>
      <dd>
        ${
          groups.length === 0
            ? html`<span class="muted">none</span>`
            : html`<ul class="list">
                ${groups.map((group) => html`<li class="badge">${group}</li>`)}
              </ul>`
        }
      </dd>
      <dt>Account</dt>
      <dd><code>${person.account}</code></dd>
    </dl>
  </section>`;
}

function clustersCard(clusters: readonly UsableCluster[]): Html {
  const names = html`<ul class="list">
    ${clusters.map((cluster) => html`<li class="badge">${cluster.name}</li>`)}
  </ul>`;
  return html`<section class="card" aria-labelledby="clusters">
    <h2 id="clusters">Your clusters</h2>
    ${
      clusters.length === 0
        ? html`<p class="muted">No cluster allows you in yet. Ask your platform team.</p>`
        : html`<div class="row apart">
            ${names}
            <a class="button" href="/me/kubeconfig" download>Download kubeconfig</a>
          </div>`
    }
  </section>`;
}

function sessionRow(person: SignedIn, session: SessionRecord): Html {
  const here = session.id === person.session;
  const device = deviceOf(session.userAgent);
  return html`<tr>
    <td data-label="Client">
      <span
        >${clientName(session.client)} ${here && html`<span class="badge">this browser</span>`}
        ${session.device === true && html`<span class="badge">by code</span>`}</span
      >
    </td>
    <td data-label="Signed in with"><span title="${session.userAgent}">${device}</span></td>
    <td data-label="From">${session.address === '' ? '–' : session.address}</td>
    <td data-label="Since">${moment(session.createdAt)}</td>
    <td data-label="Last used">${moment(session.lastUsedAt)}</td>
    <td data-label="" class="action">
      <form method="post" action="/me/sessions/${encodeURIComponent(session.id)}/end">
        ${csrfField(person.csrf)}
        <button class="button danger compact" aria-label="End the session of ${device}">End</button>
      </form>
    </td>
  </tr>`;
}

function sessionsCard({ person, sessions, more }: OwnPageContent): Html {
  const endOthers = html`<form method="post" action="/me/end-others">
    ${csrfField(person.csrf)}<button class="button danger">End all others</button>
  </form>`;
  return html`<section class="card" aria-labelledby="sessions">
    <div class="row apart">
      <h2 id="sessions">Where you are signed in</h2>
      ${sessions.length > 1 && endOthers}
    </div>
    <table>
      ${momentsCaption()}
      <thead>
        <tr>
          <th scope="col">Client</th>
          <th scope="col">Signed in with</th>
          <th scope="col">From</th>
          <th scope="col">Since</th>
          <th scope="col">Last used</th>
          <th scope="col"><span class="hidden-label">End</span></th>
        </tr>
      </thead>
      <tbody>
        ${sessions.map((session) => sessionRow(person, session))}
      </tbody>
    </table>
    ${more && html`<p class="muted small">Only the newest ${sessions.length} are shown.</p>`}
  </section>`;
}

export function ownPageBody(content: OwnPageContent): Html {
  return html`<h1>My sessions</h1>
    <p class="lead">Ending a session cuts whatever it has open, at once, on every replica.</p>
    ${sessionsCard(content)} ${identityCard(content.person)} ${clustersCard(content.clusters)}`;
}
