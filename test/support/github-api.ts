/**
 * A GitHub over https on a loopback port, as an Enterprise Server is (`/login/oauth`, `/api/v3`): tokens, pages with Link headers, ETags,
 * rate limits, single sign-on of organisations. What it does is what GitHub's documentation says:
 * - https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
 * - https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
 * - https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api (conditional requests)
 * - https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 * - https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api (`X-GitHub-SSO`)
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { makeCertificates } from '../../demo/certificates.ts';

export interface GithubOrganization {
  readonly id: number;
  readonly login: string;
}

export interface GithubAccount {
  readonly id: number;
  login: string;
  emails: { email: string; primary: boolean; verified: boolean }[];
  memberships: { state: 'active' | 'pending'; organization: GithubOrganization }[];
  teams: { id: number; slug: string; organization: GithubOrganization }[];
  suspended: boolean;
  /** Organisations whose single sign-on this user's tokens are not authorised for. */
  unauthorized: GithubOrganization[];
}

interface Token {
  readonly user: GithubAccount;
  readonly scopes: readonly string[];
  readonly expiresAt: number;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

export class Github {
  readonly clientId = 'Iv1.portcullis';
  readonly clientSecret = 'secret-of-the-gate';
  /** Host and port. */
  host = '';
  /** PEM that its certificate is signed by. */
  ca = '';
  /** Who is signed in at the browser. */
  visitor: GithubAccount | undefined;
  /** Of the tokens that it gives out; absent: what is asked for. */
  grantedScopes: readonly string[] | undefined;
  /** Seconds; set: tokens expire, as a GitHub App's do. */
  tokenLife: number | undefined;
  /** The list of memberships has those too whose single sign-on is missing; the teams are hidden all the same. */
  showsAllMemberships = false;
  /** In the place of the response that it would give to this path of the API. */
  readonly instead = new Map<string, Answer>();
  /** Requests to the API and the token endpoint, with their responses, in order. */
  readonly asked: { readonly path: string; readonly status: number; readonly token: string }[] = [];
  readonly tokens = new Map<string, Token>();
  readonly refreshTokens = new Map<
    string,
    { readonly token: string; readonly scopes: readonly string[]; readonly user: GithubAccount }
  >();
  /** Epoch milliseconds, for the lives of tokens. */
  now = Date.now;
  readonly #codes = new Map<string, URLSearchParams & { user?: GithubAccount }>();
  readonly #server: ReturnType<typeof createServer>;

  constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    server.on('request', (req: IncomingMessage, res: ServerResponse) => void this.#answer(req, res));
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  /** The paths of the API that were asked since the last call, with their statuses. */
  news(): readonly string[] {
    return this.asked.splice(0).map(({ path, status }) => `${status} ${path}`);
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '', `https://${this.host}`);
    let form = '';
    for await (const chunk of req) form += String(chunk);
    const token = /^Bearer (.+)$/.exec(req.headers.authorization ?? '')?.[1] ?? '';
    const path = url.pathname.replace('/api/v3', '');
    const answer = this.instead.get(path) ?? this.#route(req, { url, path, token, form: new URLSearchParams(form) });
    if (path !== '/login/oauth/authorize') this.asked.push({ path: path + url.search, status: answer.status, token });
    res.writeHead(answer.status, { 'content-type': 'application/json; charset=utf-8', ...answer.headers });
    const { body } = answer;
    res.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  }

  #route(
    req: IncomingMessage,
    { url, path, token, form }: { url: URL; path: string; token: string; form: URLSearchParams },
  ): Answer {
    if (path === '/login/oauth/authorize') return this.#authorize(url.searchParams);
    if (path === '/login/oauth/access_token') return this.#exchange(form);
    if (req.headers['user-agent'] === undefined) return { status: 403, body: { message: 'User-Agent is missing' } };
    const known = this.tokens.get(token);
    if (known === undefined || known.expiresAt <= this.now())
      return { status: 401, body: { message: 'Bad credentials' } };
    if (known.user.suspended) return { status: 403, body: { message: 'Sorry. Your account was suspended.' } };
    const found = this.#resource(path, known);
    const headers = { 'x-oauth-scopes': known.scopes.join(', '), ...LIMITS, ...found.headers };
    if (found.status !== 200) return { ...found, headers };
    const page = Array.isArray(found.body) ? pageOf(found.body, url) : { body: found.body, headers: {} };
    const etag = `W/"${createHash('sha256').update(JSON.stringify(page.body)).digest('hex')}"`;
    // RFC 9110 §15.4.5 asks for little more than the ETag in a 304; links are not among it.
    if (req.headers['if-none-match'] === etag) return { status: 304, headers: { ...headers, etag } };
    return { status: 200, headers: { ...headers, ...page.headers, etag }, body: page.body };
  }

