/**
 * Serves everything on one console's host name. The order is the same for requests and upgrades: register, audit
 * log writable, one of our own paths, origin of the request, signed-in user, slot, token, forward.
 */
import type { IncomingMessage, ServerResponse, IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError } from '../../core/errors.ts';
import { resetConnection } from '../../core/http/connection-reset.ts';
import { clientAddresses, type ClientAddressOf } from '../../http/client-address.ts';
import { record } from '../../http/audit-events.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { openRequest } from '../../contracts/open-request.ts';
import { beginContext, createContext, type RequestContext } from '../../http/request-context.ts';
import { RESERVED_PATH, originOf, type Console, type ConsoleDeps, type ConsoleToken } from './dependencies.ts';
import type { ConsoleLimit } from './console-limit.ts';
import { ConsoleExchange } from './exchange.ts';
import { ConsoleForwarding } from './forwarding.ts';
import type { OpenResponses } from './open-responses.ts';
import { refuseUpgrade, sendPlainError, sendTooMany } from './page.ts';
import { headersForConsole } from './request-headers.ts';
import type { ConsoleSessions, ConsoleVisitor } from './sessions.ts';

interface Admitted {
  readonly token: ConsoleToken;
  readonly username: string;
}

const notSignedIn = (): AppError =>
  new AppError('unauthenticated', 'You are signed out of this console. Open it again to sign in.', {
    reason: 'no_session',
  });

export class ConsoleHost {
  readonly console: Console;
  readonly #deps: ConsoleDeps;
  readonly #sessions: ConsoleSessions;
  readonly #limit: ConsoleLimit;
  readonly #forwarding: ConsoleForwarding;
  readonly #origin: string;
  readonly #addressOf: ClientAddressOf;

  /** @param shared what all consoles have in common */
  constructor(
    console: Console,
    deps: ConsoleDeps,
    shared: { readonly sessions: ConsoleSessions; readonly limit: ConsoleLimit },
  ) {
    this.console = console;
    this.#deps = deps;
    this.#sessions = shared.sessions;
    this.#limit = shared.limit;
    this.#forwarding = new ConsoleForwarding(console, deps);
    this.#origin = originOf(deps.publicUrl, console);
    this.#addressOf = clientAddresses(deps);
  }

