/**
 * The pages on which a user decides about a device that waits (RFC 8628).
 *
 * An attacker sends a user the code of the attacker's own device, with a story (RFC 8628 §5.4). So a code is typed
 * and never in a link, and before anything else the page says which program asks, and from where.
 *
 * An attacker gives their device the name of the user's own laptop, which would make the story true. A user who has
 * started this knows by the code which device it is, so the name is not on these pages; the lists of sessions have it.
 */
import type { ProviderChoice } from '../browser/provider-choices.ts';
import { deviceOf } from '../page/client-label.ts';
import { facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, mark } from '../page/layout.ts';
import { providerLinks } from '../sign-in/choose-page.ts';
import { codeForm, shownCode, type CodeContent } from './code-field.ts';

export function codePage(content: CodeContent): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Sign in a device</h1>
    <p class="lead">Enter the code that the terminal of your own device shows you.</p>
    ${codeForm('/device', content)}
    <p class="small muted aside">
      <strong>Did you receive a code in a message or a call?</strong> Do not enter it: the sender would get access as
      you.
    </p>
  </div>`;
}

export interface ConfirmContent {
  readonly csrf: string;
  readonly ticket: string;
  /** The code as it was typed. */
  readonly userCode: string;
  readonly request: {
    readonly clientName: string;
    readonly address: string;
    readonly userAgent: string;
    readonly audiences?: readonly string[];
  };
  /** The address of this browser. */
  readonly address: string;
  /** A text about the device's location; undefined where nothing is known. */
  readonly location: string | undefined;
  readonly providers: readonly ProviderChoice[];
}

function requestFacts({ request, userCode, address, location }: ConfirmContent): Html {
  const elsewhere = request.address !== address;
  return facts([
    ['Code', html`<code class="code-shown">${shownCode(userCode)}</code>`],
    ['Program', html`${request.clientName}, <span title="${request.userAgent}">${deviceOf(request.userAgent)}</span>`],
    [
      'Address',
      html`<code>${request.address === '' ? 'unknown' : request.address}</code>
        ${location !== undefined && html`<br /><span class="muted small">${location}</span>`}
        ${elsewhere && html`<br /><span class="muted small">this browser: <code>${address}</code></span>`}`,
    ],
    ['Cluster', request.audiences === undefined ? 'every cluster that you may use' : request.audiences.join(', ')],
  ]);
}

/**
 * It has links to allow, because the provider's host is not ours (`form-action`); each contains the ticket of this
 * page and this browser.
 */
export function confirmPage(content: ConfirmContent): Html {
  const start = `/device/start?ticket=${encodeURIComponent(content.ticket)}&provider=`;
  return html`<div class="card">
    ${mark()}
    <h1>Is this your device?</h1>
    <p class="lead">It wants to act as you on your clusters.</p>
    ${requestFacts(content)}
    <div class="notice warn">
      <p>
        <strong>Allow this only if you started this yourself</strong>, just now, at this device. Support never sends you
        a code.
      </p>
    </div>
    ${providerLinks(content.providers, start, 'Allow: sign in with')}
    <form method="post" action="/device/refuse">
      ${csrfField(content.csrf)}
      <input type="hidden" name="ticket" value="${content.ticket}" />
      <button class="button danger wide">Deny</button>
    </form>
  </div>`;
}

export function allowedPage(): Html {
  return html`<div class="card">
    ${mark()}
    <h1>The device is signed in</h1>
    <p class="lead">You may close this tab and go back to the terminal of your device.</p>
    <p class="muted small aside"><a href="/me">My sessions</a> lists it. Sign out there if it was not you.</p>
  </div>`;
}

/** @param contact of the configuration */
export function refusedPage(contact: string): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Denied</h1>
    <p role="status">The device is not signed in, and its code is no longer valid.</p>
    <p class="muted">If you received the code in a message or a call, tell ${contact}.</p>
  </div>`;
}