  #authorize(query: URLSearchParams): Answer {
    if (query.get('client_id') !== this.clientId || this.visitor === undefined) return { status: 404 };
    const code = randomBytes(10).toString('hex');
    this.#codes.set(code, Object.assign(new URLSearchParams(query), { user: this.visitor }));
    const callback = new URL(query.get('redirect_uri') ?? '');
    callback.search = new URLSearchParams({ code, state: query.get('state') ?? '' }).toString();
    return { status: 302, headers: { location: callback.href } };
  }

  /** Errors come with 200. */
  #exchange(form: URLSearchParams): Answer {
    const failed = (error: string): Answer => ({ status: 200, body: { error, error_description: 'a description' } });
    if (form.get('client_id') !== this.clientId || form.get('client_secret') !== this.clientSecret) {
      return failed('incorrect_client_credentials');
    }
    if (form.get('grant_type') === 'refresh_token') {
      const old = this.refreshTokens.get(form.get('refresh_token') ?? '');
      if (old === undefined) return failed('bad_refresh_token');
      this.refreshTokens.delete(form.get('refresh_token') ?? '');
      this.tokens.delete(old.token);
      return { status: 200, body: this.issue(old.user, old.scopes) };
    }
    const code = form.get('code') ?? '';
    const asked = this.#codes.get(code);
    this.#codes.delete(code);
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (asked?.user === undefined || asked.get('code_challenge') !== challenge) return failed('bad_verification_code');
    if (asked.get('redirect_uri') !== form.get('redirect_uri')) return failed('redirect_uri_mismatch');
    const scopes = (asked.get('scope') ?? '').split(' ');
    return { status: 200, body: this.issue(asked.user, this.grantedScopes ?? scopes) };
  }

  issue(user: GithubAccount, scopes: readonly string[]): Record<string, unknown> {
    const life = this.tokenLife;
    const token = `${life === undefined ? 'gho' : 'ghu'}_${randomBytes(18).toString('hex')}`;
    const expiresAt = life === undefined ? Number.POSITIVE_INFINITY : this.now() + life * 1000;
    this.tokens.set(token, { user, scopes: life === undefined ? scopes : [], expiresAt });
    const granted = { access_token: token, token_type: 'bearer', scope: scopes.join(',') };
    if (life === undefined) return granted;
    const refreshToken = `ghr_${randomBytes(36).toString('hex')}`;
    this.refreshTokens.set(refreshToken, { token, scopes, user });
    return { ...granted, expires_in: life, refresh_token: refreshToken, refresh_token_expires_in: 15_897_600 };
  }

  #resource(path: string, { user, scopes }: Token): Answer {
    const hidden = user.unauthorized;
    const seen = (id: number): boolean => !hidden.some((each) => each.id === id);
    const partial = { 'x-github-sso': `partial-results; organizations=${hidden.map(({ id }) => id).join(',')}` };
    const headers = hidden.length === 0 ? {} : partial;
    if (path === '/user') {
      return { status: 200, body: { login: user.login, id: user.id, type: 'User', email: null, name: 'A User' } };
    }
    // A GitHub App's tokens have no scopes.
    const may = (scope: string): boolean =>
      this.tokenLife !== undefined || scopes.includes(scope) || scopes.includes('admin:org');
    if (path === '/user/emails') {
      return may('user:email') ? { status: 200, body: user.emails } : { status: 404, body: { message: 'Not Found' } };
    }
    if (!may('read:org')) return { status: 403, body: { message: 'You need at least read:org scope.' } };
    if (path === '/user/memberships/orgs') {
      const body = user.memberships.filter(({ organization }) => this.showsAllMemberships || seen(organization.id));
      return { status: 200, body: body.map((each) => ({ ...each, role: 'member' })), headers };
    }
    if (path === '/user/teams') {
      const body = user.teams.filter(({ organization }) => seen(organization.id));
      return { status: 200, body: body.map((each) => ({ ...each, name: each.slug, permission: 'pull' })), headers };
    }
    const login = /^\/user\/memberships\/orgs\/([^/]+)$/.exec(path)?.[1]?.toLowerCase();
    const body = user.memberships.find(({ organization }) => organization.login.toLowerCase() === login);
    if (body === undefined) return { status: 404, body: { message: 'Not Found' } };
    if (seen(body.organization.id)) return { status: 200, body };
    return {
      status: 403,
      headers: { 'x-github-sso': `required; url=https://${this.host}/orgs/${login}/sso?authorization_request=A` },
      body: { message: 'Resource protected by organization SAML enforcement.' },
    };
  }
}

const LIMITS = { 'x-ratelimit-limit': '5000', 'x-ratelimit-remaining': '4987' };

function pageOf(list: readonly unknown[], url: URL): { body: readonly unknown[]; headers: Record<string, string> } {
  const size = Math.min(100, Number(url.searchParams.get('per_page') ?? 30));
  const page = Number(url.searchParams.get('page') ?? 1);
  const last = Math.max(1, Math.ceil(list.length / size));
  const at = (number: number, rel: string): string => {
    const target = new URL(url);
    target.searchParams.set('page', String(number));
    return `<${target.href}>; rel="${rel}"`;
  };
  const links = [
    ...(page > 1 ? [at(page - 1, 'prev')] : []),
    ...(page < last ? [at(page + 1, 'next'), at(last, 'last')] : []),
    ...(page > 1 ? [at(1, 'first')] : []),
  ];
  const headers: Record<string, string> = links.length === 0 ? {} : { link: links.join(', ') };
  return { body: list.slice((page - 1) * size, page * size), headers };
}

export async function startGithub(): Promise<Github> {
  const { ca, cert, key } = await makeCertificates(['localhost'], Date.now());
  const server = createServer({ cert, key });
  const github = new Github(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  github.host = `localhost:${(server.address() as AddressInfo).port}`;
  github.ca = ca;
  return github;
}
