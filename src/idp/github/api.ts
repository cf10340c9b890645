/**
 * The part of GitHub's REST API that identifies a user: one GET at a time, all pages, and conditional requests
 * where nothing has changed.
 *
 * The token goes with every request, and GitHub's response names the address of the next page. An attacker who
 * controls a response could lead the token away, so a page is followed only below the API's own base, a bounded
 * number of times, and never in a circle.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import * as z from 'zod';
import type { Clock } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import type { Outbound } from '../outbound.ts';
import { responseError, limitedUntil, rateLimited, unavailable, type GithubResponse } from './errors.ts';
import { defined } from '../../core/defined.ts';

const PAGE_SIZE = 100;
/** `limits.groups` is at most 10 000. */
const MAX_PAGES = 100;
const MAX_CACHED_BYTES = 16 * 1024 * 1024;
const MAX_LIMITED_TOKENS = 10_000;

export interface GithubApiOptions {
  readonly provider: string;
  /** Without a trailing slash. */
  readonly base: string;
  readonly outbound: Outbound;
  readonly clock: Clock;
}

/** The user's token, and the time limit. */
export interface GithubRequest {
  readonly token: string;
  readonly signal: AbortSignal;
}

export interface Page<T> {
  readonly value: T;
  /** Scopes of the token (`X-OAuth-Scopes`), where GitHub says. */
  readonly scopes?: readonly string[] | undefined;
  /**
   * Ids of organisations that are left out because the token is not authorised for their single sign-on
   * (`X-GitHub-SSO`).
   */
  readonly hidden: readonly number[];
  readonly next?: string | undefined;
}

interface CachedPage extends Page<unknown> {
  readonly etag: string;
}

export interface GithubApi {
  /** @throws AppError `sign_in_refused` (401, suspended, single sign-on), `provider_unavailable` (everything else; limits say until when) */
  get<T>(path: string, shape: z.ZodType<T>, request: GithubRequest): Promise<Page<T>>;
  /** All pages of a list. @throws AppError as `get` */
  list<T>(
    path: string,
    item: z.ZodType<T>,
    request: GithubRequest,
  ): Promise<Pick<Page<readonly T[]>, 'value' | 'hidden'>>;
}

export function createGithubApi(options: GithubApiOptions): GithubApi {
  const client = new Client(options);
  return {
    get: (path, shape, request) => client.page(`${options.base}${path}`, shape, request),
    async list(path, item, request) {
      const shape = z.array(item);
      const value: z.output<typeof item>[] = [];
      const hidden = new Set<number>();
      const seen = new Set<string>();
      let url: string | undefined = `${options.base}${path}${path.includes('?') ? '&' : '?'}per_page=${PAGE_SIZE}`;
      while (url !== undefined) {
        if (seen.has(url) || seen.size === MAX_PAGES) throw unavailable(options.provider, 'provider_answer_invalid');
        seen.add(url);
        const page: Page<z.output<typeof item>[]> = await client.page(url, shape, request);
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
  /** By token and URL, so that no user ever gets another user's response. */
  readonly #cache = new LRUCache<string, CachedPage>({
    maxSize: MAX_CACHED_BYTES,
    sizeCalculation: (page) => JSON.stringify(page).length,
  });
  /** Tokens that GitHub limits, and until when: it takes further requests for abuse. */
  readonly #limited = new LRUCache<string, number>({ max: MAX_LIMITED_TOKENS });

  constructor(options: GithubApiOptions) {
    this.#options = options;
  }

  async page<T>(url: string, shape: z.ZodType<T>, request: GithubRequest): Promise<Page<T>> {
    const { provider, clock } = this.#options;
    const tokenDigest = digest(request.token);
    const limit = this.#limited.get(tokenDigest);
    if (limit !== undefined && limit > clock.nowMs()) throw rateLimited(provider, limit);
    const key = `${tokenDigest} ${url}`;
    const cached = this.#cache.get(key);
    const response = await this.#ask(url, request, cached?.etag);
    const until = limitedUntil(response, clock.nowMs());
    if (until !== undefined) {
      this.#limited.set(tokenDigest, until);
      throw rateLimited(provider, until, responseError(provider, pathOf(url), response));
    }
    // Shapes belong to URLs, so what is cached under this one has this one's shape.
    if (response.status === 304 && cached !== undefined) {
      return { ...(cached as Page<T>), ...this.#facts(response.headers) };
    }
    if (response.status !== 200) throw responseError(provider, pathOf(url), response);
    const page = this.#read(response, shape);
    const etag = response.headers.get('etag');
    if (etag === null || isFullLastPage(page)) this.#cache.delete(key);
    else this.#cache.set(key, { ...page, etag });
    return page;
  }

  async #ask(url: string, { token, signal }: GithubRequest, etag: string | undefined): Promise<GithubResponse> {
    try {
      const response = await this.#options.outbound(url, {
        method: 'GET',
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/vnd.github+json',
          'x-github-api-version': '2022-11-28',
          // GitHub rejects requests without one.
          'user-agent': 'portcullis',
          ...defined({ 'if-none-match': etag }),
        },
        signal,
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (cause) {
      throw cause instanceof AppError ? cause : unavailable(this.#options.provider, 'provider_unreachable', cause);
    }
  }

  #read<T>(response: GithubResponse, shape: z.ZodType<T>): Page<T> {
    try {
      return { value: shape.parse(JSON.parse(response.text)), hidden: [], ...this.#facts(response.headers) };
    } catch (cause) {
      throw cause instanceof AppError ? cause : unavailable(this.#options.provider, 'provider_answer_invalid', cause);
    }
  }

  /** Reads the headers; a 304 repeats some of them, and what it repeats is newer. */
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
 * The last page, and full: whether another has been added since does not show in its own content, so it is never
 * requested by ETag.
 */
const isFullLastPage = ({ value, next }: Page<unknown>): boolean =>
  Array.isArray(value) && next === undefined && value.length >= PAGE_SIZE;

/**
 * Returns the next page (RFC 8288, as GitHub writes it). @throws AppError `provider_unavailable` where it is
 * elsewhere
 */
function nextPage(link: string, base: string, provider: string): string | undefined {
  const target = /<([^<>]*)>\s*;\s*rel="next"/.exec(link)?.[1];
  if (target === undefined) return undefined;
  const href = URL.canParse(target) ? new URL(target).href : '';
  if (!href.startsWith(`${base}/`))
    throw unavailable(provider, 'provider_answer_invalid', new Error('a foreign next page'));
  return href;
}

/**
 * Parses `partial-results; organizations=21955855,20582480`. @throws AppError `provider_unavailable` for anything
 * else: no organisation may be left out unnoticed
 */
function hiddenOrganizations(header: string, provider: string): readonly number[] {
  const ids = /^partial-results;\s*organizations=(\d+(?:\s*,\s*\d+)*)\s*$/.exec(header)?.[1];
  if (ids === undefined) {
    throw unavailable(provider, 'provider_answer_invalid', new Error('X-GitHub-SSO cannot be read'));
  }
  return ids.split(',').map(Number);
}

const digest = (token: string): string => createHash('sha256').update(token).digest('base64url');

const pathOf = (url: string): string => new URL(url).pathname;
