/** The sessions of a user, one row for each. */
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, momentAgo, momentsCaption } from '../page/layout.ts';

export interface SessionsContent {
  readonly user: SignedIn;
  readonly sessions: readonly SessionRecord[];
  /** There are more than `sessions` contains. */
  readonly more: boolean;
  readonly nowSeconds: number;
}

const QUOTED =
  'A name in quotation marks is what the program called its device; address and times are what Portcullis saw.';

/** As much of a thumbprint as a user compares. */
const KEY_SHOWN = 8;

/** The certificate that the session's tokens are bound to; sessions of these pages have none. */
const keyOf = ({ thumbprint }: SessionRecord): Html =>
  thumbprint === undefined
    ? html`<span class="muted">none</span>`
    : html`<code title="${thumbprint}">${thumbprint.slice(0, KEY_SHOWN)}</code>`;

function sessionRow(session: SessionRecord, user: SignedIn, nowSeconds: number): Html {
  const here = session.id === user.session;
  const { deviceName } = session;
  const device = deviceOf(session.userAgent);
  return html`<tr>
    <td data-label="Device" class="main">
      <span
        ><strong title="${session.userAgent}">${device}</strong>
        ${here && html`<span class="badge">this browser</span>`}
        ${session.device === true && html`<span class="badge quiet">by code</span>`}<span class="small muted own-line"
          >${clientName(session.client)}${deviceName !== undefined && html` on ${quotedName(deviceName)}`}</span
        ></span
      >
    </td>
    <td data-label="Address">${session.address === '' ? '–' : session.address}</td>
    <td data-label="Signed in">${momentAgo(session.createdAt, nowSeconds)}</td>
    <td data-label="Last used">${momentAgo(lastUseOf(session), nowSeconds)}</td>
    <td data-label="Certificate">${keyOf(session)}</td>
    <td data-label="" class="action">
      <form method="post" action="/me/sessions/${encodeURIComponent(session.id)}/end">
        ${csrfField(user.csrf)}
        <button class="button danger compact" aria-label="Sign out ${deviceName ?? device}">Sign out</button>
      </form>
    </td>
  </tr>`;
}

export function sessionsCard({ user, sessions, more, nowSeconds }: SessionsContent): Html {
  return html`<section class="card" aria-labelledby="sessions">
    <div class="card-head">
      <h2 id="sessions">Where you are signed in</h2>
      ${sessions.length > 1 && html`<a class="button danger compact" href="/me/end-others">Sign out everywhere else</a>`}
    </div>
    <table>
      ${momentsCaption(sessions.some(({ deviceName }) => deviceName !== undefined) ? QUOTED : '')}
      <thead>
        <tr>
          <th scope="col">Device</th>
          <th scope="col">Address</th>
          <th scope="col">Signed in</th>
          <th scope="col">Last used</th>
          <th scope="col">Certificate</th>
          <th scope="col"><span class="visually-hidden">Sign out</span></th>
        </tr>
      </thead>
      <tbody>
        ${sessions.map((session) => sessionRow(session, user, nowSeconds))}
      </tbody>
    </table>
    ${more && html`<p class="muted small">Only the newest ${sessions.length} are shown.</p>`}
  </section>`;
}
