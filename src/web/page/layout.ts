/**
 * The frame of every page, and the small parts that pages share.
 */
import { rfc3339 } from '../../core/time.ts';
import { assetUrl } from './assets.ts';
import { html, type Html } from './html.ts';

/** Where a page is in the main navigation. */
export type Tab = 'now' | 'users' | 'access' | 'audit';

/** The main navigation of a signed-in user; the current page is marked. */
export interface Navigation {
  readonly username: string;
  readonly csrf: string;
  /** Of an admin or auditor. */
  readonly mayAdmin: boolean;
  /** Where roles are configured. */
  readonly mayAsk: boolean;
  readonly current: Tab | 'me' | undefined;
}

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** A single card in the middle, as for sign-ins and errors. */
  readonly narrow?: boolean;
  readonly navigation?: Navigation;
  /**
   * Modules of `assets/` in addition to `pages.js`, which every page of a signed-in user loads: `admin.js`. A page
   * with neither allows no script.
   */
  readonly scripts?: readonly string[];
  /** Style sheets of `assets/` in addition to the one of all pages: `admin.css`. */
  readonly styles?: readonly string[];
  /** Seconds after which the page reloads in a browser without scripts. */
  readonly refreshSeconds?: number;
}

/** The mark of the page that is shown, among links. */
export const current = (yes: boolean): Html => (yes ? html`aria-current="page"` : html``);

const TABS: readonly { readonly tab: Tab; readonly path: string; readonly text: string }[] = [
  { tab: 'now', path: '/admin/overview', text: 'Now' },
  { tab: 'users', path: '/admin', text: 'Users' },
  { tab: 'access', path: '/access', text: 'Access' },
  { tab: 'audit', path: '/admin/audit', text: 'Audit' },
];

const searchBox = (): Html =>
  html`<form class="find" action="/admin" role="search">
    <input type="search" name="search" maxlength="200" aria-label="Find" placeholder="User, device, id" />
    <button class="button quiet compact">Find</button>
  </form>`;

/** What is one's own, beneath one's name. The browser opens and closes it. */
const ownMenu = ({ username, csrf, current: here }: Navigation): Html =>
  html`<button type="button" class="own" popovertarget="own">
      <bdi>${username}</bdi>
    </button>
    <div popover id="own" class="menu">
      <bdi>${username}</bdi>
      <a href="/me" ${current(here === 'me')}>My sessions</a>
      <form method="post" action="/logout">${csrfField(csrf)}<button>Sign out</button></form>
    </div>`;

function navigationBar(navigation: Navigation): Html {
  const { mayAdmin, mayAsk } = navigation;
  const tabs = TABS.filter(({ tab }) => (tab === 'access' ? mayAsk : mayAdmin));
  return html`${
    tabs.length > 0 &&
    html`<nav aria-label="Main">
      ${tabs.map(({ tab, path, text }) => html`<a href="${path}" ${current(tab === navigation.current)}>${text}</a>`)}
    </nav>`
  }
  ${mayAdmin && searchBox()} ${ownMenu(navigation)}`;
}

/** The hidden field that proves that a form comes from our own page. */
export const csrfField = (csrf: string): Html => html`<input type="hidden" name="csrf" value="${csrf}" />`;

/** Returns the modules that a page loads. */
export function scriptsOf({ navigation, scripts = [] }: Pick<Page, 'navigation' | 'scripts'>): readonly string[] {
  return navigation === undefined ? scripts : ['pages.js', ...scripts];
}

function head(page: Page): Html {
  const styles = ['portcullis.css', ...(page.styles ?? [])];
  return html`<head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    ${page.refreshSeconds !== undefined && html`<noscript><meta http-equiv="refresh" content="${page.refreshSeconds}" /></noscript>`}
    <title>${page.title} · Portcullis</title>
    ${styles.map((name) => html`<link rel="stylesheet" href="${assetUrl(name)}" />`)}
    <link rel="icon" href="${assetUrl('icon.svg')}" />
    ${scriptsOf(page).map((name) => html`<script type="module" src="${assetUrl(name)}"></script>`)}
  </head>`;
}

export function renderPage(page: Page): string {
  const narrow = page.narrow === true;
  return html`<!doctype html>
    <html lang="en">
      ${head(page)}
      <body class="${narrow ? 'plain' : 'full'}">
        <a class="skip" href="#content">Skip to content</a>
        <header class="top">
          <div class="top-inner">
            <a class="brand" href="/"
              ><img src="${assetUrl('icon.svg')}" alt="" width="28" height="28" /><span class="brand-name"
                >Portcullis</span
              ></a
            >
            ${page.navigation && navigationBar(page.navigation)}
          </div>
        </header>
        <main id="content" class="${narrow ? 'narrow' : 'wide'}" tabindex="-1">${page.body}</main>
      </body>
    </html> `.toString();
}

/** The product's mark, at the top of a page that is a single card. */
export const mark = (): Html => html`<img class="mark" src="${assetUrl('icon.svg')}" alt="" width="48" height="48" />`;

const dateFormat = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZone: 'UTC',
});

/** The caption of each table that shows times. `pages.js` replaces the zone by the reader's own. */
export const momentsCaption = (note = ''): Html =>
  html`<caption>
    Times are in
    <span data-zone>UTC</span
    >. ${note}
  </caption>`;

/**
 * A time in UTC, because the server does not know the reader's zone; `momentsCaption` names the zone. `pages.js`
 * replaces it by the reader's local time.
 *
 * @param seconds epoch seconds
 */
export function moment(seconds: number): Html {
  const text = dateFormat.format(new Date(seconds * 1000));
  const exact = rfc3339(seconds);
  return html`<time datetime="${exact}" title="${exact}">${text}</time>`;
}

const secondsFormat = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' });

/** A time as `moment` shows it, with seconds. @param exact RFC 3339 */
export function momentSeconds(exact: string): Html {
  const at = new Date(exact);
  const text = Number.isNaN(at.getTime()) ? exact : secondsFormat.format(at);
  return html`<time datetime="${exact}" data-seconds>${text}</time>`;
}

/** Returns how long ago it was, in the same texts as `pages.js`. Both in seconds. */
function ago(seconds: number, nowSeconds: number): string {
  const passed = nowSeconds - seconds;
  if (passed < 60) return 'just now';
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ago`;
  const days = Math.floor(passed / 86_400);
  return days === 1 ? '1 day ago' : `${days} days ago`;
}

/** A time in a list, with its distance from now in the title; `pages.js` adds the exact time. Both in epoch seconds. */
export function momentAgo(seconds: number, nowSeconds: number): Html {
  const exact = rfc3339(seconds);
  const text = dateFormat.format(new Date(seconds * 1000));
  return html`<time datetime="${exact}" title="${ago(seconds, nowSeconds)}" data-ago>${text}</time>`;
}
