/**
 * A client of our authorization server that speaks the protocol by itself, so that a test sees every step of it: what the plugin does, and
 * what a thief would do.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { makeCertificates } from '../../demo/certificates.ts';
import { USERS, type DemoUser } from '../../demo/demo.ts';
import { Visitor } from '../../demo/visitor.ts';

const REDIRECT_URI = 'http://127.0.0.1:9/callback';

/** A key pair and its certificate: what a session gets bound to. */
export interface ClientKey {
  readonly cert: string;
  readonly key: string;
}

export interface Endpoints {
  readonly web: string;
  readonly api: string;
  /** PEM that the api listener's certificate is signed by. */
  readonly ca: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Record<string, unknown>;
}

export interface SignedIn {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly session: string;
  readonly answer: Answer;
}

export async function newClientKey(): Promise<ClientKey> {
  const { cert, key } = await makeCertificates(['client'], Date.now());
  return { cert, key };
}

/** The plugin's authorization request, for a test that goes as far as the sign-in page and requests no token: no program listens there. */
export const AUTHORIZATION = {
  client_id: 'portcullis-cli',
  response_type: 'code',
  redirect_uri: 'http://127.0.0.1:9/callback',
  scope: 'kubernetes',
  state: 'state',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
};

/**
 * Asks again where a store was slow for a moment, as it is on a busy machine: that is a 503, of which the test is not about.
 * @param ask may be repeated
 */
export async function served(ask: () => Promise<Answer>): Promise<Answer> {
  let answer = await ask();
  for (let left = 4; left > 0 && answer.status === 503; left -= 1) {
    await pause(1000);
    answer = await ask();
  }
  return answer;
}

const titleOf = (html: string): string => /<title>([^<]*)/.exec(html)?.[1] ?? '';

export class OAuthClient {
  readonly endpoints: Endpoints;
  readonly key: ClientKey | undefined;
  readonly #agent: Agent;

  constructor(endpoints: Endpoints, key: ClientKey | undefined) {
    this.endpoints = endpoints;
    this.key = key;
    this.#agent = new Agent({ connect: { ca: endpoints.ca, ...key } });
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** From nothing to an authorization code, as far as the redirect to the client. */
  async authorize(
    user: string | DemoUser,
    options: { readonly visitor?: Visitor; readonly extra?: Record<string, string> } = {},
  ) {
    const verifier = randomBytes(32).toString('base64url');
    const state = randomBytes(16).toString('base64url');
    const url = new URL(`${this.endpoints.web}/oauth/authorize`);
    url.search = new URLSearchParams({
      client_id: 'portcullis-cli',
      response_type: 'code',
      redirect_uri: REDIRECT_URI,
      scope: 'kubernetes',
      state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...options.extra,
    }).toString();
    const who = typeof user === 'string' ? USERS.find(({ name }) => name === user) : user;
    if (who === undefined) throw new Error(`no user is called ${JSON.stringify(user)}`);
    const visitor = options.visitor ?? new Visitor(who, { stopAt: REDIRECT_URI });
    const page = await visitor.visit(url.href);
    return { page, state, verifier, callback: new URL(page.url) };
  }

  redeem(code: string, verifier: string, extra: Record<string, string> = {}): Promise<Answer> {
    return this.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
      ...extra,
    });
  }

  refresh(refreshToken: string, extra: Record<string, string> = {}): Promise<Answer> {
    return this.token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...extra });
  }

  token(form: Record<string, string>): Promise<Answer> {
    return this.post('/-/oauth/token', { client_id: 'portcullis-cli', ...form });
  }

  revoke(token: string): Promise<Answer> {
    return this.post('/-/oauth/revoke', { client_id: 'portcullis-cli', token });
  }

  post(path: string, form: Record<string, string>, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send('POST', path, {
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...headers },
      body: new URLSearchParams(form).toString(),
    });
  }

  postJson(path: string, token: string, body: unknown): Promise<Answer> {
    return this.send('POST', path, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  async send(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    options: { readonly headers?: Record<string, string>; readonly body?: string; readonly signal?: AbortSignal } = {},
  ): Promise<Answer> {
    const answer = await request(`${this.endpoints.api}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: options.headers ?? {},
      body: options.body ?? null,
      signal: options.signal ?? null,
    });
    const text = await answer.body.text();
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: text.startsWith('{') ? (JSON.parse(text) as Answer['body']) : { text },
    };
  }

  /** The whole sign-in; throws where any step of it fails. A 503 uses up the code: a user signs in again. */
  async signIn(user: string | DemoUser, extra: Record<string, string> = {}, visitor?: Visitor): Promise<SignedIn> {
    const signIn = async (): Promise<Answer> => {
      const { page, callback, verifier } = await this.authorize(user, visitor === undefined ? {} : { visitor });
      const code = callback.searchParams.get('code');
      if (code === null) throw new Error(`no code came back: ${page.status} ${titleOf(page.html)} at ${callback.href}`);
      return await this.redeem(code, verifier, extra);
    };
    const answer = await served(signIn);
    if (answer.status !== 200) throw new Error(`no token came back: ${JSON.stringify(answer.body)}`);
    const member = answer.body['portcullis'] as { session: { id: string } };
    return {
      accessToken: String(answer.body['access_token']),
      refreshToken: String(answer.body['refresh_token']),
      session: member.session.id,
      answer,
    };
  }

  /** A request with a token, as kubectl would send it. */
  get(path: string, token: string): Promise<Answer> {
    return this.send('GET', path, { headers: { authorization: `Bearer ${token}` } });
  }
}
