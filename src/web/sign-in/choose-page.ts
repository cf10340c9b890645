/**
 * The page to choose an identity provider. It has links instead of forms, because Chromium applies `form-action`
 * to the redirects that follow a POST, and the provider's host is not ours.
 */
import type { ProviderChoice } from '../browser/provider-choices.ts';
import { html, type Html } from '../page/html.ts';
import { mark } from '../page/layout.ts';
import { providerMark } from '../page/provider-mark.ts';

export interface Choice {
  readonly heading: string;
  readonly lead: Html;
  readonly providers: readonly ProviderChoice[];
  /** The start of the link's path; the provider's name is appended. */
  readonly start: string;
  readonly notice?: string | undefined;
  /** Where a link to reject the request leads. */
  readonly refuse?: string;
  /** Shows the link to the page for device codes. */
  readonly devices?: boolean;
}

/**
 * A list of links, one for each provider. The one that was used last is the primary button.
 *
 * @param start the link without the provider's name
 * @param text before the name
 */
export function providerLinks(providers: readonly ProviderChoice[], start: string, text: string): Html {
  const several = providers.length > 1;
  const link = ({ name, type, last }: ProviderChoice): Html => {
    const primary = last || !several;
    return html`<li>
      <a class="button wide provider ${!primary && 'quiet'}" href="${start}${encodeURIComponent(name)}"
        >${providerMark(type)}<span>${text} ${name}</span
        >${last && several && html`<span class="last">last used</span>`}</a
      >
    </li>`;
  };
  return html`<ul class="providers">
    ${providers.map(link)}
  </ul>`;
}

export function choosePage(choice: Choice): Html {
  return html`<div class="card">
    ${mark()}
    <h1>${choice.heading}</h1>
    <p class="lead">${choice.lead}</p>
    ${choice.notice !== undefined && html`<div class="notice"><p role="status">${choice.notice}</p></div>`}
    ${providerLinks(choice.providers, `${choice.start}provider=`, 'Sign in with')}
    ${choice.refuse !== undefined && html`<p class="muted small aside"><a href="${choice.refuse}">Do not allow it</a></p>`}
    ${
      choice.devices === true &&
      html`<p class="muted small aside">Does a device show you a code? <a href="/device">Enter the code</a></p>`
    }
  </div>`;
}

/** The last page of a sign-in for kubectl. */
export function donePage(): Html {
  return html`<div class="card">
    ${mark()}
    <h1>You are signed in</h1>
    <p class="lead">You may close this tab and go back to your terminal.</p>
    <p class="muted small aside">
      <a href="/me">My sessions</a> lists where you are signed in. Sign out there of what you do not recognize.
    </p>
  </div>`;
}
