/** A browser that does one thing at a time: each request is the test's own, cookies are kept by name, for one host. */
import { request } from 'undici';

export interface Step {
  readonly status: number;
  readonly location: string;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly html: string;
}

export class CookieBrowser {
  readonly #cookies = new Map<string, string>();

  /** As a `Cookie` header. */
  get cookies(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  get(url: string): Promise<Step> {
    return this.#load(url, undefined);
  }

  /** A form of a page of the same origin. */
  post(url: string, form: Record<string, string>): Promise<Step> {
    return this.#load(url, new URLSearchParams(form));
  }

  /** As far as redirects lead. @returns the last step, and where that was */
  async follow(url: string): Promise<Step & { readonly url: string }> {
    let at = url;
    for (let steps = 0; steps < 20; steps += 1) {
      const step = await this.get(at);
      if (step.location === '') return { ...step, url: at };
      at = new URL(step.location, at).href;
    }
    throw new Error(`redirects without end, the last to ${at}`);
  }

  async #load(url: string, form: URLSearchParams | undefined): Promise<Step> {
    const cookie = this.cookies;
    const answer = await request(url, {
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        cookie,
        ...(form === undefined
          ? {}
          : { origin: new URL(url).origin, 'content-type': 'application/x-www-form-urlencoded' }),
      },
      body: form?.toString() ?? null,
    });
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [name = '', ...value] = (line.split(';', 1)[0] ?? '').split('=');
      if (/expires=Thu, 01 Jan 1970|max-age=0/i.test(line)) this.#cookies.delete(name);
      else this.#cookies.set(name, value.join('='));
    }
    const { location } = answer.headers;
    return {
      status: answer.statusCode,
      headers: answer.headers,
      location: typeof location === 'string' ? location : '',
      html: await answer.body.text(),
    };
  }
}
