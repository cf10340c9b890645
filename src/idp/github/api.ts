/**
 * GitHub's REST API, as far as it says who somebody is: one GET at a time, all pages, and again for nothing where nothing changed.
 *
 * Threat: the token goes with every request, and the address of the next page is GitHub's word. It is followed only below the API's own
 * base, a bounded number of times, and never in a circle.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as z from 'zod';
import type { Clock } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import type { Outbound } from '../outbound.ts';
import { answerFault, limitedUntil, rateLimited, unavailable, type GithubAnswer } from './errors.ts';

const PAGE_SIZE = 100;
/** `limits.groups` is at most 10 000. */
const MOST_PAGES = 100;
const MOST_REMEMBERED_BYTES = 16 * 1024 * 1024;
const MOST_LIMITED = 10_000;

export interface GithubApiOptions {
  readonly provider: string;
  /** Without a trailing slash. */
  readonly base: string;
  readonly outbound: Outbound;
  readonly clock: Clock;
}

/** Who asks, and for how long. */
export interface Asking {
  readonly token: string;
  readonly signal: AbortSignal;
}

export interface Page<T> {
  readonly value: T;
  /** Scopes of the token (`X-OAuth-Scopes`), where GitHub says. */
  readonly scopes?: readonly string[] | undefined;
  /** Ids of organisations that are left out because the token is not authorised for their single sign-on (`X-GitHub-SSO`). */
  readonly hidden: readonly number[];
  readonly next?: string | undefined;
}

interface Remembered extends Page<unknown> {
  readonly etag: string;
}

export interface GithubApi {
  /** @throws AppError `sign_in_refused` (401, suspended, single sign-on), `provider_unavailable` (everything else; limits say until when) */
  get<T>(path: string, shape: z.ZodType<T>, asking: Asking): Promise<Page<T>>;
  /** All pages of a list. @throws AppError as `get` */
  list<T>(path: string, item: z.ZodType<T>, asking: Asking): Promise<Pick<Page<readonly T[]>, 'value' | 'hidden'>>;
}

export function createGithubApi(options: GithubApiOptions): GithubApi {
  const client = new Client(options);
  return {
    get: (path, shape, asking) => client.page(`${options.base}${path}`, shape, asking),
    async list(path, item, asking) {
      const shape = z.array(item);
      const value: z.output<typeof item>[] = [];
      const hidden = new Set<number>();
      const seen = new Set<string>();
      let url: string | undefined = `${options.base}${path}${path.includes('?') ? '&' : '?'}per_page=${PAGE_SIZE}`;
      while (url !== undefined) {
        if (seen.has(url) || seen.size === MOST_PAGES) throw unavailable(options.provider, 'provider_answer_invalid');
        seen.add(url);
        const page: Page<z.output<typeof item>[]> = await client.page(url, shape, asking);
        value.push(...page.value);
        for (const id of page.hidden) hidden.add(id);
        url = page.next;
      }
      return { value, hidden: [...hidden] };
    },
  };
}

