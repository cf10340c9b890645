/** A small server that speaks the contract between Portcullis and its command line, with real TLS and client certificates. */
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { TLSSocket } from 'node:tls';
import { createTestCertificates } from './certificates.ts';

export interface FakeSession {
  readonly id: string;
  readonly refreshToken: string;
  readonly thumbprint: string;
  /** Messages of a revocation; then every refresh is `invalid_grant`. */
  over?: string;
}

interface Code {
  readonly challenge: string;
  readonly redirectUri: string;
}

interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  /** Audience of the presented token. */
  readonly audience: string | undefined;
  /** Thumbprint of the presented certificate. */
  readonly thumbprint: string | undefined;
}

type Json = Record<string, unknown>;

interface AdminAnswer {
  readonly status: number;
  readonly body: Json;
  readonly headers?: Readonly<Record<string, string>>;
}

export class FakeServer {
  readonly sessions: FakeSession[] = [];
  /** Every secret that was issued; none may ever appear in messages for users. */
  readonly secrets: string[] = [];
  readonly counts = { authorizations: 0, redemptions: 0, refreshes: 0, revocations: 0 };
  readonly userAgents = new Set<string>();
  readonly adminRequests: AdminRequest[] = [];
  /** Changes of the discovery document. */
  discovery: Json = {};
  /** The response of the sign-in page instead of a code. */
  signInError: { error: string; error_description: string } | undefined;
  iss: string | undefined;
  /** The response of the token endpoint to a refresh instead of a token. */
  refreshAnswer: { status: number; body: Json } | undefined;
  /** While set, a sign-in or a refresh gets its response when this resolves. */
  hold: Promise<void> | undefined;
  onRefresh: (() => void) | undefined;
  adminAnswer: ((method: string, path: string) => AdminAnswer | Promise<AdminAnswer>) | undefined;
  /** The response to what a revocation would end, which is asked before it and is not among `adminRequests`. */
  scopeAnswer: AdminAnswer = { status: 200, body: { sessions: 1, users: 1, more: false, openHere: 0, known: true } };
  /** The targets of which that was asked, as queries. */
  readonly scopesAsked: string[] = [];
  /** What was ordered at `/-/delegations`, parsed. */
  readonly delegationOrders: Json[] = [];
  /** Changes of every delegated session in its responses; or another response altogether. */
  delegation: Json = {};
  delegationAnswer: ((method: string, path: string) => AdminAnswer | undefined) | undefined;
  /** The response to access requests and step-ups. */
  ownAnswer: ((method: string, path: string, body: Json) => AdminAnswer | Promise<AdminAnswer> | undefined) | undefined;
  /** What was sent there, without its token. */
  readonly ownRequests: { readonly method: string; readonly path: string; readonly body: Json }[] = [];
  /** Where the page of a step-up sends the browser. */
  stepUpPage: ((path: string) => string) | undefined;
  /** While true, `/-/oauth/revoke` is unavailable. */
  revokesNothing = false;
  /** The response to a device that requests a code. */
  deviceAnswer: Json = {};
  /** The token of a workload that may be exchanged. */
  workloadToken: string | undefined;
  /** Thumbprints to which exchanged tokens were bound. */
  readonly exchanges: string[] = [];
  expiresIn = 300;
  clusters = ['prod', 'staging'];
  /** Address of every cluster. */
  clusterServer = 'https://cluster.example.com:6443';
  /** PEM of every cluster's CA; absent: of `api`. */
  clusterCa: string | undefined;
  account = 'corp/alice';
  web = '';
  api = '';
  apiCa = '';
  readonly #codes = new Map<string, Code>();
  readonly #audiences = new Map<string, string>();
  readonly #servers: Server[] = [];

  async start(): Promise<void> {
    const certificates = await createTestCertificates();
    this.apiCa = certificates.ca;
    const { certificate: cert, privateKey: key } = certificates;
    const options = { cert, key, requestCert: true, rejectUnauthorized: false };
    const web = createHttpServer((req, res) => this.#handleWeb(req, res));
    const api = createHttpsServer(options, (req, res) => void this.#handleApi(req, res));
    this.#servers.push(web, api);
    this.web = `http://127.0.0.1:${await listen(web)}`;
    this.api = `https://127.0.0.1:${await listen(api)}`;
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    }
  }

  #secret(): string {
    const secret = `canary-${randomBytes(18).toString('base64url')}`;
    this.secrets.push(secret);
    return secret;
  }

  #handleWeb(req: IncomingMessage, res: ServerResponse): void {
    const url = new URL(req.url ?? '/', this.web);
    if (url.pathname === '/.well-known/openid-configuration') return json(res, 200, this.#discovery());
    if (url.pathname === '/oauth/authorize') return void this.#authorize(url, res);
    if (url.pathname === '/step-up/done') return void res.end('It is proven.');
    if (url.pathname.startsWith('/step-up/') && this.stepUpPage !== undefined)
      return void res.writeHead(302, { location: this.stepUpPage(url.pathname) }).end();
    if (url.pathname === '/login/done') return void res.end('You may close this tab.');
    json(res, 404, {});
  }

