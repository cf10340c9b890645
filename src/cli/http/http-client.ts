/**
 * A small HTTP client: JSON responses, no redirects, bounded in time and size, TLS verified, the session's
 * certificate presented where one is given, through the proxy that the environment names.
 */
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import { AppError } from '../../core/errors.ts';
import { publishTrace, type RequestTrace } from './request-trace.ts';
import { trustedCas } from './certificate-authorities.ts';
import { skewOf } from './clock-skew.ts';
import { readNetwork, type NetworkEnvironment } from '../environment.ts';
import { cliError } from '../errors.ts';
import { parseRecord, stringAt, type JsonRecord } from './json-shape.ts';
import { unreachable, type ConnectionContext } from './network-error.ts';
import { request as requestHttp } from './node-http.ts';
import { proxyFor } from './proxy.ts';
import { isOpenable } from './server-url.ts';
import type { Binding } from '../session/session.ts';
import { insideTunnel, openTunnel } from './tunnel.ts';
import { USER_AGENT } from './version.ts';
import { defined } from '../../core/defined.ts';

/**
 * Longest wait for a whole response, and its longest body. An attacker sends a response without an end, a byte at a
 * time or very fast, so both are bounded.
 */
export const LIMITS = { timeoutMs: 15_000, responseBytes: 4 * 1024 * 1024 };

const ACCEPT = 'application/json, application/problem+json';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  /** PEM of the CA for the host; absent: the system's CAs. */
  readonly ca?: string;
  readonly binding?: Binding;
  readonly bearer?: string;
  readonly body?: { readonly form: Readonly<Record<string, string>> } | { readonly json: unknown };
  readonly events?: EventStreamRequest;
  /** Another media type than any JSON. */
  readonly accept?: string;
}

/** A request for server-sent events. Events are consumed as they arrive, and the body of the response is empty. */
export interface EventStreamRequest {
  /** `Last-Event-ID`. */
  readonly after?: string;
  /** Replaces the time limit. */
  readonly signal: AbortSignal;
  readonly consume: (stream: AsyncIterable<Buffer>) => Promise<void>;
}

export interface HttpResponse {
  readonly status: number;
  /** Empty where the response had no body. */
  readonly body: JsonRecord;
  /** Milliseconds by which the server's clock is ahead of this one's; absent where the response has no date. */
  readonly clockSkewMs?: number;
  /** `Retry-After`; absent where the response has none in seconds. */
  readonly retryAfterSeconds?: number;
}

/** How an address is reached. */
interface Route {
  readonly url: URL;
  readonly proxy: URL | undefined;
  readonly network: NetworkEnvironment;
  readonly signal: AbortSignal;
}

/**
 * Sends a request.
 * @returns the response, whatever its status
 * @throws AppError `upstream_unavailable` where no response can be from Portcullis: unreachable, not trusted, too
 *   slow or too long, a redirect, a page; `bad_request` where the proxy of the environment cannot be used
 */
export async function sendRequest(
  sendRequest: HttpRequest,
  network: NetworkEnvironment = readNetwork(),
  limits: typeof LIMITS = LIMITS,
): Promise<HttpResponse> {
  const url = new URL(sendRequest.url);
  if (!isOpenable(url)) throw unsupportedUrl();
  const signal = sendRequest.events?.signal ?? AbortSignal.timeout(limits.timeoutMs);
  const route = { url, proxy: proxyFor(url, network), network, signal };
  const begun = performance.now();
  const report = (facts: Pick<RequestTrace, 'outcome' | 'requestId' | 'clockSkewMs'>): void =>
    publishTrace({
      method: sendRequest.method,
      url,
      proxy: route.proxy,
      milliseconds: performance.now() - begun,
      ...facts,
    });
  const errorOf = (cause: unknown): AppError =>
    cause instanceof AppError
      ? cause
      : unreachable(url, cause, connectionContext(route, sendRequest, limits.timeoutMs));
  const received = await receive(route, sendRequest, limits.responseBytes).catch((cause: unknown) => {
    const error = errorOf(cause);
    report({ outcome: error.reason });
    throw error;
  });
  const { status, record, empty, events, clockSkewMs } = received;
  report({ outcome: status, requestId: received.requestId, clockSkewMs });
  if (events !== undefined) {
    await events().catch((cause: unknown) => {
      throw errorOf(cause);
    });
  }
  if (isRedirect(status) || (record === undefined && !empty)) throw notPortcullis(url, status, route.proxy);
  const { retryAfterSeconds } = received;
  return {
    status,
    body: record ?? {},
    ...defined({ clockSkewMs, retryAfterSeconds }),
  };
}

