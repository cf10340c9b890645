/**
 * The pages on which somebody decides about a device that waits (RFC 8628).
 *
 * Threat (RFC 8628 §5.4): somebody sends their own code and a story. So the code is typed and never in a link, and before anything else the
 * page says who asks and from where.
 */
import { deviceOf } from '../page/client-words.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';

const mark = (): Html => html`<img class="mark" src="/assets/icon.svg" alt="" width="48" height="48" />`;

/** @param content.problem what was wrong with the code before */
export function codePage(content: { readonly csrf: string; readonly problem?: string }): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Sign in a device</h1>
    <p class="lead" id="help">Type the code that the terminal of your own device shows you.</p>
    <p>Did somebody send you a code? Do not type it: whoever began the sign-in would work as you.</p>
    ${content.problem !== undefined && html`<div class="notice bad"><p role="alert">${content.problem}</p></div>`}
    <form class="stack" method="post" action="/device">
      ${csrfField(content.csrf)}
      <label for="user-code">Code</label>
      <input
        type="text"
        id="user-code"
        name="user_code"
        aria-describedby="help"
        autocomplete="off"
        autocapitalize="characters"
        spellcheck="false"
        maxlength="20"
        placeholder="XXXX-XXXX"
        required
      />
      <button class="button wide">Continue</button>
    </form>
  </div>`;
}

export interface ConfirmContent {
  readonly csrf: string;
  readonly ticket: string;
  readonly userCode: string;
  readonly request: {
    readonly clientName: string;
    readonly address: string;
    readonly userAgent: string;
    readonly audiences?: readonly string[];
  };
  /** Of this browser. */
  readonly address: string;
  readonly providers: readonly string[];
}

function facts({ request, userCode, address }: ConfirmContent): Html {
  const elsewhere = request.address !== address;
  return html`<dl class="facts">
    <dt>Code</dt>
    <dd><code>${userCode}</code></dd>
    <dt>Program</dt>
    <dd>${request.clientName}, <span title="${request.userAgent}">${deviceOf(request.userAgent)}</span></dd>
    <dt>Address</dt>
    <dd>
      <code>${request.address === '' ? 'unknown' : request.address}</code>
      ${elsewhere && html`<span class="muted small">(this browser: ${address})</span>`}
    </dd>
    <dt>Cluster</dt>
    <dd>${request.audiences === undefined ? 'every cluster that you may use' : request.audiences.join(', ')}</dd>
  </dl>`;
}

/** Links to allow, because a provider's host is not ours (`form-action`); each carries the ticket of this page and this browser. */
export function confirmPage(content: ConfirmContent): Html {
  const start = `/device/start?ticket=${encodeURIComponent(content.ticket)}&provider=`;
  return html`<div class="card">
    ${mark()}
    <h1>Is this your device?</h1>
    <p class="lead">It wants to act as you on your clusters.</p>
    ${facts(content)}
    <div class="notice bad">
      <p>
        <strong>Allow this only if you started this yourself</strong>, just now, at this device. Nobody from support
        will ever send you a code.
      </p>
    </div>
    <div class="stack">
      ${content.providers.map(
        (name) =>
          html`<a class="button wide" href="${start}${encodeURIComponent(name)}">Allow: sign in with ${name}</a>`,
      )}
      <form class="stack" method="post" action="/device/refuse">
        ${csrfField(content.csrf)}
        <input type="hidden" name="ticket" value="${content.ticket}" />
        <button class="button danger wide">Refuse</button>
      </form>
    </div>
  </div>`;
}

export function allowedPage(): Html {
  return html`<div class="card">
    ${mark()}
    <h1>The device is signed in</h1>
    <p>You may close this tab and go back to the terminal of your device.</p>
    <p class="muted small"><a href="/me">My sessions</a> lists it, and ends it if it was not you.</p>
  </div>`;
}

export function refusedPage(): Html {
  return html`<div class="card">
    ${mark()}
    <h1>Refused</h1>
    <p role="status">The device was told so, and its code is worth nothing any more.</p>
    <p class="muted">If somebody else sent you the code, tell your platform team.</p>
  </div>`;
}
