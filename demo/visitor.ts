/**
 * A user at a browser, without a browser: follows redirects and links, keeps cookies as browsers do (by host and path, blind to ports),
 * fills in sign-in forms, tries again where a page says so, and confirms a step-up. For machines without a screen; the real Chromium is for
 * the end-to-end tests.
 */
import { once } from 'node:events';
import { request, type IncomingMessage, type RequestOptions } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';

interface Cookie {
  readonly host: string;
  readonly path: string;
  readonly name: string;
  readonly value: string;
}

export interface Visit {
  readonly url: string;
  readonly status: number;
  readonly html: string;
}

export interface VisitorCredentials {
  readonly name: string;
  readonly password: string;
}

const MAX_STEPS = 30;
/** How often the visitor tries again where a page says that it may. */
const MAX_AGAIN = 15;

export class Visitor {
  readonly #credentials: VisitorCredentials;
  readonly #stopAt: string | undefined;
  readonly #confirms: boolean;
  #cookies: Cookie[] = [];

  /**
   * @param options.stopAt a URL's beginning: a redirect there ends the visit without being followed
   * @param options.confirms false: the page of a step-up ends the visit, to be looked at
   */
  constructor(
    credentials: VisitorCredentials,
    options: { readonly stopAt?: string; readonly confirms?: boolean } = {},
  ) {
    this.#credentials = credentials;
    this.#stopAt = options.stopAt;
    this.#confirms = options.confirms ?? true;
  }

  /**
   * Goes where the pages lead until there is nothing left to do.
   * @param filled a form to send to `start`, which is else only looked at
   * @returns the last page, and its URL
   * @throws when it goes round in circles or a sign-in form comes back
   */
  async visit(start: string, filled?: URLSearchParams): Promise<Visit> {
    let url = new URL(start);
    let form = filled;
    let signedIn = false;
    let again = 0;
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const page = await this.#load(url, form);
      form = undefined;
      if (page.location !== undefined) {
        url = new URL(page.location, url);
        if (this.#stopAt !== undefined && url.href.startsWith(this.#stopAt)) {
          return { url: url.href, status: page.status, html: page.html };
        }
        continue;
      }
      const way = page.retryAfter === undefined ? undefined : linkOf(page.html, 'Try again');
      if (way !== undefined && again < MAX_AGAIN) {
        again += 1;
        await pause(Number(page.retryAfter) * 1000);
        url = new URL(way, url);
        continue;
      }
      const chosen = page.status < 400 ? this.#providerOf(page.html, again > 0) : undefined;
      if (chosen !== undefined) {
        url = new URL(chosen, url);
        continue;
      }
      const next = formOf(page.html);
      if (page.status < 400 && next !== undefined && next.fields.has('password')) {
        if (signedIn) throw new Error(`${this.#credentials.name} was not let in at ${url.origin}`);
        signedIn = true;
        next.fields.set(next.fields.has('username') ? 'username' : 'login', this.#credentials.name);
        next.fields.set('password', this.#credentials.password);
      } else if (next === undefined || !(next.fields.has('allow') || /consent|share/i.test(page.html))) {
        return { url: url.href, status: page.status, html: page.html };
      }
      url = new URL(next.action, url);
      form = next.fields;
    }
    throw new Error(`gave up after ${MAX_STEPS} pages, the last at ${url.origin}${url.pathname}`);
  }

  /** Of a step-up, and of a sign-in that is tried again: its page lets the user choose again, also of one. */
  #providerOf(html: string, isAgain: boolean): string | undefined {
    const confirmed = this.#confirms ? linkOf(html, 'Sign in again with ') : undefined;
    return confirmed ?? (isAgain ? linkOf(html, 'Sign in with ') : undefined);
  }

  async #load(url: URL, form: URLSearchParams | undefined) {
    const cookies = this.#cookies.filter((cookie) => cookie.host === url.hostname && covers(cookie.path, url.pathname));
    const headers = {
      accept: 'text/html',
      'user-agent': 'portcullis-demo-visitor',
      ...(cookies.length === 0 ? {} : { cookie: cookies.map(({ name, value }) => `${name}=${value}`).join('; ') }),
      ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded', origin: url.origin }),
    };
    const ask = (): Promise<IncomingMessage> =>
      send(url, { method: form === undefined ? 'GET' : 'POST', headers }, form?.toString());
    // As a browser does, which loads a page again whose connection ended without a response, and sends no form again.
    const answer = await ask().catch((error: NodeJS.ErrnoException) => {
      if (form !== undefined || error.code !== 'ECONNRESET') throw error;
      return ask();
    });
    this.#keep(url, answer.headers['set-cookie']);
    const { location, 'retry-after': retryAfter } = answer.headers;
    return { status: answer.statusCode ?? 0, html: await text(answer), retryAfter, location };
  }

  #keep(url: URL, lines: readonly string[] = []): void {
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split(/;\s*/);
      const [name = '', ...rest] = pair.split('=');
      const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice('path='.length) ?? '/';
      const gone = attributes.some((attribute) => /^expires=Thu, 01 Jan 1970|^max-age=0$/i.test(attribute));
      this.#cookies = this.#cookies.filter(
        (kept) => kept.name !== name || kept.host !== url.hostname || kept.path !== path,
      );
      if (!gone) this.#cookies.push({ host: url.hostname, path, name, value: rest.join('=') });
    }
  }
}

/** By Node's own client: the demo's browser is a process for each sign-in, and is to start at once. */
async function send(url: URL, options: RequestOptions, body?: string): Promise<IncomingMessage> {
  const ask = url.protocol === 'https:' ? (await import('node:https')).request : request;
  const asked = ask(url, options).end(body);
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  return answer;
}

/** RFC 6265 §5.1.4. */
const covers = (cookiePath: string, path: string): boolean =>
  path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`);

const decode = (text: string): string =>
  text.replace(/&#(\d+);/g, (_all, code: string) => String.fromCharCode(Number(code))).replaceAll('&amp;', '&');

/** @param name how the link's text begins; pictures and elements before it do not count */
const linkOf = (html: string, name: string): string | undefined => {
  const links = [...html.matchAll(/<a [^>]*href="([^"]*)"[^>]*>([\s\S]*?)<\/a\s*>/g)];
  const found = links.find(([, , inner = '']) =>
    inner
      .replace(/<[^>]*>/g, '')
      .trim()
      .startsWith(name),
  );
  return found?.[1] === undefined ? undefined : decode(found[1]);
};

/** An empty action is the page's own address, as for a browser. */
function formOf(html: string): { readonly action: string; readonly fields: URLSearchParams } | undefined {
  const match = /<form([^>]*method="post"[^>]*)>([\s\S]*?)<\/form>/i.exec(html);
  if (match === null) return undefined;
  const fields = new URLSearchParams();
  for (const [input] of (match[2] ?? '').matchAll(/<input[^>]*>/gi)) {
    const name = /name="([^"]*)"/.exec(input)?.[1];
    if (name !== undefined) fields.set(decode(name), decode(/value="([^"]*)"/.exec(input)?.[1] ?? ''));
  }
  return { action: decode(/action="([^"]*)"/i.exec(match[1] ?? '')?.[1] ?? ''), fields };
}