interface Received {
  readonly status: number;
  /** Absent where the response was no JSON object with a JSON content type. */
  readonly record: JsonRecord | undefined;
  readonly empty: boolean;
  /** Consumes the events, where they were requested and arrive. */
  readonly events?: () => Promise<void>;
  readonly requestId: string | undefined;
  readonly clockSkewMs: number | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

async function receive(route: Route, sendRequest: HttpRequest, limit: number): Promise<Received> {
  const response = await send(route, sendRequest);
  const clockSkewMs = skewOf(response.headers.date, Date.now());
  const status = response.statusCode ?? 0;
  if (sendRequest.events !== undefined && isEvents(response)) {
    const { consume } = sendRequest.events;
    const requestId = requestIdOf(response, undefined);
    return { status, record: undefined, empty: true, requestId, clockSkewMs, events: () => consume(response) };
  }
  const text = await readText(route.url, response, limit);
  // A body without a length also ends when the time is up.
  route.signal.throwIfAborted();
  const record = isJson(response) ? parseRecord(text) : undefined;
  const retryAfter = response.headers['retry-after'] ?? '';
  return {
    status,
    record,
    empty: text === '',
    requestId: requestIdOf(response, record),
    clockSkewMs,
    retryAfterSeconds: /^\d{1,5}$/.test(retryAfter) ? Number(retryAfter) : undefined,
  };
}

const connectionContext = (
  { network, proxy, signal }: Route,
  sendRequest: HttpRequest,
  timeoutMs: number,
): ConnectionContext => ({
  network,
  proxy,
  pinned: sendRequest.ca !== undefined,
  signedIn: sendRequest.binding !== undefined,
  // For events, the caller aborted; otherwise the time ran out.
  ...(signal.aborted && sendRequest.events === undefined ? { waited: timeoutMs / 1000 } : {}),
});

async function send(route: Route, sendRequest: HttpRequest): Promise<IncomingMessage> {
  const { url, proxy, network, signal } = route;
  const tls = url.protocol === 'https:' ? tlsOptions(sendRequest, network) : {};
  const tunnel = proxy && (await openTunnel(proxy, url, { signal, trustedCas: () => trustedCas(network) }));
  const body = encodeBody(sendRequest);
  const options: RequestOptions = {
    method: sendRequest.method,
    signal,
    headers: {
      accept: sendRequest.accept ?? (sendRequest.events === undefined ? ACCEPT : `text/event-stream, ${ACCEPT}`),
      ...defined({ 'last-event-id': sendRequest.events?.after }),
      'user-agent': USER_AGENT,
      ...(sendRequest.bearer === undefined ? {} : { authorization: `Bearer ${sendRequest.bearer}` }),
      ...(body === undefined ? {} : { 'content-type': body.type, 'content-length': Buffer.byteLength(body.text) }),
    },
    ...(tunnel === undefined ? { agent: false } : { createConnection: () => insideTunnel(tunnel, url, tls) }),
  };
  return new Promise((resolve, reject) => {
    const request =
      url.protocol === 'https:'
        ? requestHttps(url, { ...options, ...tls }, resolve)
        : requestHttp(url, options, resolve);
    request.on('error', reject);
    // A response with status 101 causes neither a response nor an error event: the program would end silently.
    request.on('close', () => reject(new Error('closed without a response')));
    request.end(body?.text);
  });
}

function tlsOptions(sendRequest: HttpRequest, network: NetworkEnvironment): ConnectionOptions {
  const certificate = sendRequest.binding && {
    cert: sendRequest.binding.certificate,
    key: sendRequest.binding.privateKey,
  };
  // Node lets NODE_TLS_REJECT_UNAUTHORIZED switch the check off, which a user may have set for another program.
  const checked = { rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const;
  return { ca: sendRequest.ca ?? trustedCas(network), ...checked, ...certificate };
}

function encodeBody(sendRequest: HttpRequest): { type: string; text: string } | undefined {
  if (sendRequest.body === undefined) return undefined;
  return 'form' in sendRequest.body
    ? { type: 'application/x-www-form-urlencoded', text: new URLSearchParams(sendRequest.body.form).toString() }
    : { type: 'application/json', text: JSON.stringify(sendRequest.body.json) };
}

async function readText(url: URL, response: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > limit) {
      response.destroy();
      throw cliError(
        'upstream_unavailable',
        `The response of ${url.host} is longer than any response of Portcullis, and was not read completely.`,
        'check that this is the address of Portcullis; if it is, tell your platform team',
        { reason: 'answer_too_long' },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * An attacker may have a server store or echo content under its name, so only a JSON content type counts: RFC 8414
 * §3.2, RFC 6749 §5.1, RFC 9457 §3.
 */
const isJson = ({ headers }: IncomingMessage): boolean =>
  /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(headers['content-type'] ?? '');

const isEvents = ({ statusCode, headers }: IncomingMessage): boolean =>
  statusCode === 200 && /^text\/event-stream\s*(?:;|$)/i.test(headers['content-type'] ?? '');

const isRedirect = (status: number): boolean => status >= 300 && status < 400;

function requestIdOf({ headers }: IncomingMessage, record: JsonRecord | undefined): string | undefined {
  const header = headers['x-request-id'];
  return typeof header === 'string' ? header : record && stringAt(record, 'requestId');
}

const unsupportedUrl = (): AppError =>
  cliError(
    'bad_request',
    'Only https addresses, or http on loopback, are allowed.',
    'give the address of Portcullis: https://…',
  );

/**
 * Describes a response that is not from Portcullis: from a load balancer, a captive portal, or another server at
 * that address.
 */
function notPortcullis(url: URL, status: number, proxy: URL | undefined): AppError {
  if (isRedirect(status)) {
    return cliError(
      'upstream_unavailable',
      `${url.host} responded with a redirect (${status}), which is never followed.`,
      'check the address; on a network with its own sign-in page (hotel, train), sign in there first in a browser',
      { reason: 'redirected' },
    );
  }
  if (status >= 500) {
    return cliError(
      'upstream_unavailable',
      `${url.host} responded with ${status} and a page: a load balancer is there, and Portcullis behind it does not respond.`,
      'try again in a moment; you stay signed in',
      { reason: 'server_unavailable' },
    );
  }
  const between = proxy === undefined ? '' : `, or the proxy ${proxy.host} in between`;
  return cliError(
    'upstream_unavailable',
    `${url.host} responded with ${status}, but not as Portcullis does (no JSON): another server is there${between}.`,
    'check that this is the address of Portcullis, and that no sign-in page of the network is in between',
    { reason: 'not_portcullis' },
  );
}
