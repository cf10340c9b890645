/**
 * Choosing an identity provider. Links, not forms: Chromium applies `form-action` to the redirects that follow a POST, and the
 * provider's host is not ours.
 */
import { html, type Html } from '../page/html.ts';

interface Choice {
  readonly heading: string;
  readonly lead: Html;
  readonly providers: readonly string[];
  /** Path that the link leads to; the provider's name is appended. */
  readonly start: string;
  readonly notice?: string | undefined;
  /** A device may be waiting for its code to be typed. */
  readonly devices?: boolean;
}

export function choosePage(choice: Choice): Html {
  return html`<div class="card">
    <img class="mark" src="/assets/icon.svg" alt="" width="48" height="48" />
    <h1>${choice.heading}</h1>
    <p class="lead">${choice.lead}</p>
    ${choice.notice !== undefined && html`<div class="notice"><p role="status">${choice.notice}</p></div>`}
    <div class="stack">
      ${choice.providers.map(
        (name) =>
          html`<a class="button wide" href="${choice.start}provider=${encodeURIComponent(name)}"
            >Sign in with ${name}</a
          >`,
      )}
    </div>
    ${choice.devices === true && html`<p class="muted small"><a href="/device">Enter the code</a> of a device that waits for you.</p>`}
  </div>`;
}

/** Where a sign-in for kubectl ends. */
export function donePage(): Html {
  return html`<div class="card">
    <img class="mark" src="/assets/icon.svg" alt="" width="48" height="48" />
    <h1>You are signed in</h1>
    <p>You may close this tab and go back to your terminal.</p>
    <p class="muted small"><a href="/me">My sessions</a> lists where you are signed in.</p>
  </div>`;
}
