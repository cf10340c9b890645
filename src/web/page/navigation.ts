/** The main navigation of one signed-in user, and the pages beneath one of its tabs. */
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { html, type Html } from './html.ts';
import { current, type Navigation } from './layout.ts';
import { roleOf } from '../../services/admin/admin.ts';

export function navigationFor(deps: Pick<WebDeps, 'config'>, user: SignedIn, here: Navigation['current']): Navigation {
  const mayAdmin = roleOf(user, deps.config) !== undefined;
  const mayAsk = deps.config.access.roles.length > 0;
  return { username: user.identity.username, csrf: user.csrf, mayAdmin, mayAsk, current: here };
}

/** The pages beneath one tab of the main navigation, by their paths. */
const BENEATH = {
  Users: { '/admin': 'Sessions', '/admin/locks': 'Locks', '/admin/revocations': 'Revocations' },
  Access: { '/access': 'Yours, and for you', '/admin/access': 'All requests' },
} as const;

/** @param here the path of the page that is shown */
export function tabsBeneath<T extends keyof typeof BENEATH>(tab: T, here: keyof (typeof BENEATH)[T] & string): Html {
  return html`<nav class="tabs" aria-label="${tab}">
    ${Object.entries(BENEATH[tab]).map(([path, text]) => html`<a href="${path}" ${current(path === here)}>${text}</a>`)}
  </nav>`;
}
