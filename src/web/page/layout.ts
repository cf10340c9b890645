/**
 * The frame of every page, and the small pieces that pages share.
 */
import { html, type Html } from './html.ts';

/** Where somebody signed in can go; the page that is shown is marked. */
export interface Navigation {
  readonly username: string;
  readonly csrf: string;
  readonly mayAdmin: boolean;
  readonly current: 'me' | 'admin' | undefined;
}

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** A single card in the middle: sign-in, errors. */
  readonly narrow?: boolean;
  readonly navigation?: Navigation;
}

const current = (yes: boolean): Html => (yes ? html` aria-current="page"` : html``);

function navigationBar(navigation: Navigation): Html {
  return html`<nav aria-label="Main">
    <a href="/me" ${current(navigation.current === 'me')}>My sessions</a>
    ${navigation.mayAdmin && html`<a href="/admin" ${current(navigation.current === 'admin')}>Admin</a>`}
    <form method="post" action="/logout">
      ${csrfField(navigation.csrf)}
      <button class="button quiet compact" title="Signed in as ${navigation.username}">Sign out</button>
    </form>
  </nav>`;
}

/** The hidden field that proves that a form came from our own page. */
export const csrfField = (csrf: string): Html => html`<input type="hidden" name="csrf" value="${csrf}" />`;

export function renderPage(page: Page): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${page.title} · Portcullis</title>
        <link rel="stylesheet" href="/assets/portcullis.css" />
        <link rel="icon" type="image/svg+xml" href="/assets/icon.svg" />
      </head>
      <body>
        <a class="skip" href="#content">Skip to content</a>
        <header class="top">
          <div class="top-inner">
            <a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="26" height="26" />Portcullis</a>
            ${page.navigation && navigationBar(page.navigation)}
          </div>
        </header>
        <main id="content" class="${page.narrow === true ? 'narrow' : 'wide'}">${page.body}</main>
      </body>
    </html> `.toString();
}

const dateFormat = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZone: 'UTC',
});

/** RFC 3339, whole seconds. @param seconds epoch seconds */
export const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/** Stands in each table that shows moments. */
export const momentsCaption = (): Html =>
  html`<caption>
    Times are in UTC.
  </caption>`;

/** A moment for people, in UTC, because the server does not know where its reader sits; `momentsCaption` says so. @param seconds epoch seconds */
export function moment(seconds: number): Html {
  const words = dateFormat.format(new Date(seconds * 1000));
  return html`<time datetime="${rfc3339(seconds)}">${words}</time>`;
}
