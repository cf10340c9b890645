/**
 * A small mark for each type of identity provider, so that users find theirs without reading. The marks are our
 * own drawings and copy no logo. They have the colour of the surrounding text and are hidden from screen readers,
 * because the name follows.
 */
import type { WebConfig } from '../dependencies.ts';
import { html, type Html } from './html.ts';

type ProviderType = WebConfig['providers'][number]['type'];

/** In a view box of 24 by 24. */
const shapes: Readonly<Record<ProviderType, Html>> = {
  // A key.
  oidc: html`<circle cx="8" cy="15.5" r="4.5" /><path d="m11.2 12.3 8.3-8.3M16 7.5l3 3M13 10.5l2 2" />`,
  // A ring that opens to its middle.
  google: html`<path d="M18.4 7A8 8 0 1 0 20 12h-7.5" />`,
  // A cut stone.
  entra: html`<path d="M12 3 3.5 13 12 21l8.5-8zM12 3v18M3.5 13l8.5-3.5 8.5 3.5" />`,
  // A ring.
  okta: html`<circle cx="12" cy="12" r="6.5" stroke-width="4.5" />`,
  // A keyhole in a nut.
  keycloak: html`<path d="M7.5 4h9l4.5 8-4.5 8h-9L3 12z" /><circle cx="12" cy="10.5" r="2" /><path d="M12 12.5V16" />`,
  // A branch.
  github: html`<circle cx="7" cy="5.5" r="2.5" /><circle cx="7" cy="18.5" r="2.5" /><circle cx="17" cy="8" r="2.5" />
    <path d="M7 8v8M17 10.5c0 3.5-4 4-7.5 4.5" />`,
};

export function providerMark(type: ProviderType): Html {
  return html`<svg
    class="glyph"
    viewBox="0 0 24 24"
    width="24"
    height="24"
    fill="none"
    stroke="currentColor"
    stroke-width="2"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
    focusable="false"
  >
    ${shapes[type]}
  </svg>`;
}
