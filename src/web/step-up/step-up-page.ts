/**
 * The pages on which a user proves that it is they who use a session.
 *
 * An attacker who holds a session of the user asks for it with a story. So before the sign-in the page says which session it is
 * for, on which device and from which address, and what it gives.
 */
import type { PendingStepUp } from '../../services/step-up/step-up.ts';
import { codeForm, shownCode, type CodeContent } from '../device/code-field.ts';
import { deviceOf, quotedName } from '../page/client-label.ts';
import { facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, mark } from '../page/layout.ts';
import { providerLinks } from '../sign-in/choose-page.ts';
import type { ProviderChoice } from '../browser/provider-choices.ts';

export function codePage(content: CodeContent): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Confirm with a code</h1>
    <p class="lead">Enter the code that <code>portcullis step-up</code> shows you in your own terminal.</p>
    ${codeForm('/step-up', content)}
    <p class="small muted aside">
      <strong>Did you receive a code in a message or a call?</strong> Do not enter it: the sender would use your rights.
    </p>
  </div>`;
}

export interface ConfirmContent {
  readonly pending: Omit<PendingStepUp, 'id' | 'account' | 'provider'>;
  readonly provider: ProviderChoice;
  /** The code as it was typed; absent where a link has led here. */
  readonly userCode?: string;
  /** A text about where the device is; undefined where nothing is known. */
  readonly location: string | undefined;
  /** The link that begins, up to the provider's name. */
  readonly start: string;
  /** The form to deny it; absent for a browser's own session. */
  readonly deny?: { readonly id: string; readonly csrf: string };
}

function pendingFacts({ pending, userCode, location }: ConfirmContent): Html {
  const { username, session, address, userAgent, deviceName } = pending;
  return facts([
    userCode !== undefined && ['Code', html`<code class="code-shown">${shownCode(userCode)}</code>`],
    ['User', username],
    [
      'Device',
      html`<span title="${userAgent}">${deviceOf(userAgent)}</span
        >${deviceName !== undefined && html`, which calls itself ${quotedName(deviceName)}`}`,
    ],
    [
      'Address',
      html`<code>${address === '' ? 'unknown' : address}</code>
        ${location !== undefined && html`<br /><span class="muted small">${location}</span>`}`,
    ],
    ['Session', html`<code>${session}</code>`],
  ]);
}

/** It has a link to go on, because the provider's host is not ours (`form-action`), with a ticket of this page. */
export function confirmPage(content: ConfirmContent): Html {
  const { deny, provider, start } = content;
  return html`<div class="card">
    ${mark()}
    <h1>Is it you?</h1>
    <p class="lead">
      If you sign in again, this session may do for a while what needs a recent sign-in, with all of your rights.
    </p>
    ${pendingFacts(content)}
    <div class="notice warn">
      <p><strong>Go on only if you started this yourself</strong>, just now. Support never asks you to.</p>
    </div>
    ${providerLinks([provider], start, 'Sign in again with')}
    ${
      deny !== undefined &&
      html`<form method="post" action="/step-up/deny">
        ${csrfField(deny.csrf)}
        <input type="hidden" name="id" value="${deny.id}" />
        <button class="button danger wide">Deny</button>
      </form>`
    }
  </div>`;
}

export function donePage(): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Confirmed</h1>
    <p class="lead">You may close this tab, go back, and try again what was rejected.</p>
    <p class="muted small aside"><a href="/me">My sessions</a> lists where you are signed in.</p>
  </div>`;
}

/** @param contact of the configuration */
export function deniedPage(contact: string): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Denied</h1>
    <p role="status">Nothing has changed: the session may do what it could before, and no more.</p>
    <p class="muted">
      If you did not start this, someone else may have your session: end it at <a href="/me">My sessions</a>, and tell
      ${contact}.
    </p>
  </div>`;
}