  #discovery(): Json {
    const oauth = `${this.api}/-/oauth`;
    return {
      issuer: this.web,
      authorization_endpoint: `${this.web}/oauth/authorize`,
      mtls_endpoint_aliases: { token_endpoint: `${oauth}/token`, revocation_endpoint: `${oauth}/revoke` },
      portcullis: { minimumCli: '0.1.0', api: this.api, apiCa: this.apiCa, adminApi: `${this.api}/-/admin/api/v1` },
      ...this.discovery,
    };
  }

  async #authorize(url: URL, res: ServerResponse): Promise<void> {
    this.counts.authorizations += 1;
    await this.hold;
    const query = url.searchParams;
    const redirectUri = query.get('redirect_uri') ?? '';
    const wrong =
      query.get('client_id') !== 'portcullis-cli' ||
      query.get('response_type') !== 'code' ||
      query.get('scope') !== 'kubernetes' ||
      query.get('code_challenge_method') !== 'S256' ||
      !/^http:\/\/127\.0\.0\.1:\d+\/callback$/.test(redirectUri);
    if (wrong) return json(res, 400, { error: 'invalid_request' });
    const back = new URL(redirectUri);
    back.searchParams.set('state', query.get('state') ?? '');
    back.searchParams.set('iss', this.iss ?? this.web);
    if (this.signInError === undefined) {
      const code = this.#secret();
      this.#codes.set(code, { challenge: query.get('code_challenge') ?? '', redirectUri });
      back.searchParams.set('code', code);
    } else {
      for (const [name, value] of Object.entries(this.signInError)) back.searchParams.set(name, value);
    }
    res.writeHead(302, { location: back.href }).end();
  }

  async #handleApi(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.userAgents.add(req.headers['user-agent'] ?? '');
    const body = await text(req);
    const path = req.url ?? '';
    if (path === '/-/oauth/token') return this.#token(req, res, new URLSearchParams(body));
    if (path.startsWith('/-/sessions?')) return json(res, 200, { sessions: [] });
    if (path.startsWith('/-/delegations')) return this.#delegations(req, res, body);
    if (/^\/-\/(?:access|step-up)/.test(path)) return this.#own(req, res, body);
    if (path === '/-/oauth/revoke') {
      if (this.revokesNothing) return json(res, 503, {});
      this.counts.revocations += 1;
      const session = this.sessions.find((one) => one.refreshToken === new URLSearchParams(body).get('token'));
      if (session !== undefined) session.over = 'signed out';
      return json(res, 200, {});
    }
    if (path === '/-/oauth/device') return json(res, 200, this.deviceAnswer);
    const below = path.split('/-/admin/api/v1/')[1];
    if (below === undefined) return json(res, 404, {});
    const [, scope] = below.split('revocation-scope?');
    if (scope !== undefined) {
      this.scopesAsked.push(scope);
      return json(res, this.scopeAnswer.status, this.scopeAnswer.body);
    }
    const token = req.headers.authorization?.replace('Bearer ', '') ?? '';
    this.adminRequests.push({
      method: req.method ?? '',
      path: below,
      body,
      audience: this.#audiences.get(token),
      thumbprint: thumbprintOf(req),
    });
    const answer = (await this.adminAnswer?.(req.method ?? '', below)) ?? { status: 404, body: {} };
    json(res, answer.status, answer.body);
  }

  /** As the real one, for the session of the token, but it narrows nothing. */
  #delegations(req: IncomingMessage, res: ServerResponse, body: string): void {
    const audience = this.#audiences.get(req.headers.authorization?.replace('Bearer ', '') ?? '');
    if (audience !== 'urn:portcullis:self') return json(res, 401, { code: 'unauthenticated' });
    const answer = this.delegationAnswer?.(req.method ?? '', req.url ?? '');
    for (const [name, value] of Object.entries(answer?.headers ?? {})) res.setHeader(name, value);
    if (answer !== undefined) return json(res, answer.status, answer.body);
    if (req.method === 'GET') return json(res, 200, { delegations: [this.#delegationOf({}, 'd-1')] });
    const order = JSON.parse(body) as Json;
    this.delegationOrders.push(order);
    const id = `d-${this.delegationOrders.length}`;
    const refreshToken = this.#secret();
    this.sessions.push({ id, refreshToken, thumbprint: String(order['thumbprint']) });
    const clusters = this.#clusterList().filter(({ name }) => (order['clusters'] as string[]).includes(name));
    json(res, 201, { delegation: this.#delegationOf(order, id), refreshToken, clusters });
  }

  async #own(req: IncomingMessage, res: ServerResponse, text: string): Promise<void> {
    const audience = this.#audiences.get(req.headers.authorization?.replace('Bearer ', '') ?? '');
    if (audience !== 'urn:portcullis:self') return json(res, 401, { code: 'unauthenticated' });
    const [method, path] = [req.method ?? '', req.url ?? ''];
    const body = (text === '' ? {} : JSON.parse(text)) as Json;
    this.ownRequests.push({ method, path, body });
    const answer = (await this.ownAnswer?.(method, path, body)) ?? { status: 404, body: { code: 'not_found' } };
    json(res, answer.status, answer.body);
  }

  #delegationOf({ name = 'claude', clusters = this.clusters, limits = [] }: Json, id: string): Json {
    const moment = '2030-01-01T00:00:00Z';
    const times = { createdAt: moment, expiresAt: moment, lastUsedAt: moment };
    return { id, name, clusters, limits, rights: 'read-only in shop', ...times, recent: [], ...this.delegation };
  }

  #clusterList(): { readonly name: string; readonly server: string; readonly caData: string }[] {
    return this.clusters.map((name) => ({ name, server: this.clusterServer, caData: this.clusterCa ?? this.apiCa }));
  }

  async #token(req: IncomingMessage, res: ServerResponse, form: URLSearchParams): Promise<void> {
    const thumbprint = thumbprintOf(req);
    if (form.get('client_id') === 'workload') return this.#exchange(res, form, thumbprint);
    if (thumbprint === undefined || form.get('client_id') !== 'portcullis-cli') {
      return json(res, 401, { error: 'invalid_client' });
    }
    if (form.get('grant_type') === 'authorization_code') return this.#redeem(res, form, thumbprint);
    this.counts.refreshes += 1;
    this.onRefresh?.();
    await this.hold;
    if (this.refreshAnswer !== undefined) return json(res, this.refreshAnswer.status, this.refreshAnswer.body);
    const session = this.sessions.find((one) => one.refreshToken === form.get('refresh_token'));
    if (session === undefined || session.thumbprint !== thumbprint || session.over !== undefined) {
      return json(res, 400, { error: 'invalid_grant', error_description: session?.over ?? 'unknown session' });
    }
    this.#grant(res, session, form.get('resource'), false);
  }

  /** RFC 8693. */
  #exchange(res: ServerResponse, form: URLSearchParams, thumbprint: string | undefined): void {
    const subjectToken = form.get('subject_token');
    const good =
      thumbprint !== undefined &&
      form.get('grant_type') === 'urn:ietf:params:oauth:grant-type:token-exchange' &&
      form.get('subject_token_type') === 'urn:ietf:params:oauth:token-type:jwt' &&
      subjectToken === this.workloadToken;
    // The server repeats the token in its error, as a careless server would.
    if (!good) return json(res, 400, { error: 'invalid_grant', error_description: `not taken: ${subjectToken}` });
    const token = this.#secret();
    this.exchanges.push(thumbprint);
    this.#audiences.set(token, form.get('resource') ?? '');
    json(res, 200, { access_token: token, token_type: 'Bearer', expires_in: this.expiresIn });
  }

  #redeem(res: ServerResponse, form: URLSearchParams, thumbprint: string): void {
    this.counts.redemptions += 1;
    const code = this.#codes.get(form.get('code') ?? '');
    this.#codes.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (code === undefined || code.challenge !== challenge || code.redirectUri !== form.get('redirect_uri')) {
      return json(res, 400, { error: 'invalid_grant', error_description: 'the code is not good' });
    }
    const session = { id: `s-${this.sessions.length + 1}`, refreshToken: this.#secret(), thumbprint };
    this.sessions.push(session);
    this.#grant(res, session, form.get('resource'), true);
  }

  #grant(res: ServerResponse, session: FakeSession, resource: string | null, first: boolean): void {
    const audience = resource ?? `urn:portcullis:cluster:${this.clusters[0]}`;
    const cluster = audience.startsWith('urn:portcullis:cluster:') ? audience.slice(23) : undefined;
    if (cluster !== undefined && !this.clusters.includes(cluster)) {
      return json(res, 400, { error: 'invalid_target', error_description: `no access to ${cluster}` });
    }
    const token = this.#secret();
    this.#audiences.set(token, audience);
    json(res, 200, {
      access_token: token,
      token_type: 'Bearer',
      expires_in: this.expiresIn,
      ...(first ? { refresh_token: session.refreshToken } : {}),
      portcullis: {
        session: { id: session.id, expiresAt: '2030-01-01T00:00:00Z' },
        account: this.account,
        username: 'corp:alice\u001b[31m',
        groups: ['corp:developers'],
        ...(cluster === undefined ? {} : { cluster }),
        clusters: this.#clusterList(),
      },
    });
  }
}

/** RFC 8705 §3.1. */
export const thumbprintOfPem = (pem: string): string =>
  createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url');

function thumbprintOf(req: IncomingMessage): string | undefined {
  if (!(req.socket instanceof TLSSocket)) return undefined;
  const { raw } = req.socket.getPeerCertificate();
  return raw === undefined ? undefined : createHash('sha256').update(raw).digest('base64url');
}

function json(res: ServerResponse, status: number, body: Json): void {
  res.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body));
}

async function text(req: IncomingMessage): Promise<string> {
  let all = '';
  for await (const chunk of req.setEncoding('utf8')) all += String(chunk);
  return all;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}