  /** Serves a request. Never rejects. */
  async request(req: IncomingMessage, res: ServerResponse, responses: OpenResponses): Promise<void> {
    const context = beginContext(req, res, this.#addressOf);
    const exchange = new ConsoleExchange(this.#deps.guard, () => resetConnection(req.socket));
    responses.opened(req.socket, res, () => exchange.end());
    res.on('error', () => undefined);
    try {
      this.#assertServable(req);
      if (isReservedPath(req.url)) return await this.#serveReservedPath(req, res, context);
      this.#assertFrom(req, false);
      const visitor = await this.#sessions.current(this.console, req);
      if (visitor === undefined) return this.#signedOut(req, res);
      const slot = this.#limit.acquire(visitor.record.account);
      if (!slot.ok) return sendTooMany(res, slot.reason, this.#pageFor(context));
      exchange.hold(slot.value);
      if (!isAdmitted(req, visitor)) return sendTooMany(res, MEMORY_SHORT, this.#pageFor(context));
      const admitted = await this.#admit(visitor);
      if (admitted === undefined) return this.#signedOut(req, res);
      if (!this.#begin(exchange, admitted.token) || res.destroyed) return;
      this.#replaceHeaders(req, admitted, { address: context.address, upgrade: false });
      await this.#forwarding.request(req, res, { exchange, requestId: context.requestId });
    } catch (error) {
      if (exchange.isCut) return;
      this.#log(error, context);
      if (res.headersSent) exchange.reset();
      else sendPlainError(res, error, this.#pageFor(context));
    }
  }

  /** Serves an upgrade: only WebSockets (RFC 6455) from the console's own page. Never rejects. */
  async upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const context = createContext(req, this.#addressOf);
    const exchange = new ConsoleExchange(this.#deps.guard, () => resetConnection(req.socket));
    socket.once('close', () => exchange.end());
    try {
      this.#assertServable(req);
      if (!isWebSocket(req) || isReservedPath(req.url)) {
        throw new AppError('bad_request', 'Only WebSockets are upgraded here.', { reason: 'upgrade_unsupported' });
      }
      this.#assertFrom(req, true);
      const visitor = await this.#sessions.current(this.console, req);
      if (visitor === undefined) throw notSignedIn();
      const slot = this.#limit.acquire(visitor.record.account);
      if (!slot.ok) return refuseUpgrade(socket, 429, slot.reason);
      exchange.hold(slot.value);
      if (!isAdmitted(req, visitor)) return refuseUpgrade(socket, 429, MEMORY_SHORT);
      const admitted = await this.#admit(visitor);
      if (admitted === undefined) throw notSignedIn();
      if (!this.#begin(exchange, admitted.token) || socket.destroyed) return;
      this.#replaceHeaders(req, admitted, { address: context.address, upgrade: true });
      this.#forwarding.upgrade(req, socket, head, { exchange, requestId: context.requestId });
    } catch (error) {
      if (exchange.isCut) return;
      this.#log(error, context);
      const { error: rejection, status } = appErrorOf(error);
      refuseUpgrade(socket, status, rejection.message);
    }
  }

  #assertServable(req: IncomingMessage): void {
    if (this.#deps.audit.blocked) {
      throw new AppError('audit_unavailable', 'The audit log cannot be written right now.');
    }
    const encoding = req.headers['transfer-encoding'];
    const plain = encoding === undefined || encoding.toLowerCase() === 'chunked';
    if (req.url?.startsWith('/') === true && plain && req.method !== 'TRACE') return;
    throw new AppError('bad_request', 'This request cannot be forwarded.', { reason: 'request_form' });
  }

  #assertFrom(req: IncomingMessage, upgrade: boolean): void {
    const rejection = judgeRequest({ method: req.method ?? '', headers: req.headers, upgrade }, this.#origin);
    if (rejection === undefined) return;
    throw new AppError('forbidden', 'This request did not come from a page of this console.', { reason: rejection });
  }

  #pageFor({ requestId }: RequestContext): { readonly publicUrl: string; readonly requestId: string } {
    return { publicUrl: this.#deps.publicUrl, requestId };
  }

  /** @returns the user with a token; undefined where the session has ended meanwhile */
  async #admit(visitor: ConsoleVisitor): Promise<Admitted | undefined> {
    const minted = await this.#deps.mintToken({ session: visitor.record.id, console: this.console });
    if (minted.ok) return { token: minted.value, username: visitor.record.identity.username };
    if (minted.reason === 'session_over') return undefined;
    throw new AppError('forbidden', 'You may not use the cluster of this console.', { reason: minted.reason });
  }

  /** Returns false where the request was cut while the user was identified, so that there is no response to send. */
  #begin(exchange: ConsoleExchange, token: ConsoleToken): boolean {
    exchange.bind(token);
    return exchange.mayPass();
  }

  #replaceHeaders(
    req: IncomingMessage,
    { token: { token }, username }: Admitted,
    { address, upgrade }: { readonly address: string; readonly upgrade: boolean },
  ): void {
    const { rawHeaders: raw, headers } = req;
    req.headers = headersForConsole({ raw, headers, origin: this.#origin, token, username, address, upgrade });
  }

  /** Redirects a page load to the sign-in. Any other request gets an error, after which the page must reload. */
  #signedOut(req: IncomingMessage, res: ServerResponse): void {
    if (!isNavigation({ method: req.method ?? '', headers: req.headers })) throw notSignedIn();
    this.#leave(req, res, req.url);
  }

  #leave(req: IncomingMessage, res: ServerResponse, target?: string): void {
    const state = this.#sessions.leave(req, res, target);
    redirect(res, `${this.#deps.publicUrl}/consoles/${this.console.name}/enter?state=${state}`);
  }

  async #serveReservedPath(req: IncomingMessage, res: ServerResponse, context: RequestContext): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '/', this.#origin);
    if (req.method !== 'GET') throw new AppError('not_found', 'There is nothing at this address.');
    if (pathname === `${RESERVED_PATH}/begin`) return this.#leave(req, res);
    if (pathname !== `${RESERVED_PATH}/enter`) throw new AppError('not_found', 'There is nothing at this address.');
    const entered = { path: pathname, details: { console: this.console.name, cluster: this.console.cluster } };
    try {
      const code = searchParams.get('code') ?? undefined;
      const { visitor, path } = await this.#sessions.enter(this.console, req, res, code);
      if (visitor !== undefined) {
        const { id: session, identity, account } = visitor.record;
        const about = { identity, account, session };
        record(this.#deps, context, { event: 'console-entered', code: 303, about, ...entered });
      }
      redirect(res, `${this.#origin}${path}`);
    } catch (error) {
      const { error: rejection, status } = appErrorOf(error);
      record(this.#deps, context, { event: 'console-refused', code: status, reason: rejection.reason, ...entered });
      throw error;
    }
  }

  #log(thrown: unknown, { requestId }: RequestContext): void {
    const { error, status } = appErrorOf(thrown);
    if (status < 500) return;
    const facts = { requestId, console: this.console.name, reason: error.reason, err: thrown };
    this.#deps.logger.error(facts, 'console request failed');
  }
}

const MEMORY_SHORT = 'Memory is short here, and you have the most open. Close some pages and try again.';

const isAdmitted = (req: IncomingMessage, { record: { account } }: ConsoleVisitor): boolean =>
  openRequest(req)?.admit(account) ?? true;

/**
 * An attacker sends a body before the frames, which only one side would read as frames, so an upgrade has no body.
 */
const isWebSocket = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  headers['transfer-encoding'] === undefined &&
  (headers['content-length'] ?? '0') === '0';

const isReservedPath = (target: string | undefined): boolean => {
  const path = target?.split('?', 1)[0] ?? '';
  return path === RESERVED_PATH || path.startsWith(`${RESERVED_PATH}/`);
};

/**
 * An attacker could use an open redirect, so callers pass only an origin of ours, and a path that `safePath` has
 * checked.
 */
function redirect(res: ServerResponse, location: string): void {
  res.writeHead(303, { Location: location, 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' }).end();
}

/**
 * Checks whether a request comes from the console's own page, or from a user who opened it.
 *
 * The proxy adds the user's token to each request that a browser sends here. A console whose own scripts sent the
 * token was protected from foreign sites by that, and is not any more: an attacker's page makes the browser send
 * requests that get the token. Consoles are siblings of each other and of our pages, and for `SameSite` siblings
 * are the same site. So the browser's own statement about the origin of a request decides, for every request.
 */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

type RequestRejection = 'foreign_origin' | 'foreign_site';

interface GuardedRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly upgrade: boolean;
}

/**
 * Whether the user opened a page, by a link or by typing. Such a request may come from anywhere, and may be
 * redirected to the sign-in.
 */
function isNavigation({ method, headers }: Pick<GuardedRequest, 'method' | 'headers'>): boolean {
  if (method !== 'GET') return false;
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': dest, accept = '' } = headers;
  // Browsers without fetch metadata state in `Accept` what they load.
  if (mode === undefined && dest === undefined) return accept.includes('text/html');
  return mode === 'navigate' && dest === 'document';
}

/**
 * Judges a request by fetch metadata (W3C Fetch Metadata Request Headers) and `Origin` (RFC 6454 §7). Where a
 * browser sends neither, only a safe method passes.
 *
 * @param origin the console's own
 * @returns undefined where it may pass
 */
function judgeRequest(request: GuardedRequest, origin: string): RequestRejection | undefined {
  const { method, headers, upgrade } = request;
  // The same-origin policy does not cover WebSockets: the server must check Origin itself (RFC 6455 §10.2).
  const mustTell = upgrade || !SAFE_METHODS.has(method);
  if (headers.origin === undefined ? mustTell : headers.origin !== origin) return 'foreign_origin';
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined;
  return isNavigation(request) && !upgrade ? undefined : 'foreign_site';
}