class Client {
  readonly #options: GithubApiOptions;
  /** By token and URL, so that nobody is ever shown another person's answer. */
  readonly #remembered = new LRUCache<string, Remembered>({
    maxSize: MOST_REMEMBERED_BYTES,
    sizeCalculation: (page) => JSON.stringify(page).length,
  });
  /** Whom GitHub limits, until when: it takes asking on for abuse. */
  readonly #limited = new LRUCache<string, number>({ max: MOST_LIMITED });

  constructor(options: GithubApiOptions) {
    this.#options = options;
  }

  async page<T>(url: string, shape: z.ZodType<T>, asking: Asking): Promise<Page<T>> {
    const { provider, clock } = this.#options;
    const who = digest(asking.token);
    const limit = this.#limited.get(who);
    if (limit !== undefined && limit > clock.now()) throw rateLimited(provider, limit);
    const key = `${who} ${url}`;
    const remembered = this.#remembered.get(key);
    const answer = await this.#ask(url, asking, remembered?.etag);
    const until = limitedUntil(answer, clock.now());
    if (until !== undefined) {
      this.#limited.set(who, until);
      throw rateLimited(provider, until, answerFault(provider, pathOf(url), answer));
    }
    // Shapes belong to URLs, so what is remembered under this one has this one's shape.
    if (answer.status === 304 && remembered !== undefined) {
      return { ...(remembered as Page<T>), ...this.#facts(answer.headers) };
    }
    if (answer.status !== 200) throw answerFault(provider, pathOf(url), answer);
    const page = this.#read(answer, shape);
    const etag = answer.headers.get('etag');
    if (etag === null || isFullEnd(page)) this.#remembered.delete(key);
    else this.#remembered.set(key, { ...page, etag });
    return page;
  }

  async #ask(url: string, { token, signal }: Asking, etag: string | undefined): Promise<GithubAnswer> {
    try {
      const response = await this.#options.outbound(url, {
        method: 'GET',
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/vnd.github+json',
          'x-github-api-version': '2022-11-28',
          // GitHub refuses requests without one.
          'user-agent': 'portcullis',
          ...(etag === undefined ? {} : { 'if-none-match': etag }),
        },
        signal,
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (cause) {
      throw cause instanceof AppError ? cause : unavailable(this.#options.provider, 'provider_unreachable', cause);
    }
  }

  #read<T>(answer: GithubAnswer, shape: z.ZodType<T>): Page<T> {
    try {
      return { value: shape.parse(JSON.parse(answer.text)), hidden: [], ...this.#facts(answer.headers) };
    } catch (cause) {
      throw cause instanceof AppError ? cause : unavailable(this.#options.provider, 'provider_answer_invalid', cause);
    }
  }

  /** What the headers say; a 304 repeats some of them, and what it repeats is newer. */
  #facts(headers: Headers): Partial<Pick<Page<unknown>, 'scopes' | 'hidden' | 'next'>> {
    const [scopes, sso, link] = ['x-oauth-scopes', 'x-github-sso', 'link'].map(
      (name) => headers.get(name) ?? undefined,
    );
    return {
      ...(scopes === undefined ? {} : { scopes: scopes.split(/[\s,]+/).filter((scope) => scope !== '') }),
      ...(sso === undefined ? {} : { hidden: hiddenOrganizations(sso, this.#options.provider) }),
      ...(link === undefined ? {} : { next: nextPage(link, this.#options.base, this.#options.provider) }),
    };
  }
}

/**
 * The last page, and full: whether another has come after it since does not show in its own content, so it is never asked for by ETag.
 */
const isFullEnd = ({ value, next }: Page<unknown>): boolean =>
  Array.isArray(value) && next === undefined && value.length >= PAGE_SIZE;

/** RFC 8288, as GitHub writes it. @throws AppError `provider_unavailable` where the next page is somewhere else */
function nextPage(link: string, base: string, provider: string): string | undefined {
  const target = /<([^<>]*)>\s*;\s*rel="next"/.exec(link)?.[1];
  if (target === undefined) return undefined;
  const href = URL.canParse(target) ? new URL(target).href : '';
  if (!href.startsWith(`${base}/`))
    throw unavailable(provider, 'provider_answer_invalid', new Error('a foreign next page'));
  return href;
}

/** `partial-results; organizations=21955855,20582480`. @throws AppError `provider_unavailable` for anything else: nothing may be hidden unseen */
function hiddenOrganizations(header: string, provider: string): readonly number[] {
  const ids = /^partial-results;\s*organizations=(\d+(?:\s*,\s*\d+)*)\s*$/.exec(header)?.[1];
  if (ids === undefined) {
    throw unavailable(provider, 'provider_answer_invalid', new Error('X-GitHub-SSO cannot be read'));
  }
  return ids.split(',').map(Number);
}

const digest = (token: string): string => createHash('sha256').update(token).digest('base64url');

const pathOf = (url: string): string => new URL(url).pathname;
